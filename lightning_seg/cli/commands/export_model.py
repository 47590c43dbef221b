"""Export of a checkpoint to one ONNX or torch.export file."""

import logging
import tempfile
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from lightning_seg.checkpoints import find_checkpoint
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

TOLERANCE = 1e-4

Run = Callable[[Tensor], Tensor]


def export(arguments: Namespace) -> None:
    """Export the checkpoint and print what was written."""
    output = Path(arguments.output)
    if output.suffix == ".onnx":
        require_onnx()
    refuse_foreign([output, output.with_name(f"{output.name}.data")])
    checkpoint = find_checkpoint(arguments.ckpt_path, Path(arguments.run_dir))
    task = load_task(checkpoint, weights_only=not arguments.trust_checkpoint)
    predictor = Predictor(task.network, task.head, arguments.result, task.multi_label).eval()
    with cannot_write(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    with quiet():
        program = exported_program(predictor, arguments.size)
    least = minimum_size(predictor, program) if output.suffix == ".pt2" else 1
    metadata = _metadata(task, predictor, arguments.size, least)
    with cannot_write(output):
        difference = _write(program, predictor, output, metadata, arguments.size)
    print(_summary(task, metadata, output, difference))


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
    if task.multi_label:
        results["logits"] += ", with a sigmoid for each class"
        results["labels"] = f"uint8 (batch, {task.num_classes}, height, width) of 0 and 1"
    metadata: dict[str, Any] = {
        "class_names": task.class_names,
        "class_colors": task.class_colors,
        "num_classes": task.num_classes,
        "multi_label": task.multi_label or None,
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
    with tempfile.TemporaryDirectory(dir=output.parent) as folder, quiet():
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
def cannot_write(output: Path) -> Iterator[None]:
    """Name the output in an error of writing."""
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
def quiet() -> Iterator[None]:
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
