"""Images to predict, the rows of them that are pending, and how processes share these."""

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
        pair: Its name and files.
        height: The file's height in pixels, upright.
        width: Its width in pixels.
        layout: Where windows lie over the image as it is read, which may be smaller.
    """

    pair: Pair
    height: int
    width: int
    layout: WindowLayout


@dataclass(frozen=True)
class RowSpan:
    """Rows of an image to predict.

    Args:
        raster: The image.
        first: The first row, of the file.
        last: The row after the last.
        key: That of `Pending`.
    """

    raster: Raster
    first: int
    last: int
    key: str = ""

    @property
    def whole(self) -> bool:
        """Whether these are all rows of the image."""
        return self.first == 0 and self.last == self.raster.height

    @property
    def seen(self) -> tuple[int, int]:
        """First and last row, exclusively, of the image as it is read, to interpolate these of."""
        height = self.raster.layout.image[0]
        factor = self.raster.height // height
        if factor == 1:
            return self.first, self.last
        # What is left over at the lower border moves rows by less than one.
        return max(self.first // factor - 2, 0), min(self.last // factor + 2, height)

    @cached_property
    def batches(self) -> range:
        """Numbers of the image's batches that these rows need."""
        return self.raster.layout.batches_over(*self.seen)

    def cut(self, pieces: int) -> list["RowSpan"]:
        """About equal parts of it."""
        rows = self.last - self.first
        pieces = min(pieces, rows)
        ends = [self.first + rows * piece // pieces for piece in range(pieces + 1)]
        return [RowSpan(self.raster, *part, self.key) for part in pairwise(ends)]


@dataclass(frozen=True)
class Pending:
    """What is still to be predicted of an image.

    Args:
        missing: First and last row, exclusively, of each part.
        key: Stands for the image, and the way in which it is predicted, as they are now. The first
            process alone finds it, so that it is the same for all.
    """

    missing: tuple[tuple[int, int], ...]
    key: str = ""


def share_out(spans: Sequence[RowSpan], processes: int) -> list[tuple[RowSpan, ...]]:
    """Which spans each process gets, in order.

    A span with more windows than an even share is cut where that leaves the busiest process less to
    do: windows over rows at a cut are seen by both sides.
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
