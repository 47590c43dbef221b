"""Bootstrap intervals of differences: images and trainings resampled for both methods."""

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
# Fewer images are not resampled: a bootstrap of four gives intervals of half the width, of two a
# ninth (see `widening`).
FEWEST_IMAGES = 5
# Fixed seeds, so the same runs give the same intervals. Images, trainings and each set of images
# have separate random streams.
_IMAGES, _TRAININGS, _UNPAIRED = 1, 2, 3


def draws(stream: Sequence[int], size: int, resamples: int) -> NDArray[np.int64]:
    """Draw integers from 0 to ``size - 1`` with replacement: (resamples, size)."""
    return np.random.default_rng(list(stream)).integers(size, size=(resamples, size))


def multiplicities(drawn: NDArray[np.int64]) -> Array:
    """Count how often each integer occurs in draws (B, N): (B, N)."""
    count, size = drawn.shape
    flat = drawn + size * np.arange(count)[:, None]
    return np.bincount(flat.ravel(), minlength=count * size).reshape(count, size).astype(float)


class Resampled:
    """Scores of each training with resampled images.

    Trainings evaluated on the same images share the draws, so the difficulty of images cancels in
    a difference.

    Args:
        resamples: B, the number of resamples.
        image_sets: Keys of the sets of images.
        draw_images: If False, every resample has the images themselves, so that intervals cover
            the trainings alone.
    """

    def __init__(self, resamples: int, image_sets: Sequence[str], draw_images: bool = True) -> None:
        self._resamples = resamples
        self.draw_images = draw_images
        self._numbers = {key: number for number, key in enumerate(image_sets)}
        self._weights: dict[str, Array] = {}

    def scores(self, evaluation: Evaluation) -> "Scored":
        """Return the scores of `lightning_seg.experiments.comparison.scores.scores`."""
        if not self.draw_images:
            shape = (self._resamples, *evaluation.figures.shape)
            return Scored(evaluation.figures, np.broadcast_to(evaluation.figures, shape))
        key, count = evaluation.truth, len(evaluation.images)
        if key not in self._weights:
            stream = (_IMAGES, self._numbers[key])
            self._weights[key] = multiplicities(draws(stream, count, self._resamples))
        counts = evaluation.counts
        # Integers below 2^53: sums are exact in any order.
        sums = self._weights[key] @ counts.reshape(count, -1)
        resampled = scores(sums.reshape(-1, *counts.shape[1:]), evaluation.scale)
        return Scored(evaluation.figures, resampled)


@dataclass(frozen=True)
class Scored:
    """Scores of one training, or the difference of two.

    Attributes:
        as_measured: (M, 1 + Q).
        resampled: With resampled images, (B, M, 1 + Q).
    """

    as_measured: Array
    resampled: Array

    def __sub__(self, other: "Scored") -> "Scored":
        return Scored(self.as_measured - other.as_measured, self.resampled - other.resampled)


def resampled_difference(
    method: Mapping[Key, Scored], baseline: Mapping[Key, Scored], paired: bool
) -> Array:
    """Return resampled differences of the means over trainings: (B, M, 1 + Q).

    Args:
        method: Scores by training.
        baseline: Scores of the baseline; of the same trainings if ``paired``.
        paired: Resample trainings jointly, otherwise for each method separately.
    """
    if paired:
        return drawn_mean([method[key] - baseline[key] for key in baseline], _TRAININGS)
    first = drawn_mean(list(baseline.values()), _TRAININGS)
    return drawn_mean(list(method.values()), _UNPAIRED) - first


def drawn_mean(trainings: Sequence[Scored], stream: int) -> Array:
    """Return the mean over S trainings with resampled images, plus resampled training noise.

    The training noise is the mean of the measured scores over S trainings drawn with replacement,
    minus the mean over all, times `widening`. It is zero for a single training. NaNs are left out
    of means.
    """
    mean = nanmean(np.stack([training.resampled for training in trainings]), axis=0)
    if len(trainings) == 1:
        return mean
    measured = np.stack([training.as_measured for training in trainings])
    weights = multiplicities(draws((stream, len(trainings)), len(trainings), len(mean)))
    known = ~np.isnan(measured)
    total = np.einsum("bs,smq->bmq", weights, np.where(known, measured, 0))
    weight = np.einsum("bs,smq->bmq", weights, known)
    drawn = np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)
    return mean + widening(len(trainings)) * np.nan_to_num(drawn - nanmean(measured, axis=0))


def widening(count: int) -> float:
    """Return the factor that makes a bootstrap over few trainings as wide as Student's interval.

    The variance of bootstrap means of S samples is too small by the factor (S - 1) / S, and the
    bootstrap ignores the uncertainty of the standard deviation. The correction is
    sqrt(S / (S - 1)) t(S - 1) / z, with quantiles of Student's t and the normal distribution:
    9.2 for two trainings, 2.7 for three, 1.6 for five, 1 in the limit.
    """
    upper = (1 + LEVEL) / 2
    return float(math.sqrt(count / (count - 1)) * stdtrit(count - 1, upper) / ndtri(upper))


def interval(resampled: Array) -> Array:
    """Return the central 95 % of resamples (B, ...): (2, ...), NaN if half of them are NaN."""
    tail = (1 - LEVEL) / 2
    missing = np.isnan(resampled).mean(axis=0) >= 0.5
    with np.errstate(all="ignore"):
        filled = np.where(missing, 0.0, resampled)
        bounds = np.nanquantile(filled, [tail, 1 - tail], axis=0)
    return np.where(missing, np.nan, bounds)
