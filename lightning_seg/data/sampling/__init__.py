"""Selection of images and crops: splits, crops, class balance, evaluation."""
