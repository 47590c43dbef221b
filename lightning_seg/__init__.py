"""Boundary-aware semantic segmentation with PyTorch Lightning.

Importing this package imports nothing heavy. Import what you need from its subpackages:
``targets``, ``networks``, ``metrics``, ``losses``, ``heads``, ``inference``, ``data``,
``tasks``, ``callbacks`` and ``prediction``.
"""

__version__ = "0.2.0.dev0"
