"""Label maps as PNGs."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from lightning_seg.callbacks.classes import Color


def label_png(
    labels: Tensor, colors: Sequence[Color], values: Sequence[int] | None = None
) -> bytes:
    """Encode labels (H, W) as a PNG: 8-bit with a palette, or 16-bit greyscale beyond 256 classes.

    With ``values``, one pixel value from 0 to 255 per class, the PNG is 8-bit greyscale.
    """
    array = labels.cpu().numpy()
    if values is not None:
        image = Image.fromarray(np.array(values, np.uint8)[array])
    elif len(colors) > 256:
        image = Image.fromarray(array.astype(np.uint16))
    else:
        image = Image.fromarray(array.astype(np.uint8))
        image.putpalette([channel for color in colors for channel in color])
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=False)
    return file.getvalue()
