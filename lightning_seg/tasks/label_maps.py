"""Label maps at the size of the original images, from predictions for padded or resized ones."""

from collections.abc import Collection, Sequence
from typing import Any

from torch import Tensor

from lightning_seg.inference.label_map import label_map
from lightning_seg.inference.test_time_augmentation import resize

Batch = dict[str, Any]


def scored(logits: Tensor, multi_label: bool) -> Batch:
    """Return the scores (B, K, H, W) of an evaluation step under the name of their kind.

    Logits of several labels per pixel become ``probabilities``: a callback could take logits that
    are all in [0, 1] for probabilities.
    """
    return {"probabilities": logits.float().sigmoid()} if multi_label else {"logits": logits}


def original_label_maps(
    predictions: dict[str, Tensor], batch: Batch, scores: Collection[str], multi_label: bool = False
) -> Batch:
    """Return labels, and maps other than scores, at the size of a batch's original images.

    Args:
        predictions: Maps (B, C, H, W) by name; ``logits`` are the scores of the classes.
        batch: Holds ``name`` and, where images were changed, ``content`` and ``size``, see
            `SegmentationTask.predict_step`.
        scores: Names of the predictions that are class scores.
        multi_label: Whether pixels may have several labels, see `label_map`.
    """
    count, _, *whole = predictions["logits"].shape
    contents = batch["content"].tolist() if "content" in batch else [[0, 0, *whole]] * count
    sizes = batch["size"].tolist() if "size" in batch else [place[2:] for place in contents]
    if all(place == (sizes[0], contents[0]) for place in zip(sizes, contents, strict=True)):
        resized = _resized(predictions, sizes[0], contents[0], scores, multi_label)
        return resized | {"name": batch["name"]}
    images = [
        _resized(
            {n: maps[i : i + 1] for n, maps in predictions.items()},
            size,
            content,
            scores,
            multi_label,
        )
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
    multi_label: bool,
) -> dict[str, Any]:
    row, column, height, width = content
    predictions = {
        n: resize(maps[..., row : row + height, column : column + width], size)
        for n, maps in predictions.items()
    }
    labels = label_map(predictions["logits"], multi_label)
    return {
        "labels": labels,
        "predictions": {name: maps for name, maps in predictions.items() if name not in scores},
    }
