"""Labelled rows of an image, buffered in memory and then saved to disk."""

import math
import time
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from lightning_seg.prediction.files import ENTROPY_STEPS, Probabilities
from lightning_seg.prediction.row_store import Rows, RowStore

# Longest time in seconds, and most bytes, that finished rows stay in memory.
SECONDS = 60
BYTES = 16 << 20

_ROWS = 64


class RowLabels:
    """Labels of class probabilities that arrive from top to bottom.

    Args:
        store: Store of the labelled rows.
        first: The first row.
        last: The row after the last; rows beyond it are dropped.
        maps: The maps to store beside the labels, see `PredictionFiles.maps`.
    """

    def __init__(
        self,
        store: RowStore,
        first: int,
        last: int,
        maps: Mapping[str, Probabilities] | None = None,
    ) -> None:
        self.store = store
        self._next = first
        self._last = last
        self._maps = maps or {}
        self._waiting: list[Rows] = []
        self._saved = time.monotonic()
        self.on_disk = False

    def add(self, probabilities: Tensor) -> None:
        """Add probabilities (K, rows, W) below the previous rows."""
        probabilities = probabilities[:, : self._last - self._next]
        for start in range(0, probabilities.shape[1], _ROWS):
            # A few rows at a time: argmax copies what may be hundreds of megabytes.
            part = argmax_rows(probabilities[:, start : start + _ROWS], self._next, self._maps)
            self._waiting.append(part)
            self._next = part.last
            if time.monotonic() - self._saved > SECONDS or self._bytes() > BYTES:
                self.save()

    def save(self) -> None:
        """Save all buffered rows to disk."""
        if self._waiting:
            self.store.save(self._waiting)
            self.on_disk = True
        self._waiting = []
        self._saved = time.monotonic()

    def take(self) -> list[Rows]:
        """Return and clear the buffered rows; call it only if none is on disk."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def _bytes(self) -> int:
        return sum(
            part.labels.nbytes + sum(rows.nbytes for rows in part.maps.values())
            for part in self._waiting
        )


def argmax_rows(
    probabilities: Tensor, first: int, maps: Mapping[str, Probabilities] | None = None
) -> Rows:
    """Return the labels of averaged probabilities (K, rows, W), and the maps to store.

    Ties up to rounding are broken as in `SegmentationTask.predict_step`.
    """
    tiny = torch.finfo(probabilities.dtype).tiny
    labels = probabilities.clamp(min=tiny).log_().argmax(dim=0).to(torch.uint8)
    stored = {name: _stored(probabilities, name, kind) for name, kind in (maps or {}).items()}
    return Rows(first, labels.cpu().numpy(), stored)


def normalized_entropy(probabilities: Tensor) -> Tensor:
    """Compute the entropy (1, rows, W) of probabilities (K, rows, W), over that of K equal ones.

    It is 0 where one class is certain, and 1 where all classes are equally probable.
    """
    entropy = torch.special.entr(probabilities).sum(dim=0, keepdim=True)
    return (entropy / math.log(len(probabilities))).clamp_(0, 1)


def _stored(probabilities: Tensor, name: str, kind: Probabilities) -> np.ndarray:
    values, steps = probabilities, 255
    if name == "entropy":
        values, steps = normalized_entropy(probabilities), ENTROPY_STEPS
    elif name == "confidence":
        values = probabilities.amax(dim=0, keepdim=True)
    if kind == "float16":
        return values.half().cpu().numpy()
    return (values * steps).round().to(torch.uint8).cpu().numpy()
