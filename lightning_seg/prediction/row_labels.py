"""Labelled rows of an image, buffered in memory and then saved to disk."""

import time
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from lightning_seg.inference.uncertainty import normalized_entropy, scores_of
from lightning_seg.prediction.files import ENTROPY_STEPS, UNCERTAINTIES, Probabilities
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
        multi_label: Whether pixels may have several labels.
    """

    def __init__(
        self,
        store: RowStore,
        first: int,
        last: int,
        maps: Mapping[str, Probabilities] | None = None,
        multi_label: bool = False,
    ) -> None:
        self.store = store
        self._next = first
        self._last = last
        self._maps = maps or {}
        self._multi_label = multi_label
        self._waiting: list[Rows] = []
        self._saved = time.monotonic()
        self.on_disk = False

    def add(self, scores: Tensor) -> None:
        """Add scores (C, rows, W) below the previous rows, see `argmax_rows`."""
        scores = scores[:, : self._last - self._next]
        for start in range(0, scores.shape[1], _ROWS):
            # A few rows at a time: argmax copies what may be hundreds of megabytes.
            rows = scores[:, start : start + _ROWS]
            part = argmax_rows(rows, self._next, self._maps, self._multi_label)
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
    scores: Tensor,
    first: int,
    maps: Mapping[str, Probabilities] | None = None,
    multi_label: bool = False,
) -> Rows:
    """Return the labels of averaged probabilities (K, rows, W), and the maps to store.

    Ties up to rounding are broken as in `SegmentationTask.predict_step`.

    Args:
        scores: The probabilities; below them the ``disagreement`` if it is one of the maps.
        first: The first row.
        maps: Kinds of the maps by name.
        multi_label: Whether pixels have each label with a probability above one half, instead of
            the most probable one.
    """
    maps = maps or {}
    probabilities = scores[:-1] if "disagreement" in maps else scores
    if multi_label:
        labels = (probabilities > 0.5).to(torch.uint8)
    else:
        labels = scores_of(probabilities).argmax(dim=0).to(torch.uint8)
    stored = {
        name: _stored(scores[-1:] if name == "disagreement" else probabilities, name, kind)
        for name, kind in maps.items()
    }
    return Rows(first, labels.cpu().numpy(), stored)


def _stored(values: Tensor, name: str, kind: Probabilities) -> np.ndarray:
    steps = ENTROPY_STEPS if name in UNCERTAINTIES else 255
    if name == "entropy":
        values = normalized_entropy(values)
    elif name == "confidence":
        values = values.amax(dim=0, keepdim=True)
    if kind == "float16":
        return values.half().cpu().numpy()
    return (values * steps).round().to(torch.uint8).cpu().numpy()
