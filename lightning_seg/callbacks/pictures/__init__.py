"""Callbacks that draw predictions, and the drawing."""
