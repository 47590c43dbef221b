"""Files to arrays: images, rasters, labels, and which of them belong together."""
