"""Images to predict, their pending rows, and how processes share these rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from lightning_seg.data.reading.pairs import Pair
from lightning_seg.inference import WindowLayout


@dataclass(frozen=True)
class Raster:
    """An image to predict.

    Args:
        pair: Name and files of the image.
        height: Height of the upright file in pixels.
        width: Width of the upright file in pixels.
        layout: Windows over the image as it is read, which may be downscaled.
    """

    pair: Pair
    height: int
    width: int
    layout: WindowLayout


@dataclass(frozen=True)
class RowSpan:
    """A range of rows of an image to predict.

    Args:
        raster: The image.
        first: The first row, in pixels of the file.
        last: The row after the last.
        key: The key of `Pending`.
    """

    raster: Raster
    first: int
    last: int
    key: str = ""

    @property
    def whole(self) -> bool:
        """True if the span holds all rows of the image."""
        return self.first == 0 and self.last == self.raster.height

    @property
    def input_rows(self) -> tuple[int, int]:
        """Rows [first, last) of the image as read from which this span is interpolated."""
        height = self.raster.layout.image[0]
        factor = self.raster.height // height
        if factor == 1:
            return self.first, self.last
        # A remainder at the lower border shifts rows by less than one.
        return max(self.first // factor - 2, 0), min(self.last // factor + 2, height)

    @cached_property
    def batches(self) -> range:
        """Indices of the image's window batches that these rows need."""
        return self.raster.layout.batches_over(*self.input_rows)

    def cut(self, pieces: int) -> list["RowSpan"]:
        """Split the span into at most ``pieces`` spans of about equal height."""
        rows = self.last - self.first
        pieces = min(pieces, rows)
        ends = [self.first + rows * piece // pieces for piece in range(pieces + 1)]
        return [RowSpan(self.raster, *part, self.key) for part in pairwise(ends)]


@dataclass(frozen=True)
class Pending:
    """Rows of an image that are still to be predicted.

    Args:
        missing: Row ranges [first, last).
        key: Hash of the image's current state and of the prediction's settings. Only the first
            process computes it, so that all processes have the same.
    """

    missing: tuple[tuple[int, int], ...]
    key: str = ""


def share_out(spans: Sequence[RowSpan], processes: int) -> list[tuple[RowSpan, ...]]:
    """Distribute spans over processes; return the spans of each process, in order.

    Spans with more windows than an even share are split if that reduces the load of the busiest
    process. A split has a cost: windows across it are computed on both sides.
    """
    uncut = _shared(spans, processes)
    if processes == 1 or not spans:
        return uncut
    share = -(-_cost(spans) // processes)
    pieces = [span.cut(-(-len(span.batches) // share)) for span in spans]
    cut = _shared([part for parts in pieces for part in parts], processes)
    return min(uncut, cut, key=lambda shares: max(map(_cost, shares)))


def _shared(spans: Sequence[RowSpan], processes: int) -> list[tuple[RowSpan, ...]]:
    shares: list[list[int]] = [[] for _ in range(processes)]
    loads = [0] * processes
    costs = [len(span.batches) for span in spans]
    for item in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        least = loads.index(min(loads))
        shares[least].append(item)
        loads[least] += costs[item]
    return [tuple(spans[item] for item in sorted(share)) for share in shares]


def _cost(spans: Sequence[RowSpan]) -> int:
    return sum(len(span.batches) for span in spans)
