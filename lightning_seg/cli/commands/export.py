"""``lightning-seg export``: export a checkpoint to an ONNX or torch.export file or a folder."""

import argparse
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from lightning_seg.callbacks.run_record import STAGE
from lightning_seg.checkpoints import CHECKPOINTS, find_checkpoint
from lightning_seg.errors import InputError
from lightning_seg.inference.export import (
    METADATA,
    Predictor,
    example_image,
    exported_program,
    minimum_size,
    require_onnx,
    save_onnx,
    save_program,
)
from lightning_seg.inference.label_map import label_dtype
from lightning_seg.own_files import complete_own, refuse_foreign
from lightning_seg.tasks import SegmentationTask

SUFFIXES = (".onnx", ".pt2")
TOLERANCE = 1e-4
FIGURES = ("iou", "f1", "boundary_iou", "boundary_f")

Run = Callable[[Tensor], Tensor]


def run(argv: list[str]) -> None:
    """Run ``lightning-seg export`` with these arguments."""
    arguments = _parser().parse_args(argv)
    output = Path(arguments.output)
    if output.suffix == "":
        _export_folder(arguments, output)
        return
    if output.suffix not in SUFFIXES:
        raise InputError(
            f"--output {output}: the suffix is {output.suffix!r}, but must be .onnx (for "
            "onnxruntime and others) or .pt2 (for torch.export.load), or none for a folder (for "
            "SegmentationTask.from_pretrained)"
        )
    if arguments.size is not None and min(arguments.size) < 1:
        raise InputError(
            f"--size {arguments.size[0]} {arguments.size[1]}: give two numbers of pixels, 1 or more"
        )
    if output.suffix == ".onnx":
        require_onnx()
    refuse_foreign([output, output.with_name(f"{output.name}.data")])
    checkpoint = find_checkpoint(arguments.ckpt_path, Path(arguments.run_dir))
    task = load_task(checkpoint, weights_only=not arguments.trust_checkpoint)
    predictor = Predictor(task.network, task.head, arguments.result).eval()
    with _cannot_write(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    with _quiet():
        program = exported_program(predictor, arguments.size)
    least = minimum_size(predictor, program) if output.suffix == ".pt2" else 1
    metadata = _metadata(task, predictor, arguments.size, least)
    with _cannot_write(output):
        difference = _write(program, predictor, output, metadata, arguments.size)
    print(_summary(task, metadata, output, difference))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "lightning-seg export",
        description="Export a checkpoint's network and head to one file for other programs. It "
        "maps an image in [0, 1] to class scores or labels of the same size, including "
        "normalisation and padding. The metadata holds class names and colours and the sizes.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--ckpt_path", required=True, help="A checkpoint's path; last or best, with --run_dir."
    )
    parser.add_argument("--run_dir", default="runs/unnamed", help="The run of last or best.")
    parser.add_argument(
        "--trust_checkpoint",
        action="store_true",
        help="Also load Python objects in the checkpoint, which can run any code.",
    )
    parser.add_argument(
        "--output",
        required=True,
        help="The file to write: .onnx, or .pt2 for torch.export. Without a suffix, a folder for "
        "SegmentationTask.from_pretrained and the Hugging Face hub.",
    )
    parser.add_argument(
        "--result",
        choices=("logits", "labels"),
        default="logits",
        help="logits: (B, K, H, W) float32, class scores before the softmax. labels: (B, H, W) "
        "uint8 (int32 from 257 classes on), their argmax. Default: logits.",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="Fixed input size. Default: any size.",
    )
    return parser


def _export_folder(arguments: argparse.Namespace, output: Path) -> None:
    """Write a folder with the figures and a picture of the run's test of this checkpoint."""
    if arguments.size is not None or arguments.result != "logits":
        raise InputError(f"--output {output}: --size and --result are for .onnx and .pt2 files")
    checkpoint = find_checkpoint(arguments.ckpt_path, Path(arguments.run_dir))
    task = load_task(checkpoint, weights_only=not arguments.trust_checkpoint)
    figures, picture = _tested(Path(str(checkpoint)).resolve())
    with _cannot_write(output):
        task.save_pretrained(output, figures, picture)
    print(f"{output}: {type(task.network).__name__} with {type(task.head).__name__}")
    print(f'  load it with SegmentationTask.from_pretrained("{output}")')


def _tested(checkpoint: Path) -> tuple[dict[str, float], Path | None]:
    """Return figures and a picture of ``test``, if the run tested this checkpoint last."""
    run = checkpoint.parent.parent
    try:
        record = json.loads((run / "test" / STAGE).read_text(encoding="utf-8"))
        scalars = json.loads((run / "test" / "metrics.json").read_text(encoding="utf-8"))["scalars"]
    except FileNotFoundError:
        return {}, None
    if record["checkpoint"] != f"{CHECKPOINTS}/{checkpoint.name}":
        return {}, None
    pictures = sorted((run / "pictures" / "test").glob("*.[jp][pn]g"))
    figures = {name: scalars[name] for name in FIGURES if scalars.get(name) is not None}
    return figures, next(iter(pictures), None)


def load_task(path: str | None, weights_only: bool = True) -> SegmentationTask:
    """Return the task of a checkpoint, on the CPU and for evaluation."""
    assert path is not None
    try:
        return SegmentationTask.load_from_checkpoint(
            path, map_location="cpu", weights_only=weights_only
        ).eval()
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path} is not a checkpoint of a SegmentationTask ({' '.join(str(error).split())}); "
            "give one written by lightning-seg fit"
        ) from error


def _metadata(
    task: SegmentationTask, predictor: Predictor, size: list[int] | None, least: int
) -> dict[str, Any]:
    network = predictor.network
    channels = f"float32 (batch, {network.in_channels}, height, width) in [0, 1]"
    kind = str(label_dtype(task.num_classes)).removeprefix("torch.")
    results = {
        "logits": f"float32 (batch, {task.num_classes}, height, width)",
        "labels": f"{kind} (batch, height, width)",
    }
    metadata: dict[str, Any] = {
        "class_names": task.class_names,
        "class_colors": task.class_colors,
        "num_classes": task.num_classes,
        "in_channels": network.in_channels,
        "height": size[0] if size else "any",
        "width": size[1] if size else "any",
        "minimum_size": None if size else least,
        "input": f"image: {channels}",
        "output": f"{predictor.result}: {results[predictor.result]}",
        "network": type(network).__name__,
        "head": type(task.head).__name__,
        "lightning_seg": version("lightning_seg"),
    }
    return {key: value for key, value in metadata.items() if value is not None}


def _write(
    program: ExportedProgram,
    predictor: Predictor,
    output: Path,
    metadata: dict[str, Any],
    size: list[int] | None,
) -> str:
    """Write the file, run it, move it into place and describe its deviation from the network."""
    with tempfile.TemporaryDirectory(dir=output.parent) as folder, _quiet():
        path = Path(folder) / output.name
        if output.suffix == ".onnx":
            save_onnx(program, path, metadata, predictor.result)
        else:
            save_program(program, path, metadata)
        image = example_image(predictor, size or (256, 416))  # not the traced size
        with torch.no_grad():
            actual, expected = _runner(path, predictor.result)(image), predictor(image)
        difference, close = _compared(actual, expected)
        if not close:
            raise InputError(
                f"{output} would give other {predictor.result} than the checkpoint: {difference}; "
                "nothing was written. Try the other file format, or --size"
            )
        for written in Path(folder).iterdir():
            complete_own(written, output.parent / written.name)
    return difference


def _compared(actual: Tensor, expected: Tensor) -> tuple[str, bool]:
    """Describe the deviation of a file's result, and return whether it is small enough."""
    if not expected.is_floating_point():
        wrong, pixels = int((actual != expected).sum()), expected.numel()
        # Rounding can change the argmax of nearly equal scores.
        return f"{wrong} of {pixels} pixels differ from the checkpoint's", wrong <= 1e-3 * pixels
    difference = float((actual - expected).abs().max())
    limit = TOLERANCE * max(1.0, float(expected.abs().max()))
    return f"differs from the checkpoint by at most {difference:.1e}", difference <= limit


@contextmanager
def _cannot_write(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"--output {output} cannot be written ({error}); give a file in a writable folder, on "
            "a disk with enough space"
        ) from error


def _runner(path: Path, result: str) -> Run:
    if path.suffix == ".pt2":
        program: Run = torch.export.load(path).module()
        return program
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run([result], {"image": image.numpy()})[0])


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence messages of PyTorch's exporter about its internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


def _summary(
    task: SegmentationTask, metadata: dict[str, Any], output: Path, difference: str
) -> str:
    size = "any size" if metadata["height"] == "any" else "this size only"
    if metadata.get("minimum_size", 1) > 1:
        size = f"any size from {metadata['minimum_size']} x {metadata['minimum_size']} pixels"
    names = ", ".join(task.class_names) if task.class_names else "names unknown"
    lines = [
        f"{output}: {metadata['network']} with {metadata['head']}",
        f"  {metadata['input']}, {size}",
        f"  {metadata['output']}; {task.num_classes} classes: {names}",
        f"  {difference}, on two images",
    ]
    if output.suffix == ".pt2":
        lines.append(f"  metadata: torch.export.load(path, extra_files={{{METADATA!r}: ''}})")
    if task.inference is not None:
        kind = type(task.inference).__name__
        lines.append(f"  {kind} is not in the file: windows, scales and flips are up to the caller")
    return "\n".join(lines)
