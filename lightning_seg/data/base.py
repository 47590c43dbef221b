"""Base class of all datasets: splits, loaders and transforms."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from lightning.pytorch.utilities.seed import isolate_rng
from torch.utils.data import DataLoader, Dataset

from lightning_seg.data.reading.labels import (
    BandLabels,
    Color,
    ColorLabels,
    IdLabels,
    LabelDecoder,
)
from lightning_seg.data.reading.pair_reader import ExtraChannel, PairReader, ValueRange
from lightning_seg.data.reading.pairs import Pair, check_alignment, images_at
from lightning_seg.data.samples import PairDataset, Sample, collate
from lightning_seg.data.sampling.class_counts import (
    ClassCounts,
    balanced_weights,
    cached_counts,
)
from lightning_seg.data.sampling.class_locations import cached_locations
from lightning_seg.data.sampling.crops import GridCrops, RandomCrops
from lightning_seg.data.sampling.evaluation import EvaluationBatches, SampleLists, world_size
from lightning_seg.data.sampling.training import SeededDataset, TrainingLoader, TrainingSampler
from lightning_seg.data.transforms import Transform, TransformPipeline
from lightning_seg.errors import InputError
from lightning_seg.losses.class_weights import ClassBalance

Split = Literal["train", "val", "test", "predict"]

_SPLITS_OF_STAGE: dict[str | None, tuple[Split, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("predict",),
    None: ("train", "val", "test", "predict"),
}


class Judgement(NamedTuple):
    """Reasons why a split cannot be used, and notes on what is probably not intended."""

    problems: list[str]
    notes: list[str]


class SegmentationDataModule(LightningDataModule):
    """Base of all datasets. A subclass lists the files of a split and decodes their labels.

    Batches are dicts: ``image`` float32 (B, C, H, W) in [0, 1]; ``mask`` int64 (B, H, W) of 0..K-1
    and 255 for ignored pixels (see `multi_label`), absent in ``predict``; ``name`` list of str. In
    ``predict`` also ``size`` int64 (B, 2), the height and width of the original images, and where
    transforms pad, ``content`` int64 (B, 4), the row, column, height and width of the image in its
    padding. Validation, test and predict yield every whole image exactly once, on any number of
    processes.

    Args:
        root: The dataset's folder.
        class_names: Names of the classes 0..K-1.
        class_colors: RGB colours (0 to 255) of the classes in pictures.
        decoder: Decodes label files.
        eval_decoder: Decodes labels of validation and test if they ignore more; by default
            ``decoder``.
        in_channels: Channels of every image.
        batch_size: Training batch size on each process.
        eval_batch_size: Largest batch size in validation and test, and in predict without sliding
            windows; consecutive images of equal size share a batch.
        num_workers: Worker processes that load data; 0 loads in the main process.
        train_transforms: albumentations transforms for training samples.
        eval_transforms: albumentations transforms for all other samples, such as Resize. In
            predict, geometric transforms may only resize whole images or pad them with a constant;
            the padding is cropped from predictions.
        value_range: Lowest and highest image value, or a list of one such pair for each channel; by
            default the range of the integer type, and 0 to 1 for floats. Values outside are
            clipped, and NaN becomes 0.
        extra_channel: How to read the files of an extra channel, the last of ``in_channels``.
        downscale: Downscale factor of images and masks at reading.
        image_downscale: Size of image files relative to label files; images are downscaled by it.
        crop_size: Trains on random square crops of this side length in pixels instead of whole
            images. Only the crop is read from TIFFs.
        samples_per_epoch: Crops per epoch.
        crop_stride: Trains on a regular grid of crops with this stride in pixels, each once per
            epoch, instead of ``samples_per_epoch`` random crops.
        class_balanced: Draws crops around each class equally often. Class locations are computed
            once and cached in ``.lightning_seg`` below the root.
        predict_root: The images to predict instead of the test images: an image, a folder, a
            pattern such as "tiles/*_rgb.tif", or a list of these.

    Attributes:
        counts_labels: Whether `setup` reads all masks of a split once and asks `judge`; the counts
            are cached in ``.lightning_seg`` below the root. Unnecessary for published datasets.
    """

    counts_labels: ClassVar[bool] = False

    def __init__(
        self,
        *,
        root: str | Path,
        class_names: Sequence[str],
        class_colors: Sequence[Color],
        decoder: LabelDecoder,
        eval_decoder: LabelDecoder | None = None,
        in_channels: int = 3,
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int = 2,
        train_transforms: Sequence[Transform] | None = None,
        eval_transforms: Sequence[Transform] | None = None,
        value_range: ValueRange | None = None,
        extra_channel: ExtraChannel | None = None,
        downscale: int = 1,
        image_downscale: int = 1,
        crop_size: int | None = None,
        samples_per_epoch: int = 10_000,
        crop_stride: int | None = None,
        class_balanced: bool = False,
        predict_root: list[str] | str | Path | None = None,
    ) -> None:
        super().__init__()
        _check_value_range(value_range, in_channels - (extra_channel is not None))
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("eval_batch_size", eval_batch_size, 1),
            ("num_workers", num_workers, 0),
            ("crop_size", crop_size, 1),
            ("samples_per_epoch", samples_per_epoch, 1),
            ("crop_stride", crop_stride, 1),
        ):
            if value is not None and value < least:
                raise InputError(f"{name} is {value}. Set it to {least} or more.")
        if crop_stride is not None and class_balanced:
            raise InputError(
                "crop_stride and class_balanced were both given, but crops lie either on a grid or "
                "around classes. Remove one of them."
            )
        if class_balanced and decoder.multi_label:
            raise InputError(
                "class_balanced draws crops around the one class of a pixel, but with multi_label "
                "pixels have several. Remove class_balanced."
            )
        self.root = Path(root)
        self.class_names = tuple(class_names)
        self.class_colors = tuple(class_colors)
        self.num_classes = len(self.class_names)
        self.in_channels = in_channels
        self.decoder = decoder
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.reader = PairReader(
            decoder,
            in_channels - (extra_channel is not None),
            value_range,
            extra_channel,
            downscale,
            image_downscale,
        )
        self.eval_reader = replace(self.reader, decoder=eval_decoder or decoder)
        self.crop_size = crop_size
        self.samples_per_epoch = samples_per_epoch
        self.crop_stride = crop_stride
        self.class_balanced = class_balanced
        self.predict_root: list[str | Path] | None = None
        if predict_root is not None:
            named = [predict_root] if isinstance(predict_root, str | Path) else predict_root
            self.predict_root = list(named)
        self.train_pipeline = TransformPipeline(train_transforms)
        self.eval_pipeline = TransformPipeline(eval_transforms)
        self.datasets: dict[Split, Dataset[Sample]] = {}
        self._known_sizes: dict[tuple[Split, Pair], tuple[int, int]] = {}
        self._seed: int | None = None

    @abstractmethod
    def pairs(self, split: Split) -> list[Pair]:
        """Return the files of one split in a stable order; those of ``predict`` have no labels."""

    def predict_pairs(self) -> list[Pair]:
        """Return the images to predict, without labels."""
        if self.predict_root is None:
            return self.pairs("predict")
        if self.reader.extra is not None:
            raise InputError(
                f"predict_root: the images in {self.predict_root[0]} lack the extra channel "
                "(elevation or depth) of this dataset. Arrange them in the dataset's layout."
            )
        images: dict[str, Path] = {}
        for root in self.predict_root:
            for name, path in images_at(root).items():
                if images.setdefault(name, path) != path:
                    raise InputError(
                        f"predict_root: {images[name]} and {path} have the same name, {name}. "
                        "Name the folder above both, or predict them separately."
                    )
        return [Pair(name, path) for name, path in images.items()]

    @property
    def multi_label(self) -> bool:
        """Whether pixels may have several labels: masks are then (B, K, H, W) of 0, 1 and 255."""
        return self.decoder.multi_label

    @property
    def sharing(self) -> frozenset[tuple[Split, Split]]:
        """Pairs of splits that share images because a setting asks for it."""
        return frozenset()

    @property
    def label_values(self) -> tuple[int, ...] | None:
        """The value of each class in the dataset's own label files; None if it is not a number.

        With several labels per pixel, the values of absence and presence.
        """
        if isinstance(self.decoder, BandLabels):
            return self.decoder.band.values
        if isinstance(self.decoder, IdLabels):
            return self.decoder.values
        if not isinstance(self.decoder, ColorLabels):
            return None
        greys = [color[0] for color in self.decoder.values if len(set(color)) == 1]
        return tuple(greys) if len(greys) == self.num_classes else None

    def read_masks_alone(self) -> None:
        """Read and list only masks, for a task that uses no images; these may be missing.

        `setup` calls it if the trainer's module has ``masks_alone``, as `EdgeDetectionTask` does.
        Folders, CamVid, Cityscapes, HELEN and VOC then need no images.
        """
        self.reader = replace(self.reader, masks_alone=True)
        self.eval_reader = replace(self.eval_reader, masks_alone=True)

    def reader_of(self, split: Split) -> PairReader:
        """Return the reader of a split's files."""
        return self.reader if split in ("train", "predict") else self.eval_reader

    def about_splits(self) -> str:
        """Return a sentence on how the files were split, or "" if there is only one way."""
        return ""

    def dataset(self, split: Split, pairs: Sequence[Pair]) -> Dataset[Sample]:
        """Return the dataset of one split: training crops, or whole images."""
        if split != "train":
            return PairDataset(pairs, self.reader_of(split), self.eval_pipeline)
        if self.crop_size is None:
            return PairDataset(pairs, self.reader, self.train_pipeline, training=True)
        if self.crop_stride is not None:
            return GridCrops(
                pairs, self.reader, self.train_pipeline, self.crop_size, self.crop_stride
            )
        locations = None
        if self.class_balanced:
            locations = cached_locations(pairs, self.reader, self.num_workers, self.root)
        return RandomCrops(
            pairs,
            self.reader,
            self.train_pipeline,
            self.crop_size,
            self.samples_per_epoch,
            locations,
        )

    def judge(self, split: Split, counts: ClassCounts | None) -> Judgement:
        """Judge a split by the pixels in its masks; ``data check`` and `setup` both ask this.

        Args:
            split: A split with labels.
            counts: Pixels of all its masks; None if it has no images.
        """
        if counts is None:
            return self._judge_empty(split)
        problems, notes = [], []
        missing = [f"{i} {name}" for i, name in enumerate(self.class_names) if not counts.pixels[i]]
        ignored = len(missing) == self.num_classes
        if self.multi_label:  # labels may be absent everywhere
            ignored = not any(counts.pixels_around)
        if ignored:
            problems.append(
                "every pixel of the masks is ignored, so there is nothing to learn or evaluate. "
                "Correct the masks, or the values that stand for the classes and for ignored."
                if counts.ignored == counts.ignored_by_labels
                else "every pixel is ignored by the masks, or has no data in the images, so there "
                "is nothing to learn or evaluate. Choose other images or regions, or correct the "
                "masks."
            )
        elif missing and split == "train":
            notes.append(
                f"the masks hold no pixel of {len(missing)} of the {self.num_classes} classes "
                f"({', '.join(missing)}), so training cannot learn them."
            )
        if counts.inexact:
            notes.append(
                f"{counts.inexact} mask(s) hold pixels that only nearly have a class's value and "
                "are taken for it; `lightning-seg data check` names them."
            )
        return Judgement(problems, notes)

    def _judge_empty(self, split: Split) -> Judgement:
        if split == "train":
            where = f"there are no images in {self.root.absolute()}"
            return Judgement([f"{where}. Check the folder, or the setting for the split."], [])
        what = {
            "val": "fit evaluates nothing, and keeps the checkpoint of the last epoch alone",
            "test": "the command test is refused, and predict needs predict_root",
        }
        return Judgement([], [f"there are no images: {what[split]}."])

    def _check_labels(self, split: Split, pairs: Sequence[Pair]) -> None:
        """Raise if a split's masks cannot be used; warn of what is probably not intended."""
        judgement = None
        if self.trainer is None or self.trainer.is_global_zero:
            try:
                reader = self.reader_of(split)
                counts = cached_counts(pairs, reader, self.num_workers, self.root)
                judgement = self.judge(split, counts)
            except (InputError, OSError) as error:
                # Raised on rank 0 alone, it would hang the other ranks.
                judgement = Judgement([str(error)], [])
        if self.trainer is not None:
            judgement = self.trainer.strategy.broadcast(judgement)
        assert judgement is not None, "the first process broadcasts it"
        if judgement.problems:
            raise InputError(f"{split}: {judgement.problems[0]}")
        for note in judgement.notes:
            rank_zero_warn(f"{split}: {note}")

    def setup(self, stage: str | None = None) -> None:
        """Find and check the files of the stage's splits."""
        if getattr(getattr(self.trainer, "lightning_module", None), "masks_alone", False):
            self.read_masks_alone()
        for split in _SPLITS_OF_STAGE[stage]:
            if split in self.datasets:
                continue
            if split == "predict":
                self.eval_pipeline.refuse_for_predictions()
            pairs = self.predict_pairs() if split == "predict" else self.pairs(split)
            if not pairs and stage == "fit" and split == "val":
                for note in self.judge(split, None).notes:
                    rank_zero_warn(f"{split}: {note}")
                continue
            if not pairs:
                raise InputError(
                    f"The {split} split of {self.root.absolute()} holds no images. "
                    "Check the folder, or the setting that selects the split."
                )
            if not self.reader.masks_alone:
                check_alignment(pairs, self.decoder, self.reader.image_downscale)
            if self.counts_labels and split != "predict":
                self._check_labels(split, pairs)
            if split != "predict":
                self._try_samples(split, pairs)
            self.datasets[split] = self.dataset(split, pairs)

    def failures(self, split: Split, of_size: Mapping[tuple[int, int], Pair]) -> list[str]:
        """Return the first error of transforms and batches on the images of most different sizes.

        Args:
            split: The split that the images belong to.
            of_size: An image of each (height, width).
        """
        training = split == "train"
        batched = training and self.batch_size > 1
        pipeline = self.train_pipeline if training else self.eval_pipeline
        if not of_size or (pipeline.changes_nothing and not batched):
            return []
        trial = copy(self)
        trial.class_balanced = False  # locating the classes would read all labels
        sides = [min(of_size), max(of_size), *(f(of_size, key=_width) for f in (min, max))]
        try:
            with isolate_rng(include_cuda=False):
                samples = [trial.dataset(split, [of_size[s]])[0] for s in dict.fromkeys(sides)]
            if batched:
                collate(samples)
        except InputError as error:
            return [str(error)]
        return []

    def _try_samples(self, split: Split, pairs: Sequence[Pair]) -> None:
        """Raise before the first step if images of some sizes cannot be used."""
        if split == "train" and self.crop_size is not None:
            return
        of_size = {self._size(split, pair): pair for pair in pairs}
        # Otherwise the first step fails.
        if split != "train" or len(of_size) > 1:
            for failure in self.failures(split, of_size):
                raise InputError(f"{split}: {failure}")

    def class_weights(self, balance: ClassBalance) -> tuple[float, ...]:
        """Return class weights from the training pixels; see `balanced_weights`.

        Pixels that training ignores do not count. The labels are read once; the counts are cached
        in ``.lightning_seg`` below the root.
        """
        counts = cached_counts(self.pairs("train"), self.reader, self.num_workers, self.root)
        return balanced_weights(counts, balance)

    def train_dataloader(self) -> DataLoader[Sample]:
        """Return shuffled training batches, without an incomplete last one if there are others.

        Order, crops and augmentations follow from the run's seed and the epoch, on any number of
        workers. A resumed run continues behind the last batch of its checkpoint.
        """
        seed = self._run_seed()
        dataset = SeededDataset(self.datasets["train"], seed)
        per_process = len(dataset) // world_size()
        return TrainingLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=TrainingSampler(dataset, seed, self._trained_samples),
            # A last batch of one sample would break batch normalisation.
            drop_last=per_process >= self.batch_size,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=collate,
            generator=torch.Generator(),
        )

    def state_dict(self) -> dict[str, int | None]:
        """Return the seed of the training samples, for a checkpoint."""
        return {"seed": self._seed}

    def load_state_dict(self, state_dict: dict[str, int | None]) -> None:
        """Restore the seed of the training samples."""
        self._seed = state_dict["seed"]

    def _run_seed(self) -> int:
        """Return the seed of the run's training samples, drawn from torch's random state."""
        if self._seed is not None:
            return self._seed
        seed = int(torch.randint(2**31, ()))
        if self.trainer is not None:
            seed = self._seed = self.trainer.strategy.broadcast(seed)
        return seed

    def _trained_samples(self) -> int:
        trainer = self.trainer
        if trainer is None or not trainer.training:
            return 0
        return (trainer.fit_loop.batch_idx + 1) * self.batch_size

    def val_dataloader(self) -> DataLoader[Sample] | list[DataLoader[Sample]]:
        """Return whole validation images, each once; an empty list if fit has none."""
        return self._evaluation_dataloader("val") if "val" in self.datasets else []

    def test_dataloader(self) -> DataLoader[Sample]:
        """Return whole test images, each once."""
        return self._evaluation_dataloader("test")

    def predict_dataloader(self) -> DataLoader[Sample]:
        """Return whole images without masks, each once."""
        return self._evaluation_dataloader("predict")

    def _evaluation_dataloader(self, split: Split) -> DataLoader[Any]:
        dataset = SampleLists(self.datasets[split])
        return DataLoader(
            dataset,
            batch_size=None,  # the sampler's batches
            sampler=EvaluationBatches(dataset, self.eval_batch_size, self._sizes(split)),
            num_workers=self.num_workers,
            # Whole tiles are large: one of 6000 x 6000 takes 700 MB as a sample.
            prefetch_factor=1 if self.num_workers else None,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=collate,
            generator=torch.Generator(),  # keeps the random numbers of training unchanged
        )

    def _size(self, split: Split, pair: Pair) -> tuple[int, int]:
        """Return an image's height and width, from its header the first time."""
        key = split, pair
        if key not in self._known_sizes:
            self._known_sizes[key] = self.reader_of(split).size(pair)
        return self._known_sizes[key]

    def _sizes(self, split: Split) -> list[tuple[int, int]] | None:
        """Return the height and width of each sample if a batch could hold several."""
        dataset = self.datasets[split]
        if self.eval_batch_size == 1 or not isinstance(dataset, PairDataset):
            return None
        sizes = [self._size(split, pair) for pair in dataset.pairs]
        transformed = {size: self.eval_pipeline.size_after(size) for size in dict.fromkeys(sizes)}
        return [transformed[size] for size in sizes]


def _width(size: tuple[int, int]) -> int:
    return size[1]


def _check_value_range(value_range: ValueRange | None, channels: int) -> None:
    if value_range is None:
        return
    pairs = np.atleast_2d(np.array(value_range, float))
    if len(pairs) not in (1, channels):
        raise InputError(
            f"value_range has {len(pairs)} pairs for {channels} channels. Give one pair, or one "
            "for each channel."
        )
    for low, high in pairs.tolist():
        if not low < high:
            raise InputError(
                f"value_range is {[low, high]}, but the first value must be below the second."
            )
