"""A network and its head as one file that runs without this package: ONNX or torch.export."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from lightning_seg.errors import InputError
from lightning_seg.inference.label_map import label_map
from lightning_seg.networks import Network
from lightning_seg.networks.resizing import resized_as

Result = Literal["logits", "labels"]

METADATA = "metadata.json"
"""Name of the extra file that a torch.export file keeps its metadata in."""

_INLINE_BYTES = 1 << 31  # a protocol buffer, an ONNX file, ends there
_EXAMPLE_SIZE = (224, 352)  # at every stride more than one pixel, and height is not width


class Predictor(nn.Module):
    """What is exported: an image in, class scores or labels of its size out.

    Args:
        network: Image to features.
        head: Features by name to predictions by name, of which ``logits`` are used.
        result: ``logits`` or ``labels``.
    """

    def __init__(self, network: Network, head: nn.Module, result: Result = "logits") -> None:
        super().__init__()
        self.network = network
        self.head = head
        self.result = result

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, C, H, W) float32 in [0, 1] to its result.

        Returns:
            Logits (B, K, H, W) float32, or labels (B, H, W) uint8 (int32 from 257 classes on).
        """
        logits: Tensor = self.head(self.network(image))["logits"]
        if self.network.stride > 1:
            logits = resized_as(logits, image)
        return logits if self.result == "logits" else label_map(logits)


def example_image(predictor: Predictor, size: Sequence[int] | None = None) -> Tensor:
    """A batch of two random images of this height and width, by default of 224 x 352 pixels."""
    height, width = size or _EXAMPLE_SIZE
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, predictor.network.in_channels, height, width, generator=generator)


def exported_program(predictor: Predictor, size: Sequence[int] | None = None) -> ExportedProgram:
    """The program of a predictor for any number of images.

    Args:
        predictor: In evaluation, on the CPU.
        size: The one height and width that it is to take; any by default.

    Raises:
        InputError: The network cannot take that size, or not every size.
    """
    image = example_image(predictor, size)
    with torch.no_grad():
        if size is not None:
            predictor(image)  # whose refusal is clearer than that of a trace
        free = {0: Dim.DYNAMIC} if size else dict.fromkeys((0, 2, 3), Dim.DYNAMIC)
        try:
            return torch.export.export(predictor, (image,), dynamic_shapes={"image": free})
        except Exception as error:
            told = _first_line(error)
            kind = type(predictor.network).__name__
            if size is not None:
                raise InputError(
                    f"{kind} cannot be exported for {size[0]} x {size[1]} pixels: {told}"
                ) from error
            raise InputError(
                f"{kind} cannot be exported for any height and width: {told}. "
                "Give the one size that it is to take, as size"
            ) from error


def minimum_size(predictor: Predictor, program: ExportedProgram) -> int:
    """The least height and width that a torch.export file of the program takes.

    Maps of a single pixel would be another program; an ONNX file takes these, too.
    """
    ranges = program.range_constraints
    lengths = [n for n in _input(program).shape[2:] if isinstance(n, torch.SymInt)]
    limits = [ranges[n.node.expr] for n in lengths if n.node.expr in ranges]
    least = [int(limit.lower) for limit in limits]
    return max([predictor.network.size_multiple + 1, *least])


def _input(program: ExportedProgram) -> Any:
    (image,) = (node for node in program.graph.nodes if node.name == "image")
    return image.meta["val"]


def save_program(program: ExportedProgram, path: Path, metadata: dict[str, Any]) -> None:
    """Writes a torch.export file; the metadata is its extra file `METADATA`, in JSON.

    Raises:
        InputError: The program has an operation that such a file cannot hold.
    """
    try:
        torch.export.save(program, path, extra_files={METADATA: json.dumps(metadata)})
    except Exception as error:
        told = f"a torch.export file cannot hold this network: {_first_line(error)}. "
        if isinstance(_input(program).shape[2], torch.SymInt):
            told += "Write an ONNX file, or export it for the one size that it is to take, as size"
        else:
            told += "Write an ONNX file"
        raise InputError(told) from error


def save_onnx(
    program: ExportedProgram, path: Path, metadata: dict[str, Any], result: Result = "logits"
) -> None:
    """Writes an ONNX file with input ``image`` and an output named as the result.

    The metadata are its ``metadata_props``, values other than strings as JSON. Weights of 2 GiB
    and more lie in a second file, ``NAME.data``.

    Raises:
        InputError: The packages that it needs are not installed, or the program has an operation
            that ONNX lacks.
    """
    require_onnx()
    try:
        onnx_program = torch.onnx.export(
            program, dynamo=True, input_names=["image"], output_names=[result], verbose=False
        )
    except Exception as error:
        raise InputError(
            f"an ONNX file cannot hold this network: {_first_line(_cause(error))}. Write a "
            "torch.export file, which ends in .pt2"
        ) from error
    assert onnx_program is not None
    model: Any = onnx_program.model
    lengths = zip(("batch", "channels", "height", "width"), _input(program).shape, strict=True)
    # A fixed length is a number, which others may share, and stays one.
    names = {str(length): name for name, length in lengths if isinstance(length, torch.SymInt)}
    for value in (*model.graph.inputs, *model.graph.outputs):
        for axis, length in enumerate(value.shape):
            value.shape[axis] = names.get(str(getattr(length, "value", length)), length)
    for key, value in metadata.items():
        model.metadata_props[key] = value if isinstance(value, str) else json.dumps(value)
    size = sum(t.nbytes for t in program.state_dict.values() if isinstance(t, Tensor))
    onnx_program.save(path, external_data=size >= _INLINE_BYTES)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _cause(error: BaseException) -> BaseException:
    """What it began with."""
    return error if error.__cause__ is None else _cause(error.__cause__)


def require_onnx() -> None:
    """Refuses to go on without the packages that ONNX files need.

    Raises:
        InputError: One is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"ONNX files need a package that is not installed: {error.name}. "
            "Run: pip install 'lightning_seg[export]'; or write a torch.export file, which ends "
            "in .pt2"
        ) from error
