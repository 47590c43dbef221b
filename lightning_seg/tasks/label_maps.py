"""Label maps at the size of the original images, from predictions for padded or resized ones."""

from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor

from lightning_seg.inference.label_map import label_map
from lightning_seg.inference.test_time_augmentation import resize

Batch = dict[str, Any]


def original_label_maps(
    predictions: dict[str, Tensor], batch: Batch, scores: Collection[str]
) -> Batch:
    """Return labels, and maps other than scores, at the size of a batch's original images.

    Args:
        predictions: Maps (B, C, H, W) by name; ``logits`` are the scores of the classes.
        batch: Holds ``name`` and, where images were changed, ``content`` and ``size``, see
            `SegmentationTask.predict_step`.
        scores: Names of the predictions that are class scores.
    """
    whole = list(predictions["logits"].shape[-2:])
    sizes = batch["size"].tolist() if "size" in batch else [whole]
    contents = batch["content"].tolist() if "content" in batch else [[0, 0, *whole]] * len(sizes)
    if all(place == (sizes[0], contents[0]) for place in zip(sizes, contents, strict=True)):
        return _resized(predictions, sizes[0], contents[0], scores) | {"name": batch["name"]}
    images = [
        _resized({n: maps[i : i + 1] for n, maps in predictions.items()}, size, content, scores)
        for i, (size, content) in enumerate(zip(sizes, contents, strict=True))
    ]
    maps = {n: [im["predictions"][n][0] for im in images] for n in images[0]["predictions"]}
    return {
        "labels": [image["labels"][0] for image in images],
        "predictions": maps,
        "name": batch["name"],
    }


def _resized(
    predictions: dict[str, Tensor],
    size: Sequence[int],
    content: Sequence[int],
    scores: Collection[str],
) -> dict[str, Any]:
    row, column, height, width = content
    predictions = {
        n: resize(maps[..., row : row + height, column : column + width], size)
        for n, maps in predictions.items()
    }
    labels = label_map(predictions["logits"])
    return {
        "labels": labels,
        "predictions": {name: maps for name, maps in predictions.items() if name not in scores},
    }
