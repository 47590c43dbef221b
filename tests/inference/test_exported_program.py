"""Exported files, written from Python."""

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from lightning_seg.errors import InputError
from lightning_seg.inference.export import Predictor, exported_program, save_onnx
from lightning_seg.networks import Network


class Plain(Network):
    """Identity network, or one that applies an operation."""

    def __init__(self, operation=None):
        super().__init__(in_channels=3)
        self.out_channels, self.stride = 3, 1
        self.operation = operation or nn.Identity()

    def features(self, image):
        return {"decoder": self.operation(image)}


class Classes(nn.Module):
    """Third-party head: a 1 x 1 convolution."""

    def __init__(self, num_classes):
        super().__init__()
        self.classifier = nn.Conv2d(3, num_classes, 1)

    def forward(self, features):
        return {"logits": self.classifier(features["decoder"])}


class Bessel(nn.Module):
    """An operation that ONNX lacks."""

    def forward(self, x):
        return torch.special.bessel_j0(x)


class OneSize(nn.Module):
    def forward(self, x):
        return x.reshape(-1, 3, 24, 32)


class SamePadding(Network):
    """Two of timm's convolutions whose padding depends on the size."""

    def __init__(self):
        super().__init__(in_channels=3)
        self.out_channels, self.stride, self.size_multiple = 3, 4, 4
        convolutions = (Conv2dSame(3, 3, side, stride=2) for side in (3, 5))
        self.convolutions = nn.Sequential(*convolutions)

    def features(self, image):
        return {"decoder": self.convolutions(image)}


def shapes(path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(path).graph
    return [
        [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    ]


def test_an_onnx_file_of_fixed_size_has_only_a_dynamic_batch_axis(tmp_path):
    pytest.importorskip("onnxscript")
    path = tmp_path / "model.onnx"
    program = exported_program(Predictor(Plain(), Classes(24)).eval(), (24, 32))
    save_onnx(program, path, {})
    assert shapes(path) == [["batch", 3, 24, 32], ["batch", 24, 24, 32]]


def test_an_onnx_file_of_any_size_has_named_dynamic_axes(tmp_path):
    pytest.importorskip("onnxscript")
    path = tmp_path / "model.onnx"
    save_onnx(exported_program(Predictor(Plain(), Classes(4)).eval()), path, {})
    assert shapes(path) == [["batch", 3, "height", "width"], ["batch", 4, "height", "width"]]


def test_an_operation_missing_from_onnx_is_named(tmp_path):
    pytest.importorskip("onnxscript")
    program = exported_program(Predictor(Plain(Bessel()), Classes(4)).eval(), (24, 32))
    with pytest.raises(InputError, match=r"an ONNX file cannot hold .*bessel_j0.*\.pt2") as error:
        save_onnx(program, tmp_path / "model.onnx", {})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("num_classes", "dtype"), [(256, torch.uint8), (257, torch.int32)])
def test_exported_labels_can_hold_every_class(num_classes, dtype):
    head = Classes(num_classes)
    nn.init.zeros_(head.classifier.weight)
    head.classifier.bias.data = torch.arange(num_classes).float()
    labels = Predictor(Plain(), head, "labels")(torch.rand(1, 3, 5, 7))
    assert labels.dtype == dtype
    assert labels.unique().tolist() == [num_classes - 1]


def test_same_padding_of_any_size_is_exported_as_constants():
    """Expressions of the size make the export of a whole EfficientNet take more than 20 minutes."""
    predictor = Predictor(SamePadding(), Classes(4)).eval()
    program = exported_program(predictor)
    pads = [node.args[1] for node in program.graph.nodes if "pad" in str(node.target)]
    assert pads == [[0, 1, 0, 1], [1, 2, 1, 2]]
    for size in ((96, 64), (45, 130), (33, 47)):
        image = torch.rand(1, 3, *size)
        torch.testing.assert_close(program.module()(image), predictor(image))


def test_a_network_that_needs_a_fixed_size_asks_for_the_size_option():
    with pytest.raises(InputError, match=r"for any height and width: .*: --size HEIGHT WIDTH$"):
        exported_program(Predictor(Plain(OneSize()), Classes(4)).eval())
