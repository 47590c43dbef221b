"""Cross-validation: the images of all folds as one evaluation for each seed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lightning_seg.experiments.comparison.evaluation import Evaluation
from lightning_seg.experiments.comparison.methods import Method


def pool_folds(methods: Sequence[Method]) -> tuple[list[Method], list[str]]:
    """Make the images of all folds one evaluation for each seed; return the methods and notes.

    Seeds that lack a fold are left out of their method, and so are methods without a complete seed.
    Nothing changes if there is only one set of images, if an image is in several sets (random
    splits), or if no seed of any method has all sets.
    """
    every = [item for method in methods for item in method.evaluations.items()]
    folds = {images: one for (images, _), one in every}
    images = [image for one in folds.values() for image in identities(one)]
    if len({one.truth for one in folds.values()}) < 2:
        return list(methods), []
    if len(set(images)) < len(images):
        twice = next(image[0] for image in images if images.count(image) > 1)
        return list(methods), [
            f"The runs were evaluated on {len(folds)} sets of images that share {twice}, so they "
            "are not pooled as the folds of a cross-validation: each run counts by itself."
        ]
    seeds = [list(dict.fromkeys(seed for _, seed in method.runs)) for method in methods]
    complete = [
        [seed for seed in of if all((truth, seed) in method.runs for truth in folds)]
        for method, of in zip(methods, seeds, strict=True)
    ]
    if not any(complete):
        return list(methods), [
            f"No seed has runs on all {len(folds)} sets of images, so they are not pooled as the "
            "folds of a cross-validation: each run counts by itself."
        ]
    pooled_methods, incomplete = [], []
    left_out: dict[tuple[int | None, ...], list[str]] = {}
    for method, of, kept in zip(methods, seeds, complete, strict=True):
        if not kept:
            incomplete.append(method.name)
            continue
        pooled_methods.append(method)
        if lacking := tuple(seed for seed in of if seed not in kept):
            left_out.setdefault(lacking, []).append(method.name)
        method.runs = {key: run for key, run in method.runs.items() if key[1] in kept}
        pooled = [_pool([method.evaluations[truth, seed] for truth in folds]) for seed in kept]
        method.evaluations = {(p.truth, s): p for p, s in zip(pooled, kept, strict=True)}
    notes = [
        f"{', '.join(names)}: without seed {', '.join(map(str, of))}, whose runs lack some of the "
        f"{len(folds)} folds."
        for of, names in left_out.items()
    ]
    if incomplete:
        notes.append(
            f"{', '.join(incomplete)}: left out, as no seed has runs on all {len(folds)} folds yet."
        )
    return pooled_methods, notes


def identities(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Return what tells images apart: regions of one file share its name, but not their pixels."""
    return [
        (name, *map(str, evaluation.true_pixels(i).values()))
        for i, name in enumerate(evaluation.images)
    ]


def _pool(evaluations: Sequence[Evaluation]) -> Evaluation:
    return replace(
        evaluations[0],
        images=tuple(name for one in evaluations for name in one.images),
        truth=" ".join(one.truth for one in evaluations),
        counts=np.concatenate([one.counts for one in evaluations]),
    )
