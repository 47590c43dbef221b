"""Callbacks that draw predictions, and their drawing functions."""
