"""Running mean of maps over overlapping windows; only unfinished rows are kept in memory."""

from collections.abc import Sequence

from torch import Tensor

from lightning_seg.inference.window_layout import Corner, WindowLayout


class Stitching:
    """Average the maps of one image's windows; finished rows can be taken out early.

    Add batches in the order of the layout. Identical inputs give exactly that value.

    Args:
        layout: The window layout.
        weight: (*layout.size) float32, weight of each pixel of a window.
        rows: Rows of the padded image to keep in memory; by default as many as are unfinished when
            `take` is called after each batch.
        first_batch: Index of the first batch to be added.
    """

    def __init__(
        self, layout: WindowLayout, weight: Tensor, rows: int | None = None, first_batch: int = 0
    ) -> None:
        self._layout = layout
        self._weight = weight
        self._rows = layout.open_rows if rows is None else rows
        self._first = layout.batches[first_batch][0][0]
        self._total_weight = weight.new_zeros((self._rows, layout.padded_size[1]))
        self._means: dict[str, Tensor] = {}

    def add(self, maps_of: dict[str, Tensor], corners: Sequence[Corner]) -> None:
        """Add a batch of N windows: maps (N, C, *size) by name, and the windows' corners."""
        height, width = self._layout.size
        for i, (row, column) in enumerate(corners):
            rows = slice(row - self._first, row - self._first + height)
            columns = slice(column, column + width)
            self._total_weight[rows, columns] += self._weight
            share = self._weight / self._total_weight[rows, columns]
            for name, maps in maps_of.items():
                if name not in self._means:
                    self._means[name] = maps.new_zeros((maps.shape[1], *self._total_weight.shape))
                # Running mean; identical inputs give exactly that value.
                mean = self._means[name][:, rows, columns]
                mean += (maps[i] - mean) * share.to(mean.dtype)

    def take(self, end: int) -> tuple[int, dict[str, Tensor]]:
        """Remove and return the rows before ``end``, a row of the padded image.

        Returns:
            The first row in the image, and the means (C, rows, W) by name, cropped to the image;
            there may be zero rows.
        """
        (top, left), (height, width) = self._layout.origin, self._layout.image
        start, stop = (min(max(row, top), top + height) for row in (self._first, end))
        inside = slice(start - self._first, max(stop, start) - self._first)
        taken = {name: mean[:, inside, left : left + width] for name, mean in self._means.items()}
        if end - self._first >= self._rows:  # nothing remains, so the buffers can be handed out
            self._means = {}
        else:
            taken = {name: mean.clone() for name, mean in taken.items()}
            for mean in self._means.values():
                _move_up(mean, end - self._first)
        _move_up(self._total_weight, end - self._first)
        self._first = end
        return start - top, taken


def _move_up(maps: Tensor, rows: int) -> None:
    """Drop the first rows of (..., H, W), move the rest up and zero the vacated rows."""
    if rows <= 0:
        return
    left = max(maps.shape[-2] - rows, 0)
    # Blocks of at most ``rows`` rows do not overlap, so they can be moved in place.
    for start in range(0, left, rows):
        stop = min(start + rows, left)
        maps[..., start:stop, :] = maps[..., start + rows : stop + rows, :]
    maps[..., left:, :] = 0
