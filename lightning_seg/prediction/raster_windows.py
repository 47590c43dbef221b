"""Windows over images, read a few rows at a time."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from lightning_seg.data.reading.pair_reader import PairReader, as_decimals
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.reading.tiff import Window
from lightning_seg.inference import WindowLayout
from lightning_seg.inference.window_layout import reflected
from lightning_seg.prediction.row_reader import RowReader
from lightning_seg.prediction.row_spans import RowSpan

WindowBatch = dict[str, Any]


class RasterWindows(Dataset[WindowBatch]):
    """Dataset of window batches that holds only a few rows of an image in memory.

    A sample is a whole batch, as a dict: ``image`` float32 (N, C, *size), in [0, 1] for uint8
    images; ``span``, the index of the span; ``batch``, the index of this batch in its image;
    ``corners``, (row, column) of each window in the padded image. The batches of a span follow
    each other.

    Args:
        spans: Row spans of images.
        reader: Reads the image files.
    """

    def __init__(self, spans: Sequence[RowSpan], reader: PairReader) -> None:
        self.spans = tuple(spans)
        self.reader = reader
        self._samples = [
            (number, batch) for number, span in enumerate(self.spans) for batch in span.batches
        ]
        self._open: tuple[int, list[RowReader]] | None = None

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> WindowBatch:
        number, batch = self._samples[index]
        raster = self.spans[number].raster
        if self._open is None or self._open[0] != number:
            self._open = None  # free the last span's rows before reading the next one's
            self._open = number, self._row_readers(raster.pair)
        corners = raster.layout.batches[batch]
        image, *extra = (np.stack(_crops(r, raster.layout, corners)) for r in self._open[1])
        if extra:
            image = np.concatenate([as_decimals(image), *extra], axis=3)
        tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(0, 3, 1, 2)))
        scaled = tensor.float().div_(255.0) if tensor.dtype == torch.uint8 else tensor.float()
        return {"image": scaled, "span": number, "batch": batch, "corners": corners}

    def _row_readers(self, pair: Pair) -> list[RowReader]:
        """Return a reader of the image and, if the pair has one, of the extra channel."""
        reader = self.reader
        readers = [RowReader(pair.image, partial(reader.image, pair), reader.image_factor)]
        if pair.extra is not None and reader.extra is not None:
            readers.append(
                RowReader(pair.extra, partial(_extra, reader, pair), reader.image_factor)
            )
        return readers


def _extra(reader: PairReader, pair: Pair, window: Window | None) -> np.ndarray:
    channel = reader.extra_channel(pair, window)
    assert channel is not None, "called only for pairs with an extra channel"
    return channel


def _crops(
    reader: RowReader, layout: WindowLayout, corners: Sequence[tuple[int, int]]
) -> list[np.ndarray]:
    (top, left), (height, width) = layout.origin, layout.size
    rows_of = [reflected(row - top, height, reader.height).numpy() for row, _ in corners]
    first = min(int(rows.min()) for rows in rows_of)
    last = max(int(rows.max()) for rows in rows_of) + 1
    pixels = reader.read(first, last)
    crops = []
    for rows, (_, column) in zip(rows_of, corners, strict=True):
        columns = reflected(column - left, width, reader.width).numpy()
        crops.append(_take(_take(pixels, columns, 0, axis=1), rows, first, axis=0))
    return crops


def _take(pixels: np.ndarray, index: np.ndarray, first: int, axis: int) -> np.ndarray:
    if int(index[-1]) - int(index[0]) != len(index) - 1:
        return pixels.take(index - first, axis)
    # Ascending indices need no copy.
    part = slice(int(index[0]) - first, int(index[-1]) - first + 1)
    return pixels[part] if axis == 0 else pixels[:, part]
