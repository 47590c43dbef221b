"""The windows over rows of images, read some rows at a time."""

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
from lightning_seg.prediction.row_reader import RowReader
from lightning_seg.prediction.row_spans import RowSpan

WindowBatch = dict[str, Any]


class RasterWindows(Dataset[WindowBatch]):
    """The windows of images, a batch a sample, without holding more than some rows of an image.

    A sample is a dict: ``image`` float32 (N, C, *size) in [0, 1]; ``span``, the number of the span;
    ``batch``, the number of this batch among its image's; ``corners``, where its windows lie. All
    batches of a span come one after the other.

    Args:
        spans: Images, or rows of them.
        reader: Reads their files.
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
            self._open = None  # the last span's rows go before the next one's come
            self._open = number, self._bands(raster.pair)
        corners = raster.layout.batches[batch]
        image, *further = (np.stack(_crops(b, raster.layout, corners)) for b in self._open[1])
        if further:
            image = np.concatenate([as_decimals(image), *further], axis=3)
        tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(0, 3, 1, 2)))
        scaled = tensor.float().div_(255.0) if tensor.dtype == torch.uint8 else tensor.float()
        return {"image": scaled, "span": number, "batch": batch, "corners": corners}

    def _bands(self, pair: Pair) -> list[RowReader]:
        """The image's own rows, and those of its further channel if it has one."""
        reader = self.reader
        bands = [RowReader(pair.image, partial(reader.image, pair), reader.image_factor)]
        if pair.extra is not None and reader.extra is not None:
            bands.append(
                RowReader(pair.extra, partial(_further, reader, pair), reader.image_factor)
            )
        return bands


def _further(reader: PairReader, pair: Pair, window: Window | None) -> np.ndarray:
    channel = reader.extra_channel(pair, window)
    assert channel is not None, "only pairs that have one are asked"
    return channel


def _crops(
    band: RowReader, layout: WindowLayout, corners: Sequence[tuple[int, int]]
) -> list[np.ndarray]:
    (top, left), (height, width) = layout.origin, layout.size
    rows_of = [reflected(row - top, height, band.height) for row, _ in corners]
    first, last = min(map(_first, rows_of)), max(map(_last, rows_of)) + 1
    pixels = band.read(first, last)
    crops = []
    for rows, (_, column) in zip(rows_of, corners, strict=True):
        columns = reflected(column - left, width, band.width)
        crops.append(_take(_take(pixels, columns, 0, axis=1), rows, first, axis=0))
    return crops


def reflected(start: int, length: int, whole: int) -> np.ndarray:
    """Where positions from ``start`` on lie in what is reflected at both ends, back and forth."""
    period = max(2 * (whole - 1), 1)
    index = np.arange(start, start + length) % period
    return np.minimum(np.minimum(index, period - index), whole - 1)


def _first(index: np.ndarray) -> int:
    return int(index.min())


def _last(index: np.ndarray) -> int:
    return int(index.max())


def _take(pixels: np.ndarray, index: np.ndarray, first: int, axis: int) -> np.ndarray:
    if int(index[-1]) - int(index[0]) != len(index) - 1:
        return pixels.take(index - first, axis)
    # No copy of what is wanted as it lies.
    part = slice(int(index[0]) - first, int(index[-1]) - first + 1)
    return pixels[part] if axis == 0 else pixels[:, part]
