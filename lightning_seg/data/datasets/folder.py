"""A user's own folder of images and masks."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from lightning_seg.data.base import Judgement, SegmentationDataModule, Split
from lightning_seg.data.reading.labels import (
    IGNORE_INDEX,
    BandLabels,
    Color,
    ColorLabels,
    IdLabels,
    LabelDecoder,
    Unknown,
    distinct_colors,
    largest_tolerance,
)
from lightning_seg.data.reading.pair_reader import ValueRange
from lightning_seg.data.reading.pairs import Pair, PairingError, find_images, match_pairs
from lightning_seg.data.sampling.class_counts import ClassCounts
from lightning_seg.data.sampling.regions import Region, check_regions, parts_of, without_parts
from lightning_seg.data.sampling.splits import (
    grouped,
    split_by_fold,
    split_by_fractions,
    split_by_lists,
)
from lightning_seg.data.transforms import Transform
from lightning_seg.errors import InputError, check_choice
from lightning_seg.palette import layer_colors

Palette = list[Color] | list[int]


class FolderDataModule(SegmentationDataModule):
    """Images and masks of equal name in two folders, or one: the formats of `IMAGE_SUFFIXES`.

    Splits come from the first of these that applies: ``train_list``, ``val_list`` and
    ``test_list``; regions of every image; sub-folders, either ``root/train/images`` or
    ``root/images/train`` (and ``val``, ``test``), or where ``{split}`` stands in ``images`` and
    ``masks``; a random split by ``fractions``, or folds. Without a folder ``val``, its share of the
    training images validates. Predict uses ``predict_root``, or the test images.

    Args:
        root: The folder that holds everything.
        num_classes: Number of classes; not needed with ``class_names`` or ``palette``.
        class_names: Names of the classes 0..K-1.
        palette: The value of each class in the masks, in class order: RGB colours, or numbers such
            as [0, 255] for black and white masks. By default masks hold 0..K-1. Paletted PNGs are
            read by index unless colours are given.
        ignored: Colours or numbers of unlabelled pixels, such as -1; by default 255, and none for
            colours.
        tolerance: Largest distance of a number, or of each colour channel, from an entry of
            ``palette`` or ``ignored``, for masks saved with lossy compression.
        unknown: Refuses other numbers or colours ("error"), takes them for the nearest in
            ``palette`` or ``ignored`` ("nearest"), or ignores them ("void"); for masks whose
            colours are blended at borders.
        images: The images' folder, below ``root``. It may hold ``{split}``, as in "{split}_images".
        masks: The masks' folder, below ``root``; the same.
        mask_suffix: Ending of mask names after the common name, such as "_mask"; other files are
            no masks. If images and masks are in one folder, an ending tells them apart.
        image_suffix: The same for images, such as "_image" or "_sat.jpg".
        train_list: Text file below ``root`` with one training image, or sub-folder, per line. If
            only other lists are given, the images of none train; without ``val_list``, too, their
            share by ``fractions`` validates.
        val_list: The same for validation.
        test_list: The same for test; it may be the file of ``val_list``.
        fractions: Fractions of train, val and test; without a folder ``val``, the first two are
            shares of the training images.
        split_seed: Seed of the random split.
        fold: Cross-validation: fold 1, 2, ... of ``folds`` tests, and a share of the other images
            validates, as ``fractions`` of train and val ask. With sub-folders ``train`` and
            ``test``, or a fraction of 0 for test, the fold validates instead. Every image is in
            one fold.
        folds: Number of folds, at least 2.
        group: Images that a random split or a fold does not separate, such as the frames of a
            video: a regular expression whose match in the name is the group, such as "^[^_]+".
        split_folders: Names of the folders of train, val and test if they have others, such as
            ``{val: valid}``; ``{test: val}`` tests on the validation images, and ``{val: none}``
            without such a folder validates on a share of the training images.
        val_region: Validates on this region of every image, and trains on the rest: top, left,
            bottom and right as fractions of height and width. For a few large images; needs
            ``crop_size``.
        test_region: The same for test.
        multi_label: Pixels may have several classes, or none. A mask is a TIFF, or a PNG of up to 4
            bands, with a band for each class in class order, which holds 0, 1 and 255 for ignored
            pixels. ``palette`` gives other numbers for absent and present, such as [0, 255].
    """

    counts_labels = True

    def __init__(
        self,
        root: str | Path,
        num_classes: int | None = None,
        class_names: list[str] | None = None,
        palette: Palette | None = None,
        ignored: Palette | None = None,
        tolerance: int = 0,
        unknown: Unknown = "error",
        images: str = "images",
        masks: str = "masks",
        mask_suffix: str = "",
        image_suffix: str = "",
        in_channels: int = 3,
        value_range: ValueRange | None = None,
        train_list: str | None = None,
        val_list: str | None = None,
        test_list: str | None = None,
        fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
        split_seed: int = 0,
        fold: int | None = None,
        folds: int = 5,
        group: str | None = None,
        split_folders: dict[str, str] | None = None,
        val_region: Region | None = None,
        test_region: Region | None = None,
        predict_root: list[str] | str | Path | None = None,
        crop_size: int | None = None,
        samples_per_epoch: int = 10_000,
        class_balanced: bool = False,
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int = 2,
        train_transforms: list[Transform] | None = None,
        eval_transforms: list[Transform] | None = None,
        multi_label: bool = False,
    ) -> None:
        names = _class_names(num_classes, class_names, palette, multi_label)
        decoder: LabelDecoder
        if multi_label:
            decoder = BandLabels(len(names), _band(palette, ignored, tolerance, unknown))
        else:
            decoder = _decoder(len(names), palette, ignored, tolerance, unknown)
        colors = (layer_colors if multi_label else distinct_colors)(len(names))
        if isinstance(decoder, ColorLabels):
            colors = decoder.values
        super().__init__(
            root=root,
            class_names=names,
            class_colors=colors,
            decoder=decoder,
            in_channels=in_channels,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            train_transforms=train_transforms,
            eval_transforms=eval_transforms,
            predict_root=predict_root,
            value_range=value_range,
            crop_size=crop_size,
            samples_per_epoch=samples_per_epoch,
            class_balanced=class_balanced,
        )
        self.images = images
        self.masks = masks
        self.mask_suffix = mask_suffix
        self.image_suffix = image_suffix
        if images == masks and mask_suffix == image_suffix:
            raise InputError(
                f"images and masks are both {images}. Name two folders, or tell the files apart by "
                'mask_suffix or image_suffix, such as mask_suffix "_mask".'
            )
        given = {"train": train_list, "val": val_list, "test": test_list}
        self.lists = {split: self.root / name for split, name in given.items() if name}
        self.fractions = fractions
        self.split_seed = split_seed
        self.fold = fold
        self.folds = folds
        self.group = group
        if folds < 2:
            raise InputError(f"folds is {folds}. Set it to 2 or more.")
        if fold is not None and not 1 <= fold <= folds:
            raise InputError(f"fold is {fold}. Set it to a number from 1 to folds, {folds}.")
        self.split_folders = split_folders or {}
        if ("{split}" in images) != ("{split}" in masks):
            raise InputError(
                f"{{split}} is in one of images {images!r} and masks {masks!r}. Write it in both."
            )
        regions: dict[Split, Region | None] = {"val": val_region, "test": test_region}
        self.regions = {split: region for split, region in regions.items() if region is not None}
        check_regions({f"{split}_region": region for split, region in self.regions.items()})
        if self.regions and crop_size is None:
            raise InputError("val_region and test_region need crop_size. Set it, such as to 256.")
        if fold is not None and (self.lists or self.regions):
            raise InputError(
                "fold divides the images by itself. Remove train_list, val_list, test_list, "
                "val_region and test_region, or fold."
            )
        self.plain_ids = palette is None and not multi_label
        self.assumes_ignored = palette is None and ignored is None

    def about_splits(self) -> str:
        """Describe how the files are split."""
        if self.lists:
            text = f"Splits by {', '.join(path.name for path in self.lists.values())}."
            if "train" in self.lists:
                return text
            train, val, _ = self._shares()
            others = f"train and val by random shares of {train:g} and {val:g}"
            return f"{text} All other images are {others if self._lacks_val() else 'train'}."
        if self.regions:
            regions = [f"{split} {list(region)}" for split, region in self.regions.items()]
            return f"Regions of every image: {', '.join(regions)}."
        if self.fold is not None:
            use = "tests" if self._shares()[2] else "validates"
            return f"Fold {self.fold} of {self.folds} {use} (split_seed {self.split_seed})."
        if self._lacks_val():
            train, val, _ = self._shares()
            folder = self._folders("train")[0]
            return f"Train and val are random shares of {train:g} and {val:g} of {folder}."
        if self._has_split_folders():
            return f"Splits by sub-folders: {self._folders('train')[0]} and so on."
        shares = ", ".join(f"{share:g}" for share in self.fractions)
        return f"Random splits by shares of {shares} (split_seed {self.split_seed})."

    def judge(self, split: Split, counts: ClassCounts | None) -> Judgement:
        """Judge a split, also by values that people mean otherwise: 255, and ids from 1 on."""
        problems, notes = super().judge(split, counts)
        if counts is None:
            return Judgement(problems, notes)
        void = self.assumes_ignored and counts.ignored_by_labels
        if self.multi_label and void and not any(counts.pixels):
            return Judgement(
                [
                    "the bands of the masks hold only 0 and 255, and 255 would be ignored. If it "
                    "means that the class is present, set palette to [0, 255]; otherwise set "
                    "ignored to [255]."
                ],
                [],
            )
        if self.multi_label:
            return Judgement(problems, notes)
        if void and not any(counts.pixels[1:]):
            held = "0 and 255" if counts.pixels[0] else "255"
            return Judgement(
                [
                    f"the masks hold only {held}, and 255 would be ignored. If it is class 1, set "
                    "num_classes to 2 and palette to [0, 255]; otherwise set ignored to [255]."
                ],
                [],
            )
        if self.plain_ids and split == "train" and not counts.pixels[0] and any(counts.pixels):
            last = self.num_classes - 1
            ids = list(range(1, last + 1)) if last < 10 else f"[1, 2, ..., {last}]"
            notes.append(
                f"if the masks are numbered from 1 on, set num_classes to {last} and palette to "
                f"{ids}."
            )
        return Judgement(problems, notes)

    def pairs(self, split: Split) -> list[Pair]:
        """Return the files of one split, sorted by name, or in the order of its list."""
        if split == "predict":
            return self._unlabelled()
        if self.regions and split in self.regions:
            return parts_of(self._pairs("train"), self.regions[split], self.reader)
        pairs = self._pairs(split)
        if self.regions and split == "train":
            return without_parts(pairs, list(self.regions.values()), self.reader)
        return pairs

    def _pairs(self, split: Split) -> list[Pair]:
        if self._has_split_folders() and split == "test" and not self._split_folder(split).is_dir():
            return []
        shared = split == "val" and self._lacks_val()
        image_folder, mask_folder = self._folders("train" if shared else split)
        images = {} if self.reader.masks_alone else self._images(image_folder)
        without = self.image_suffix if self.images == self.masks else ""
        masks = find_images(mask_folder, self._layout(), self.mask_suffix, without)
        images = masks if self.reader.masks_alone else images
        if self.lists:
            # Only listed images need a mask; the folder may hold unlabelled ones.
            wanted = self._listed(split, images, image_folder)
            images = {name: images[name] for name in wanted}
            masks = {name: masks[name] for name in wanted if name in masks}
        try:
            return self._share(split, match_pairs(images, masks, image_folder, mask_folder))
        except PairingError as error:
            raise PairingError(error.problems, self._share(split, error.pairs)) from error

    def _images(self, folder: Path) -> dict[str, Path]:
        without = self.mask_suffix if self.images == self.masks else ""
        return find_images(folder, self._layout(), self.image_suffix, without)

    def _unlabelled(self) -> list[Pair]:
        if self._has_split_folders() and not self._split_folder("test").is_dir():
            return []
        folder = self._folders("test")[0]
        images = self._images(folder)
        names = self._listed("test", images, folder) if self.lists else images
        return self._share("test", [Pair(name, images[name]) for name in names])

    def _listed(self, split: Split, images: dict[str, Path], folder: Path) -> list[str]:
        lists = dict(self.lists)
        if lists.get("val") == lists.get("test"):  # one list may be for both
            lists.pop("val" if split == "test" else "test", None)
        listed = split_by_lists(images, lists, self.image_suffix, folder)
        if split == "test" or split in self.lists or "train" in self.lists:
            return listed.get(split, [])
        taken = set(chain(*listed.values()))
        rest = [name for name in images if name not in taken]
        return self._random_share(split, rest) if self._lacks_val() else rest

    def _share(self, split: Split, pairs: Sequence[Pair]) -> list[Pair]:
        """Return a split's share of pairs that a random split divides; otherwise all."""
        if self.lists or self.regions:
            return list(pairs)
        if self._has_split_folders() and self.fold is not None and not self._lacks_val():
            raise InputError(
                f"fold divides the training images, but {self._folders('val')[0]} validates. Move "
                "its images to the training images, or remove fold."
            )
        if self._has_split_folders() and (split == "test" or not self._lacks_val()):
            return list(pairs)
        by_name = {pair.name: pair for pair in pairs}
        return [by_name[name] for name in self._random_share(split, by_name)]

    def _random_share(self, split: Split, names: Iterable[str]) -> list[str]:
        groups = grouped(names, self.group)
        if self.fold is None:
            shares = split_by_fractions(groups, self._shares(), self.split_seed)
        else:
            how = (self.fold, self.folds, self._shares(), self.split_seed)
            shares = split_by_fold(groups, *how)
        return sorted(name for group in shares[split] for name in groups[group])

    def _shares(self) -> tuple[float, float, float]:
        if not self._lacks_val():
            return self.fractions
        train, val, _ = self.fractions
        return train / (train + val or 1), val / (train + val or 1), 0.0

    def _has_split_folders(self) -> bool:
        if self.lists or self.regions:
            return False
        train = self._folder_name("train")
        below = (self.root / train).is_dir() or (self.root / self.images / train).is_dir()
        return "{split}" in self.images or below

    def _lacks_val(self) -> bool:
        """Return whether a share of the training images validates."""
        if self.lists:
            return not {"train", "val"} & self.lists.keys()
        return self._has_split_folders() and not self._split_folder("val").is_dir()

    def _folder_name(self, split: Split) -> str:
        return self.split_folders.get(split, split)

    def _split_folder(self, split: Split) -> Path:
        """Return the folder that exists if a split does."""
        if "{split}" in self.images or not (self.root / self._folder_name("train")).is_dir():
            return self._folders(split)[0]
        return self.root / self._folder_name(split)

    def _folders(self, split: Split) -> tuple[Path, Path]:
        name, both = self._folder_name(split), (self.images, self.masks)
        if "{split}" in self.images:
            images, masks = (folder.replace("{split}", name) for folder in both)
        elif not self._has_split_folders():
            images, masks = both
        elif (self.root / self._folder_name("train")).is_dir():
            images, masks = (f"{name}/{folder}" for folder in both)
        else:
            images, masks = (f"{folder}/{name}" for folder in both)
        return self.root / images, self.root / masks

    def _layout(self) -> str:
        return (
            f"Images are expected in {self.root / self.images} and masks of the same names in "
            f"{self.root / self.masks} (or in sub-folders train, val and test). Correct root, "
            "images or masks."
        )


def _class_names(
    num_classes: int | None,
    class_names: Sequence[str] | None,
    palette: Palette | None,
    multi_label: bool,
) -> tuple[str, ...]:
    counts = {
        "num_classes": num_classes,
        "class_names": None if class_names is None else len(class_names),
        "palette": None if palette is None or multi_label else len(palette),
    }
    given = {name: count for name, count in counts.items() if count is not None}
    if not given:
        raise InputError("The number of classes is unknown. Set num_classes or class_names.")
    if len(set(given.values())) > 1:
        said = ", ".join(f"{name} {count}" for name, count in given.items())
        raise InputError(
            f"The settings disagree about the number of classes: {said}. Correct one; num_classes "
            "may be null beside the others."
        )
    count = next(iter(given.values()))
    if count < 2 and multi_label:
        raise InputError(
            "A single class needs no multi_label: set it to false and num_classes to 2, which are "
            "background and foreground."
        )
    if count < 2:
        raise InputError(f"{count} class is too few: background is a class, too. Give at least 2.")
    return tuple(class_names or (f"class {index}" for index in range(count)))


def _decoder(
    num_classes: int,
    palette: Palette | None,
    ignored: Palette | None,
    tolerance: int,
    unknown: Unknown,
) -> LabelDecoder:
    check_choice("unknown", unknown, Unknown)
    if palette and not isinstance(palette[0], int):
        colors, void = _colors(palette), _colors(ignored or ())
        hint = (
            "Correct the mask, name the colour in palette or ignored, set tolerance (at most "
            f"{_most_tolerance(tolerance, (*colors, *void))}), or set unknown to nearest or void."
        )
        return ColorLabels(colors, void, hint, tolerance, unknown)
    values = tuple(range(num_classes)) if palette is None else _numbers(palette)
    if ignored is None:
        ignored = [] if IGNORE_INDEX in values else [IGNORE_INDEX]
    hint = (
        "Correct the mask, raise num_classes, name the value in ignored, or give what stands for "
        "each class as palette."
    )
    if palette is not None:
        hint += (
            " For values nearly right, set tolerance (at most "
            f"{_most_tolerance(tolerance, (*values, *_numbers(ignored)))}) or unknown."
        )
    return IdLabels(values, _numbers(ignored), hint, tolerance, unknown)


def _band(
    palette: Palette | None, ignored: Palette | None, tolerance: int, unknown: Unknown
) -> IdLabels:
    """Return the decoder of one band, whose values are absent and present."""
    if palette is not None and (len(palette) != 2 or not all(isinstance(v, int) for v in palette)):
        raise InputError(
            f"palette is {palette}, but with multi_label it holds the two numbers that stand for "
            "absent and present in every band, such as [0, 255]."
        )
    band = _decoder(2, palette, ignored, tolerance, unknown)
    assert isinstance(band, IdLabels)
    hint = (
        "Correct the mask, name the value in ignored, or give the two values of absent and present "
        "as palette, such as [0, 255]."
    )
    return replace(band, hint=hint)


def _most_tolerance(tolerance: int, listed: Sequence[object]) -> int:
    """Return the largest possible tolerance; raise if the given one is larger."""
    most = max(largest_tolerance(listed), 0)
    if tolerance > most:
        raise InputError(
            f"tolerance is {tolerance}, but only up to {most} can the entries of palette and "
            f"ignored be told apart. Set tolerance to at most {most}."
        )
    return most


def _colors(values: Sequence[Color | int]) -> tuple[Color, ...]:
    colors: list[Color] = []
    for value in values:
        if isinstance(value, int) or len(value) != 3 or not all(0 <= part <= 255 for part in value):
            raise InputError(
                f"{value} is not a colour: with a palette of colours, palette and ignored must "
                "hold three numbers from 0 to 255 each."
            )
        colors.append((value[0], value[1], value[2]))
    return tuple(colors)


def _numbers(values: Sequence[Color | int]) -> tuple[int, ...]:
    if colors := [value for value in values if not isinstance(value, int)]:
        raise InputError(
            f"Colour {colors[0]} stands among numbers: palette and ignored must hold either "
            "colours alone or numbers alone."
        )
    return tuple(value for value in values if isinstance(value, int))
