"""Export of a network and its head to one file that runs without this package."""

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from lightning_seg.errors import InputError, needs
from lightning_seg.inference.label_map import label_map
from lightning_seg.networks import Network
from lightning_seg.networks.layers import resized_as

Result = Literal["logits", "labels"]

METADATA = "metadata.json"
"""Name of the extra file with the metadata inside a torch.export file."""

_INLINE_BYTES = 1 << 31  # size limit of a protocol buffer, and thus of an ONNX file
_EXAMPLE_SIZE = (224, 352)  # more than one pixel at every stride, and not square


class Predictor(nn.Module):
    """The exported module: maps an image to class scores or labels of the same size.

    Args:
        network: Maps an image to features.
        head: Maps features to predictions by name; only ``logits`` is used.
        result: ``logits`` or ``labels``.
        multi_label: Whether pixels may have several labels, see `label_map`.
    """

    def __init__(
        self,
        network: Network,
        head: nn.Module,
        result: Result = "logits",
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.head = head
        self.result = result
        self.multi_label = multi_label

    def forward(self, image: Tensor) -> Tensor:
        """Map images (B, C, H, W) float32 in [0, 1] to the result.

        Returns:
            Logits (B, K, H, W) float32, or labels (B, H, W) uint8 (int32 from 257 classes on), with
            several per pixel (B, K, H, W) uint8 of 0 and 1.
        """
        logits: Tensor = self.head(self.network(image))["logits"]
        if self.network.stride > 1:
            logits = resized_as(logits, image)
        return logits if self.result == "logits" else label_map(logits, self.multi_label)


def example_image(predictor: Predictor, size: Sequence[int] | None = None) -> Tensor:
    """Return two random images of the given height and width, by default 224 x 352 pixels."""
    height, width = size or _EXAMPLE_SIZE
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, predictor.network.in_channels, height, width, generator=generator)


def exported_program(predictor: Predictor, size: Sequence[int] | None = None) -> ExportedProgram:
    """Trace a predictor to a program for any batch size.

    Args:
        predictor: In evaluation mode, on the CPU.
        size: Fixed height and width of the input; any size by default.
    """
    image = example_image(predictor, size)
    with torch.no_grad():
        if size is not None:
            predictor(image)  # raises a clearer error than the trace
        free = {0: Dim.DYNAMIC} if size else dict.fromkeys((0, 2, 3), Dim.DYNAMIC)
        try:
            with _same_padding_in_integers():
                return torch.export.export(predictor, (image,), dynamic_shapes={"image": free})
        except Exception as error:
            reason = _first_line(error)
            kind = type(predictor.network).__name__
            if size is not None:
                raise InputError(
                    f"{kind} cannot be exported for {size[0]} x {size[1]} pixels: {reason}"
                ) from error
            raise InputError(
                f"{kind} cannot be exported for any height and width: {reason}. Give a fixed "
                "size: --size HEIGHT WIDTH"
            ) from error


_ONE_EXPORT = threading.Lock()


@contextmanager
def _same_padding_in_integers() -> Iterator[None]:
    """Let timm compute the padding of its "same" convolutions without division of floats.

    The padding is the same. For images of any size the trace reduces integers to a constant,
    whereas ceilings of quotients grow with each layer: an EfficientNet-Lite0 takes seconds instead
    of more than 20 minutes.
    """
    padding: Any = sys.modules.get("timm.layers.padding")
    if padding is None:
        yield
        return

    def same_padding(length: int, kernel_size: int, stride: int, dilation: int) -> int:
        steps = (length + stride - 1) // stride - 1
        return max(steps * stride + (kernel_size - 1) * dilation + 1 - length, 0)

    with _ONE_EXPORT:
        usual = padding.get_same_padding
        padding.get_same_padding = same_padding
        try:
            yield
        finally:
            padding.get_same_padding = usual


def minimum_size(predictor: Predictor, program: ExportedProgram) -> int:
    """Return the smallest height and width that a torch.export file accepts.

    The program does not cover feature maps of a single pixel; ONNX files do.
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
    """Write a torch.export file with the metadata as JSON in its extra file `METADATA`."""
    try:
        torch.export.save(program, path, extra_files={METADATA: json.dumps(metadata)})
    except Exception as error:
        message = f"a torch.export file cannot hold this network: {_first_line(error)}. "
        message += "Write an ONNX file"
        if isinstance(_input(program).shape[2], torch.SymInt):
            message += ", or give a fixed size: --size HEIGHT WIDTH"
        raise InputError(message) from error


def save_onnx(
    program: ExportedProgram, path: Path, metadata: dict[str, Any], result: Result = "logits"
) -> None:
    """Write an ONNX file with input ``image`` and an output named like the result.

    The metadata is stored in ``metadata_props``, with non-string values as JSON. Weights of 2 GiB
    or more are written to a second file, ``NAME.data``.
    """
    require_onnx()
    try:
        onnx_program = torch.onnx.export(
            program, dynamo=True, input_names=["image"], output_names=[result], verbose=False
        )
    except Exception as error:
        raise InputError(
            f"an ONNX file cannot hold this network: {_first_line(_cause(error))}. Write a "
            "torch.export file (.pt2)"
        ) from error
    assert onnx_program is not None
    model: Any = onnx_program.model
    lengths = zip(("batch", "channels", "height", "width"), _input(program).shape, strict=True)
    # Fixed dimensions stay numbers; only symbolic ones are renamed.
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
    """Return the root cause."""
    return error if error.__cause__ is None else _cause(error.__cause__)


def require_onnx() -> None:
    """Check that the packages for ONNX export are installed."""
    with needs("export", "An ONNX file, unlike a .pt2,"):
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
