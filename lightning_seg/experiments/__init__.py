"""Many runs: started together, and compared by what stands in their folders."""
