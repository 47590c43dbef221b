"""The mean of maps over overlapping windows, of which only the open rows are kept."""

from collections.abc import Sequence

from torch import Tensor

from lightning_seg.inference.window_layout import Corner, WindowLayout


class Stitching:
    """Averages the maps of one image's windows; rows that no more window reaches can be taken.

    Add batches in the layout's order. What comes out of every window alike, comes out to the bit.

    Args:
        layout: Where the windows lie.
        weight: (*layout.size) float32: how much each pixel of a window counts.
        rows: Rows of the continued image to keep at a time; by default those that are open while
            `take` is called after each batch.
        first_batch: The number of the first batch that is added.
    """

    def __init__(
        self, layout: WindowLayout, weight: Tensor, rows: int | None = None, first_batch: int = 0
    ) -> None:
        self._layout = layout
        self._weight = weight
        self._rows = layout.open_rows if rows is None else rows
        self._first = layout.batches[first_batch][0][0]
        self._seen = weight.new_zeros((self._rows, layout.continued[1]))
        self._means: dict[str, Tensor] = {}

    def add(self, maps_of: dict[str, Tensor], corners: Sequence[Corner]) -> None:
        """Adds a batch of windows: maps (N, C, *size) by name, and where the N windows lie."""
        height, width = self._layout.size
        for i, (row, column) in enumerate(corners):
            rows = slice(row - self._first, row - self._first + height)
            columns = slice(column, column + width)
            self._seen[rows, columns] += self._weight
            share = self._weight / self._seen[rows, columns]
            for name, maps in maps_of.items():
                if name not in self._means:
                    self._means[name] = maps.new_zeros((maps.shape[1], *self._seen.shape))
                # A mean that moves stays where it is when all agree, without rounding.
                mean = self._means[name][:, rows, columns]
                mean += (maps[i] - mean) * share.to(mean.dtype)

    def take(self, end: int) -> tuple[int, dict[str, Tensor]]:
        """Takes out the rows before ``end``, a row of the continued image.

        Returns:
            The first row, in the image, and the means (C, rows, W) by name, which lie inside the
            image; there may be no rows.
        """
        (top, left), (height, width) = self._layout.origin, self._layout.image
        start, stop = (min(max(row, top), top + height) for row in (self._first, end))
        inside = slice(start - self._first, max(stop, start) - self._first)
        taken = {name: mean[:, inside, left : left + width] for name, mean in self._means.items()}
        if end - self._first >= self._rows:  # nothing stays: what was kept can be given away
            self._means = {}
        else:
            taken = {name: mean.clone() for name, mean in taken.items()}
            for mean in self._means.values():
                _move_up(mean, end - self._first)
        _move_up(self._seen, end - self._first)
        self._first = end
        return start - top, taken


def _move_up(maps: Tensor, rows: int) -> None:
    """Drops the first rows of (..., H, W), moves the others up and clears what they leave."""
    if rows <= 0:
        return
    left = max(maps.shape[-2] - rows, 0)
    # Blocks of at most ``rows`` rows do not overlap, so no copy of them all is needed.
    for start in range(0, left, rows):
        stop = min(start + rows, left)
        maps[..., start:stop, :] = maps[..., start + rows : stop + rows, :]
    maps[..., left:, :] = 0
