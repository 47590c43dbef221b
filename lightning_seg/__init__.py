"""Boundary-aware semantic segmentation with PyTorch Lightning.

Importing this package imports nothing heavy; take what you need from its rooms:
``targets``, ``networks``, ``metrics``, ``losses``, ``heads``, ``inference``, ``data``,
``tasks`` and ``callbacks``.
"""

__version__ = "0.2.0.dev0"
