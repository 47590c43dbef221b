"""How sure a difference is: images and trainings drawn again, for both methods alike."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from lightning_seg.experiments.comparison.evaluation import Evaluation
from lightning_seg.experiments.comparison.scores import Array, nanmean, scores

Key = TypeVar("Key", bound=Hashable)

LEVEL = 0.95
# Fixed, so that the same runs give the same intervals. Images and trainings have streams of
# their own, and so has each set of images.
_IMAGES, _TRAININGS, _UNPAIRED = 1, 2, 3


def draws(stream: Sequence[int], size: int, resamples: int) -> NDArray[np.int64]:
    """Numbers from 0 to ``size - 1``, drawn with replacement: (resamples, size)."""
    return np.random.default_rng(list(stream)).integers(size, size=(resamples, size))


def multiplicities(drawn: NDArray[np.int64]) -> Array:
    """How often each number was drawn: (B, N) of draws (B, N)."""
    count, size = drawn.shape
    flat = drawn + size * np.arange(count)[:, None]
    return np.bincount(flat.ravel(), minlength=count * size).reshape(count, size).astype(float)


class Resampled:
    """Scores of each training with its images drawn again.

    Trainings that were measured on the same images see the same draws, so what makes an image hard
    cancels in a difference.

    Args:
        resamples: B, how often is drawn.
        image_sets: The keys of the sets of images.
    """

    def __init__(self, resamples: int, image_sets: Sequence[str]) -> None:
        self._resamples = resamples
        self._numbers = {key: number for number, key in enumerate(image_sets)}
        self._weights: dict[str, Array] = {}

    def scores(self, evaluation: Evaluation) -> "Scored":
        """Scores, as `lightning_seg.experiments.comparison.scores.scores` has them."""
        key, count = evaluation.truth, len(evaluation.images)
        if key not in self._weights:
            stream = (_IMAGES, self._numbers[key])
            self._weights[key] = multiplicities(draws(stream, count, self._resamples))
        counts = evaluation.counts
        # Whole numbers below 2^53: sums are exact in whatever order they are taken.
        sums = self._weights[key] @ counts.reshape(count, -1)
        resampled = scores(sums.reshape(-1, *counts.shape[1:]), evaluation.scale)
        return Scored(evaluation.figures, resampled)


@dataclass(frozen=True)
class Scored:
    """Scores of one training, or differences of two.

    Attributes:
        as_measured: (M, 1 + Q).
        resampled: With images drawn again, (B, M, 1 + Q).
    """

    as_measured: Array
    resampled: Array

    def __sub__(self, other: "Scored") -> "Scored":
        return Scored(self.as_measured - other.as_measured, self.resampled - other.resampled)


def resampled_difference(
    method: Mapping[Key, Scored], baseline: Mapping[Key, Scored], paired: bool
) -> Array:
    """Differences of the means over trainings, images and trainings drawn again: (B, M, 1 + Q).

    Args:
        method: Scores by training.
        baseline: The same of the baseline; for ``paired`` of the same trainings.
        paired: Draw trainings for both together, else for each by itself.
    """
    if paired:
        return drawn_mean([method[key] - baseline[key] for key in baseline], _TRAININGS)
    first = drawn_mean(list(baseline.values()), _TRAININGS)
    return drawn_mean(list(method.values()), _UNPAIRED) - first


def drawn_mean(every: Sequence[Scored], stream: int) -> Array:
    """The mean over S trainings with images drawn again, and how far other trainings may be off.

    The latter is, of the scores as measured, the mean over S trainings drawn with replacement less
    the mean over all, times `widening`; nothing where there is one training. What has no value is
    left out of means.
    """
    mean = nanmean(np.stack([one.resampled for one in every]), axis=0)
    if len(every) == 1:
        return mean
    measured = np.stack([one.as_measured for one in every])
    weights = multiplicities(draws((stream, len(every)), len(every), len(mean)))
    known = ~np.isnan(measured)
    total = np.einsum("bs,smq->bmq", weights, np.where(known, measured, 0))
    weight = np.einsum("bs,smq->bmq", weights, known)
    drawn = np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)
    return mean + widening(len(every)) * np.nan_to_num(drawn - nanmean(measured, axis=0))


def widening(count: int) -> float:
    """What makes an interval over few drawn trainings as wide as Student's.

    Means of S that were drawn of S vary less than means of S new ones, by (S - 1) / S in variance,
    and nothing in them says that the deviation itself is known badly. So
    sqrt(S / (S - 1)) t(S - 1) / z, with the quantiles of Student's and of the normal distribution:
    9.2 for two trainings, 2.7 for three, 1.6 for five, 1 for many.
    """
    upper = (1 + LEVEL) / 2
    return float(math.sqrt(count / (count - 1)) * stdtrit(count - 1, upper) / ndtri(upper))


def interval(resampled: Array) -> Array:
    """The middle 95 % of resamples (B, ...): (2, ...), NaN where half of them have no value."""
    tail = (1 - LEVEL) / 2
    missing = np.isnan(resampled).mean(axis=0) >= 0.5
    with np.errstate(all="ignore"):
        filled = np.where(missing, 0.0, resampled)
        bounds = np.nanquantile(filled, [tail, 1 - tail], axis=0)
    return np.where(missing, np.nan, bounds)
