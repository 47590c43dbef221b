"""Label maps as PNGs."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from lightning_seg.callbacks.classes import Color


def label_png(labels: Tensor, colors: Sequence[Color]) -> bytes:
    """A PNG of the labels (H, W): indices with a palette, or 16-bit grey beyond 256 classes."""
    array = labels.cpu().numpy()
    if len(colors) > 256:
        image = Image.fromarray(array.astype(np.uint16))
    else:
        image = Image.fromarray(array.astype(np.uint8))
        image.putpalette([channel for color in colors for channel in color])
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=False)
    return file.getvalue()
