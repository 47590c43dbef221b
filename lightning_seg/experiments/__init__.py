"""Many runs: started together."""
