"""Which images and crops a process sees: splits, crops, class balance, evaluation."""
