"""The ISPRS 2D Semantic Labeling benchmark: Potsdam and Vaihingen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, cast

from lightning_seg.data.base import SegmentationDataModule, Split
from lightning_seg.data.reading.labels import Color, ColorLabels
from lightning_seg.data.reading.pair_reader import ExtraChannel
from lightning_seg.data.reading.pairs import Pair, refuse_missing, require_folder
from lightning_seg.data.sampling.regions import Region, check_regions, parts_of, without_parts
from lightning_seg.data.sampling.splits import refuse_shared
from lightning_seg.data.transforms import Transform
from lightning_seg.errors import InputError
from lightning_seg.files import OWN_FOLDER

Area = Literal["potsdam", "vaihingen"]
Bands = Literal["RGB", "IRRG", "RGBIR"]
_CHANNELS: dict[Bands, tuple[str, ...]] = {
    "RGB": ("red", "green", "blue"),
    "IRRG": ("infrared", "red", "green"),
    "RGBIR": ("red", "green", "blue", "infrared"),
}
Labels = Literal["full", "eroded"]
Fold = Literal[1, 2, 3]
FieldOfView = Literal[1, 4]

ISPRS_CLASSES: dict[str, Color] = {
    "impervious surface": (255, 255, 255),
    "building": (0, 0, 255),
    "low vegetation": (0, 255, 255),
    "tree": (0, 255, 0),
    "car": (255, 255, 0),
    "clutter": (255, 0, 0),
}

# Here the benchmark's training tiles are split into train and val: Potsdam holds out every other
# tile of one outer column; Vaihingen holds out the areas of Volpi and Tuia, 2017.
_SPLITS: dict[Area, dict[Split, str]] = {
    "potsdam": {
        "train": "2_10 2_11 2_12 3_10 3_11 4_10 4_11 4_12 5_10 5_11 6_7 6_8 6_9 6_10 6_11 6_12 "
        "7_7 7_8 7_9 7_10 7_11",
        "val": "3_12 5_12 7_12",
        "test": "2_13 2_14 3_13 3_14 4_13 4_14 4_15 5_13 5_14 5_15 6_13 6_14 6_15 7_13",
    },
    "vaihingen": {
        "train": "1 3 5 7 13 17 21 23 26 32 37",
        "val": "11 15 28 30 34",
        "test": "2 4 6 8 10 12 14 16 20 22 24 27 29 31 33 35 38",
    },
}

_IMAGES: dict[tuple[Area, Bands], str] = {
    ("potsdam", "RGB"): "2_Ortho_RGB/top_potsdam_{}_RGB.tif",
    ("potsdam", "IRRG"): "3_Ortho_IRRG/top_potsdam_{}_IRRG.tif",
    ("potsdam", "RGBIR"): "4_Ortho_RGBIR/top_potsdam_{}_RGBIR.tif",
    ("vaihingen", "IRRG"): "top/top_mosaic_09cm_area{}.tif",
}

_LABELS: dict[tuple[Area, Labels], str] = {
    ("potsdam", "full"): "5_Labels_all/top_potsdam_{}_label.tif",
    ("potsdam", "eroded"): "5_Labels_all_noBoundary/top_potsdam_{}_label_noBoundary.tif",
    ("vaihingen", "full"): "gts_for_participants/top_mosaic_09cm_area{}.tif",
    ("vaihingen", "eroded"): ("gts_eroded_for_participants/top_mosaic_09cm_area{}_noBoundary.tif"),
}

_ELEVATIONS: dict[Area, str] = {
    "potsdam": "1_DSM_normalisation/dsm_potsdam_{}_normalized_lastools.jpg",
    "vaihingen": "ndsm/dsm_09cm_matching_area{}_normalized.jpg",
}

# Audebert et al. (2019) validate three times on 4 areas and 5 tiles but publish no lists. The first
# fold of Vaihingen is that of their code; the rest are our choice.
_FOLDS: dict[Area, dict[Fold, str]] = {
    "potsdam": {
        1: "2_11 3_11 4_12 5_12 7_10",
        2: "2_12 4_10 5_11 6_8 7_12",
        3: "3_12 4_11 5_10 6_11 7_8",
    },
    "vaihingen": {1: "5 15 21 30", 2: "3 11 28 34", 3: "13 23 32 37"},
}

_EXAMPLES: dict[Area, str] = {"potsdam": "2_10", "vaihingen": "1"}

_BLACK = (0, 0, 0)

# Some official label tiles were saved with lossy compression: 4_12 holds (9, 222, 221) for
# (0, 255, 255). All colours are corners of the RGB cube; colours half-way between two are unknown.
_TOLERANCE = 100


class ISPRSDataModule(SegmentationDataModule):
    """ISPRS Potsdam (38 tiles of 6000 x 6000, 5 cm) or Vaihingen (33 of about 2000 x 2500, 9 cm).

    Files are read in place, under their official names. Training samples are random crops, read
    without decoding the rest of the tile; validation, test and predict yield whole tiles.

    Source: ISPRS 2D Semantic Labeling Contest, www.isprs.org, "Benchmarks".

    Args:
        root: The folder that holds ``2_Ortho_RGB`` and so on; by default ``data/potsdam`` or
            ``data/vaihingen``.
        area: The city.
        bands: The image's bands: red, green, blue and infrared. Vaihingen has only IRRG; the
            default for Potsdam is RGB.
        labels: ``full``, or ``eroded`` by 3 pixels at class boundaries (black, ignored).
        eval_labels: Labels for validation and test; the benchmark evaluates on ``eroded``. By
            default those of ``labels``.
        elevation: Adds the normalised elevation (nDSM) as the last channel, scaled from 0..255 in
            the file to 0..1: ``1_DSM_normalisation/dsm_potsdam_02_10_normalized_lastools.jpg`` and
            so on, for Vaihingen ``ndsm/dsm_09cm_matching_area1_normalized.jpg``.
        clutter: Whether clutter is a class; if not, it is ignored.
        eval_clutter: Whether clutter counts in validation and test; by default the value of
            ``clutter``. With ``clutter: true`` and ``eval_clutter: false`` six classes are trained
            and clutter pixels are ignored in evaluation, as in the benchmark.
        field_of_view: 4 halves the resolution of images and labels, so that a crop covers four
            times the ground (ResUNet-a's "FoV x 4").
        fold: Validation fold of the benchmark's training tiles, 1, 2 or 3, as in Audebert et al.
            (2019); the remaining tiles are trained on.
        val_region: Validates on this region of each training tile and trains on crops that do not
            touch it: top, left, bottom and right as fractions of the tile's height and width. The
            lower right [0.683, 0.683, 1.0, 1.0] holds a tenth of the area, as in ResUNet-a's code.
            The training tiles are then all labelled tiles of the benchmark, or ``train_tiles``.
        test_region: The same for test, instead of ``test_tiles``. Predict uses whole tiles.
        crop_stride: Trains on a regular grid of crops with this stride in pixels (128 in
            ResUNet-a), each once per epoch, instead of ``samples_per_epoch`` random crops.
        train_tiles: Tiles to train on, such as "2_10" (Vaihingen: "1"); by default the
            benchmark's training tiles except the default ``val_tiles``.
        val_tiles: Tiles to validate on; by default some of the benchmark's training tiles.
        test_tiles: Tiles for test and predict; by default the benchmark's.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        area: Area = "potsdam",
        bands: Bands | None = None,
        labels: Labels = "full",
        eval_labels: Labels | None = None,
        elevation: bool = False,
        clutter: bool = True,
        eval_clutter: bool | None = None,
        field_of_view: FieldOfView = 1,
        fold: Fold | None = None,
        val_region: Region | None = None,
        test_region: Region | None = None,
        class_balanced: bool = False,
        crop_size: int = 256,
        samples_per_epoch: int = 10_000,
        crop_stride: int | None = None,
        train_tiles: Sequence[str] | None = None,
        val_tiles: Sequence[str] | None = None,
        test_tiles: Sequence[str] | None = None,
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int = 2,
        train_transforms: list[Transform] | None = None,
        eval_transforms: list[Transform] | None = None,
        predict_root: list[str] | str | Path | None = None,
    ) -> None:
        folder = Path(f"data/{area}" if root is None else root)
        chosen: Bands = bands or ("RGB" if area == "potsdam" else "IRRG")
        if (area, chosen) not in _IMAGES:
            raise InputError(f"Vaihingen has no {chosen} images. Set bands to IRRG.")
        if eval_clutter and not clutter:
            raise InputError(
                "eval_clutter is true, but clutter is false: only a class can be evaluated. "
                "Set clutter to true."
            )
        counted = clutter if eval_clutter is None else eval_clutter
        classes = {name: c for name, c in ISPRS_CLASSES.items() if clutter or name != "clutter"}
        super().__init__(
            root=folder,
            class_names=tuple(classes),
            class_colors=tuple(classes.values()),
            decoder=_decoder({labels, eval_labels}, clutter),
            eval_decoder=_decoder({labels, eval_labels}, counted),
            in_channels=(4 if chosen == "RGBIR" else 3) + elevation,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            train_transforms=train_transforms,
            eval_transforms=eval_transforms,
            extra_channel=ExtraChannel(decoded_in=folder / OWN_FOLDER / "decoded")
            if elevation
            else None,
            predict_root=predict_root,
            downscale=2 if field_of_view == 4 else 1,
            crop_size=crop_size,
            samples_per_epoch=samples_per_epoch,
            crop_stride=crop_stride,
            class_balanced=class_balanced,
        )
        self.channel_names = (*_CHANNELS[chosen], *(["elevation"] if elevation else []))
        self.area: Area = area
        self._image_name = _IMAGES[area, chosen]
        self._label_name = _LABELS[area, labels]
        self._eval_label_name = _LABELS[area, eval_labels or labels]
        self._elevation_name = _ELEVATIONS[area] if elevation else None
        given = {"train": train_tiles, "val": val_tiles, "test": test_tiles}
        regions: dict[Split, Region | None] = {"val": val_region, "test": test_region}
        self.regions = {split: region for split, region in regions.items() if region is not None}
        check_regions({f"{split}_region": region for split, region in self.regions.items()})
        if val_region is not None:
            _refuse_both("val_region", {"fold": fold, "val_tiles": val_tiles})
        if test_region is not None:
            _refuse_both("test_region", {"test_tiles": test_tiles})
        self.tiles: dict[Split, tuple[str, ...]] = _benchmark_tiles(area, fold)
        if val_region is not None:
            self.tiles["train"] += self.tiles["val"]
        self.tiles |= {
            cast(Split, split): tuple(tiles) for split, tiles in given.items() if tiles is not None
        }
        apart = {s: tiles for s, tiles in self.tiles.items() if s not in self.regions}
        refuse_shared("Tile", {f"{split}_tiles": tiles for split, tiles in apart.items()})
        self.tiles |= dict.fromkeys(self.regions, self.tiles["train"])

    def about_splits(self) -> str:
        """Describe the evaluated regions of the tiles, if there are any."""
        shares = [f"{split} {list(region)}" for split, region in self.regions.items()]
        return f"Regions of the training tiles: {', '.join(shares)}." if shares else ""

    def pairs(self, split: Split) -> list[Pair]:
        """Return the tiles of one split, in the order of its list."""
        require_folder(
            self.root,
            f"Ask for the {self.area} tiles at www.isprs.org (Benchmarks, 2D Semantic Labeling), "
            f"and set root to the folder that holds {self._image_name.split('/')[0]}.",
        )
        predicting = split == "predict"
        tiles = self.tiles["test" if predicting else split]
        pairs = [self._pair(tile, split) for tile in tiles]
        setting = "test_tiles" if predicting else f"{split}_tiles"
        refuse_missing(
            pairs,
            self.decoder,
            f"the {split} tiles",
            f"Add them, or list the tiles you have in {setting} (in quotes in YAML: "
            f'"{_EXAMPLES[self.area]}").',
        )
        if split == "train":
            return without_parts(pairs, list(self.regions.values()), self.reader)
        if split in self.regions:
            return parts_of(pairs, self.regions[split], self.reader)
        return pairs

    def _pair(self, tile: str, split: Split) -> Pair:
        image = self.root / self._image_name.format(tile)
        name = self._label_name if split == "train" else self._eval_label_name
        label = None if split == "predict" else self.root / name.format(tile)
        elevation = None
        if self._elevation_name is not None:
            # Row and column have two digits here: 02_10.
            padded = "_".join(part.zfill(2) for part in tile.split("_"))
            name = self._elevation_name.format(padded if self.area == "potsdam" else tile)
            elevation = self.root / name
        return Pair(image.stem, image, label, elevation)


def _benchmark_tiles(area: Area, fold: Fold | None) -> dict[Split, tuple[str, ...]]:
    tiles = {split: tuple(named.split()) for split, named in _SPLITS[area].items()}
    if fold is None:
        return tiles
    if fold not in _FOLDS[area]:
        raise InputError(f"fold is {fold!r}. Set it to 1, 2 or 3.")
    held_out = tuple(_FOLDS[area][fold].split())
    labelled = (*tiles["train"], *tiles["val"])
    train = tuple(tile for tile in labelled if tile not in held_out)
    return {"train": train, "val": held_out, "test": tiles["test"]}


def _refuse_both(setting: str, others: Mapping[str, object]) -> None:
    if twice := [name for name, value in others.items() if value is not None]:
        raise InputError(
            f"{setting} and {twice[0]} were both given, but each selects what is evaluated. "
            "Remove one of them."
        )


def _decoder(labels: set[Labels | None], clutter: bool) -> ColorLabels:
    hint = "Download the official label file again."
    if "eroded" not in labels:
        hint = f"{hint[:-1]}; for labels with black boundaries set labels: eroded."
    colors = tuple(ISPRS_CLASSES.values())
    ignored = (_BLACK,) if "eroded" in labels else ()
    if not clutter:
        *others, red = colors
        colors, ignored = tuple(others), (*ignored, red)
    return ColorLabels(colors, ignored, hint, _TOLERANCE)
