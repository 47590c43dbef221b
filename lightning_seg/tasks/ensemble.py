"""Ensemble of trained tasks, whose class probabilities are averaged."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from lightning_seg.errors import InputError
from lightning_seg.inference import SlidingWindow, TestTimeAugmentation
from lightning_seg.inference.uncertainty import normalized_entropy, scores_of
from lightning_seg.tasks.class_legend import LEGEND, check_labels_per_pixel, take_class_legend
from lightning_seg.tasks.label_maps import original_label_maps, scored
from lightning_seg.tasks.segmentation import Batch, SegmentationTask


class Ensemble(LightningModule):
    """Several trained tasks with the same classes, evaluated and used as one.

    Class probabilities are averaged over the members, one after the other in each window (or
    image), by a running mean; identical inputs give exactly that value. Networks, heads and losses
    may differ. Regressed maps are left out, and no loss is logged.

    An ensemble of one gives exactly the results of that task. One of equal members gives its
    probabilities exactly; labels of whole images (without ``inference``) may differ where two
    classes are equally probable up to rounding.

    Args:
        members: The tasks.
        inference: Windows and test-time augmentation of all members; by default those of the first.
        checkpoints: Where the members come from, for messages and records.

    Attributes:
        class_names, class_colors: Names and RGB colours of the classes, if known.

    Raises:
        InputError: There are no members, or they differ in classes, their order, or channels.
    """

    def __init__(
        self,
        members: Sequence[SegmentationTask],
        inference: SlidingWindow | TestTimeAugmentation | None = None,
        checkpoints: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if not members:
            raise InputError("an ensemble has no members. Give at least one checkpoint.")
        self.members = nn.ModuleList(members)
        self.checkpoints = tuple(checkpoints)
        first = members[0]
        named = next((member for member in members if member.class_names), first)
        of_named = list(members).index(named)
        for number, member in enumerate(members):
            self._check_like(number, 0, "classes", first.num_classes, member.num_classes)
            self._check_like(number, 0, "image channels", first.in_channels, member.in_channels)
            self._check_like(number, 0, "multi_label", first.multi_label, member.multi_label)
            if named.class_names and member.class_names:
                names = named.class_names, member.class_names
                self._check_like(number, of_named, "class names", *names)
        self.num_classes = first.num_classes
        self.in_channels = first.in_channels
        self.multi_label = first.multi_label
        self.inference = inference or first.inference
        self.class_names, self.class_colors = (getattr(named, name) for name in LEGEND)

    @classmethod
    def from_checkpoints(
        cls,
        paths: Sequence[str | Path],
        inference: SlidingWindow | TestTimeAugmentation | None = None,
        weights_only: bool = True,
    ) -> Self:
        """Load an ensemble; works offline and runs no code in the files.

        Args:
            paths: Checkpoints of `SegmentationTask`, see its ``load_from_checkpoint``.
            inference: See `Ensemble`.
            weights_only: False also loads Python objects, which can run any code.

        Raises:
            InputError: A file is not such a checkpoint, or members do not fit together.
        """
        members = [
            SegmentationTask.load_from_checkpoint(
                path, map_location="cpu", weights_only=weights_only
            )
            for path in paths
        ]
        return cls(members, inference, [str(path) for path in paths]).eval()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map images (B, C, H, W) in [0, 1] to ``logits`` (B, K, H, W) at image size."""
        if len(self.members) == 1:  # a logarithm of probabilities would be rounded otherwise
            return {"logits": self.members[0](image)["logits"]}
        return {"logits": scores_of(self.probabilities(image)["logits"], self.multi_label)}

    def infer(self, image: Tensor) -> dict[str, Tensor]:
        """Return ``logits`` for whole images, using ``inference`` if it is set."""
        if self.inference is None:
            return self(image)
        mean = self.inference(self.probabilities, image)["logits"]
        return {"logits": scores_of(mean, self.multi_label)}

    def infer_window(self, image: Tensor, disagreement: bool = False) -> dict[str, Tensor]:
        """Return the mean probabilities of windows (B, C, *size) as ``logits``.

        With `TestTimeAugmentation`, each window is augmented.

        Args:
            image: The windows.
            disagreement: Also return ``disagreement``, see `probabilities_and_disagreement`.
        """
        function = self.probabilities_and_disagreement if disagreement else self.probabilities
        if isinstance(self.inference, TestTimeAugmentation):
            return replace(self.inference, window=None)(function, image)
        return function(image)

    def probabilities(self, image: Tensor) -> dict[str, Tensor]:
        """Return the members' mean probabilities (B, K, H, W) as ``logits``."""
        return {"logits": _mean(self._each(image))}

    def probabilities_and_disagreement(self, image: Tensor) -> dict[str, Tensor]:
        """Return the members' mean probabilities, and their ``disagreement`` (B, 1, H, W).

        The disagreement is the mutual information of class and member: the entropy of the mean
        minus the mean of the members' entropies, both over the logarithm of the number of classes.
        It is 0 where all members agree, and at most the entropy of the mean.

        Raises:
            InputError: The members give several labels per pixel.
        """
        if self.multi_label:
            raise InputError(
                "the disagreement of an ensemble is for one label per pixel, but its members have "
                "multi_label. Ask for probabilities."
            )
        # The entropies are one more channel, so that one running mean is enough.
        both = _mean(torch.cat([p, normalized_entropy(p)], dim=1) for p in self._each(image))
        mean, entropy = both[:, :-1], both[:, -1:]
        return {"logits": mean, "disagreement": (normalized_entropy(mean) - entropy).clamp(min=0)}

    def _each(self, image: Tensor) -> Iterator[Tensor]:
        """Yield each member's probabilities."""
        for member in self.members:
            yield cast(SegmentationTask, member).probabilities(image)["logits"]

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Batch:
        """Return ``logits`` (or ``probabilities``), ``mask`` and ``name`` for whole images."""
        scores = scored(self.infer(batch["image"])["logits"], self.multi_label)
        return scores | {"mask": batch["mask"], "name": batch.get("name")}

    test_step = validation_step

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Batch:
        """Return labels as `SegmentationTask.predict_step` does."""
        predictions = self.infer(batch["image"])
        return original_label_maps(predictions, batch, ("logits",), self.multi_label)

    def setup(self, stage: str) -> None:
        """Copy class names and colours from the DataModule.

        Raises:
            InputError: The DataModule has another number of classes or image channels.
        """
        self.check_data(getattr(self.trainer, "datamodule", None))
        take_class_legend(self)
        check_labels_per_pixel(self)

    def check_data(self, data: Any) -> None:
        """Raise InputError if a DataModule has another number of classes or image channels."""
        for name, what in (("num_classes", "classes"), ("in_channels", "image channels")):
            own, given = getattr(self, name), getattr(data, name, None)
            if given not in (None, own):
                raise InputError(
                    f"the data have {given} {what}, but the ensemble's members have {own}. Use the "
                    "data settings of the members' runs."
                )

    def _check_like(self, number: int, other: int, what: str, first: Any, own: Any) -> None:
        if own != first:
            names = [*self.checkpoints] or [f"member {n + 1}" for n in range(len(self.members))]
            order = " (in another order)" if what == "class names" and _same(first, own) else ""
            raise InputError(
                f"{names[number]} and {names[other]} differ in {what}{order}: {_text(own)} and "
                f"{_text(first)}. Give checkpoints that were trained on the same classes and "
                "channels."
            )


def _mean(maps: Iterator[Tensor]) -> Tensor:
    """Return the running mean; identical inputs give exactly that value."""
    mean = next(maps)
    for number, one in enumerate(maps, start=2):
        mean = mean + (one - mean) / number
    return mean


def _same(first: Sequence[str], second: Sequence[str]) -> bool:
    return sorted(first) == sorted(second)


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
