"""The configuration that ``lightning-seg init`` writes."""

import math
import os
import shlex
import tempfile
import textwrap
import warnings
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import yaml

from lightning_seg.cli.commands.data import data_of_run
from lightning_seg.cli.precision import has_fast_bf16
from lightning_seg.data import FolderDataModule, SegmentationDataModule
from lightning_seg.data.base import Split
from lightning_seg.data.discovery import Images, find_classes, find_image_format, find_layout
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.errors import InputError
from lightning_seg.own_files import write_own

_SPLITS: tuple[Split, ...] = ("train", "val", "test")
_LARGE = 2048  # sides of images that are not read as a whole in training
_WINDOWED = 1024  # sides from which evaluation uses windows
_SHOWN_SIZES = 2
_MANY = 200  # masks that take a while to read
_SAMPLE = 0.3  # GiB for a training crop of 256 x 256: an estimate, on the safe side


@dataclass
class _Plan:
    """Settings that depend on images and machine."""

    crop: int
    batch: int
    eval_batch: int
    large: bool
    windowed: bool
    samples: int
    gpu: bool


def write(arguments: Namespace) -> None:
    """Write the configuration; print what was found and the next commands.

    Raises:
        InputError: The folder cannot be understood or used; or the file is not our own.
    """
    given, output = Path(arguments.folder), arguments.output
    layout = find_layout(
        given,
        arguments.images,
        arguments.masks,
        arguments.image_suffix,
        arguments.mask_suffix,
    )
    root = layout.settings.pop("root", given)
    # The classes do not matter for the list of files, nor does the size of crops.
    files = FolderDataModule(root, num_classes=2, crop_size=1, **layout.settings)
    pairs = {split: files.pairs(split) for split in _SPLITS}
    every = list({pair.image: pair for split in _SPLITS for pair in pairs[split]}.values())
    labels = [pair.label for pair in every if pair.label is not None]
    if len(labels) > _MANY:
        print(f"Reading {len(labels)} masks ...", flush=True)
    classes = find_classes(labels, arguments.classes or (), arguments.ignored or ())
    images = find_image_format(every)
    plan = _plan(images, pairs["train"], "val_region" in layout.settings)
    settings = {"root": str(root), **layout.settings, **classes.settings, **images.settings}
    about = _about(every, images, settings)
    text = _text(output.stem, about, settings, plan, len(pairs["train"]))
    data, notes = _checked(text)
    write_own(output, text)
    remarks = [*layout.remarks, *classes.remarks, *images.remarks, data.about_splits()]
    counts = ", ".join(f"{len(pairs[split])} {split}" for split in _SPLITS)
    machine = "GPU" if plan.gpu else "CPU"
    lines = [
        about,
        f"Splits: {counts}.",
        *[remark for remark in remarks if remark],
        f"For this {machine}: crops of {plan.crop} px, batches of {plan.batch}.",
        *[f"Note: {note}" for note in notes],
        f"Written: {output}. Next:",
        *[f"  {command}" for command in _commands(output)],
    ]
    print("\n".join(lines))


def _plan(images: Images, train: Sequence[Pair], by_region: bool) -> _Plan:
    gpu = torch.cuda.is_available()
    heights, widths = zip(*images.sizes, strict=True)
    longest = max(*heights, *widths)
    smallest = min(*heights, *widths)
    smallest = int(0.7 * smallest) if by_region else smallest
    crop = max(min(smallest, 512 if gpu else 256) // 32 * 32, 64)
    memory = torch.cuda.mem_get_info()[0] if gpu else _main_memory()
    fitting = 0.5 * memory / 2**30 / (_SAMPLE * (crop / 256) ** 2)
    batch = 2 ** int(math.log2(min(max(fitting, 2), 32 if gpu else 8)))
    large = by_region or longest > _LARGE
    area = sum(height * width * count for (height, width), count in images.sizes.items())
    samples = min(max(math.ceil(area / crop**2), 100), 10_000)
    if not large:
        batch = min(batch, max(len(train), 2))
    windowed = longest > _WINDOWED
    return _Plan(crop, batch, 1 if windowed else min(batch, 4), large, windowed, samples, gpu)


def _main_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not known on this system
        return 8 * 2**30


def _about(pairs: Sequence[Pair], images: Images, settings: dict[str, Any]) -> str:
    """Describe images and classes in a sentence."""
    shown = [f"{width} x {height}" for (height, width), _ in images.sizes.most_common(_SHOWN_SIZES)]
    more = len(images.sizes) - len(shown)
    kinds = Counter(pair.image.suffix.lower() for pair in pairs)
    suffixes = ", ".join(f"{count} {suffix}" for suffix, count in kinds.items())
    count = settings.get("num_classes") or len(settings.get("class_names", ())) or None
    count = count or len(settings["palette"])
    palette = settings.get("palette")
    values = f"0 to {count - 1}"
    if settings.get("multi_label"):
        values = "a band each"
    elif palette is not None:
        values = "colours" if isinstance(palette[0], list) else ", ".join(map(str, palette))
    low, high = images.values
    return (
        f"{len(pairs)} image{'s' if len(pairs) > 1 else ''} ({suffixes}) of {', '.join(shown)}"
        f"{f' and {more} other sizes' if more else ''}, {settings.get('in_channels', 3)} "
        f"channels, {images.dtype} from {low:g} to {high:g}; masks of {count} classes ({values})."
    )


def _text(name: str, about: str, settings: dict[str, Any], plan: _Plan, count: int) -> str:
    steps = plan.samples // plan.batch if plan.large else max(count // plan.batch, 1)
    has_bf16 = torch.cuda.is_bf16_supported() if plan.gpu else has_fast_bf16()
    comments = {
        "num_classes": "or class_names: [background, building]",
        "palette": "the value of each class in the masks",
        "ignored": "values of unlabelled pixels",
        "fractions": "random shares of train, val and test",
        "val_region": "top, left, bottom, right, as shares of height and width",
        "split_folders": "the folder of each split",
        "value_range": "image values that become 0 and 1",
    }
    if settings.get("multi_label"):
        comments |= {
            "num_classes": "or class_names: [building, shadow]",
            "palette": "values of absent and present",
            "multi_label": "a band for each class",
        }
    lines = [
        *textwrap.wrap(about, 98, initial_indent="# ", subsequent_indent="# "),
        "# Written by lightning-seg init, and yours to change. For sharper boundaries, add",
        "# --config method/distance_transform to the command fit.",
        "seed_everything: 42",
        f"run_dir: {_flow(f'runs/{name}')}",
        "data:",
        "  class_path: FolderDataModule",
        "  init_args:",
    ]
    for key, value in settings.items():
        line = f"    {key}: {_flow(value)}"
        lines.append(f"{line}  # {comments[key]}" if key in comments and len(line) < 60 else line)
    if plan.large:
        lines += [f"    crop_size: {plan.crop}", f"    samples_per_epoch: {plan.samples}"]
    lines += [
        f"    batch_size: {plan.batch}  # less if memory runs out",
        f"    eval_batch_size: {plan.eval_batch}",
        f"    num_workers: {min(4, max((os.cpu_count() or 2) - 1, 1))}",
        "    train_transforms:",
    ]
    if not plan.large:
        lines += [
            "      - class_path: albumentations.RandomCrop",
            f"        init_args: {{height: {plan.crop}, width: {plan.crop}, pad_if_needed: true, "
            "fill_mask: 255, p: 1.0}",
        ]
    lines += [
        "      - class_path: albumentations.HorizontalFlip",
        "        init_args: {p: 0.5}",
        "model:",
        "  class_path: SegmentationTask",
        "  init_args:",
        "    network:",
        "      class_path: Unet",
        "      init_args:",
        f"        encoder: {'resnet34' if plan.gpu else 'resnet18'}",
        "        pretrained: false  # true downloads ImageNet weights once: better with few images",
        "    head:",
        "      class_path: ClassificationHead",
        "    losses:",
        "      cross_entropy:",
        "        loss:",
        "          class_path: CrossEntropyLoss",
        "    optimization:",
        "      optimizer:",
        "        class_path: torch.optim.AdamW",
        "        init_args: {lr: 0.001, weight_decay: 0.01}",
        "      step_schedule:",
        "        class_path: torch.optim.lr_scheduler.PolynomialLR",
        "        init_args: {power: 0.9}",
    ]
    if plan.windowed:
        lines += [
            "    inference:  # overlapping windows over large images",
            "      class_path: SlidingWindow",
            f"      init_args: {{size: [{plan.crop}, {plan.crop}], overlap: 0.25, "
            f"batch_size: {plan.batch}}}",
        ]
    lines += [
        "trainer:",
        f"  accelerator: {'gpu' if plan.gpu else 'cpu'}",
        "  devices: 1",
        f"  precision: {'bf16-mixed' if has_bf16 else '32-true'}",
        "  max_epochs: 50",
        f"  log_every_n_steps: {min(10, max(steps, 1))}",
    ]
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    """Return a value as YAML in one line."""
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False)
        .split("\n...", maxsplit=1)[0]
        .strip()
    )


def _checked(text: str) -> tuple[SegmentationDataModule, list[str]]:
    """Check the data as fit and test will, and return the notes on them."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config = Path(folder, "config.yaml")
        config.write_text(text, encoding="utf-8")
        data = data_of_run(config)
        for stage in ("fit", "test"):
            data.setup(stage)
    # Other warnings are libraries' own.
    notes = [str(w.message) for w in caught if str(w.message).startswith(_SPLITS)]
    if "val" not in data.datasets:
        raise InputError("There is no validation image. Add images, or a folder or list val.")
    return data, list(dict.fromkeys(notes))


def _commands(output: Path) -> list[str]:
    config, run = shlex.quote(str(output)), shlex.quote(f"runs/{output.stem}")
    saved = shlex.quote(f"runs/{output.stem}/config.yaml")
    onnx = all(find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))
    model = shlex.quote(f"{output.stem}{'.onnx' if onnx else '.pt2'}")
    return [
        f"lightning-seg data check --config {config}",
        f"lightning-seg fit --config {config}",
        f"lightning-seg test --config {saved} --ckpt_path best",
        f"lightning-seg predict --config {saved} --ckpt_path best",
        f"lightning-seg export --run_dir {run} --ckpt_path best --output {model}",
    ]
