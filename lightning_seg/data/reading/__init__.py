"""Readers of images, rasters and labels, and the pairing of their files."""
