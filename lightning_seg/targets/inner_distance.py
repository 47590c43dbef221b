"""Distance of each pixel to the nearest pixel of another class."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lightning_seg.errors import check_choice
from lightning_seg.targets._inner_distance_opencv import opencv_inner_distance
from lightning_seg.targets._inner_distance_torch import torch_inner_distance
from lightning_seg.targets._masks import check_mask
from lightning_seg.targets._operator import as_operator
from lightning_seg.targets._triton import runs_triton
from lightning_seg.targets.signed_distance import Void

Metric = Literal["euclidean", "chessboard"]


def inner_distance(
    mask: Tensor,
    num_classes: int,
    metric: Metric = "euclidean",
    ignore_index: int = 255,
    void: Void = "ignore",
) -> Tensor:
    """Exact, unclipped distance of each pixel to the nearest pixel of another class.

    One map holds the distance transforms of all classes, because each is 0 outside its class (Gül
    2023, section 3.2, step 1). Computed on the mask's device, without a sync.

    Args:
        mask: (B, H, W) integers, labels 0..num_classes-1 or ``ignore_index``.
        num_classes: K.
        metric: ``euclidean``, or ``chessboard``: the larger of the two coordinate differences, the
            default of SciPy's ``distance_transform_cdt``, which the thesis refers to.
        ignore_index: Label of void pixels.
        void: ``ignore``: distances are measured between valid pixels only. ``background``: void
            bounds the classes that it touches.

    Returns:
        (B, 1, H, W) float32 in pixels, between pixel centres: 0 at void pixels, at least 1
        elsewhere. A class that fills an image (with ``ignore``: its valid pixels) gets the diagonal
        of the image (``chessboard``: its longer side), which exceeds every other distance.

    Raises:
        ValueError: Wrong shape or dtype, no class, an unknown ``metric`` or ``void``.

    Example:
        >>> import torch
        >>> from lightning_seg.targets import inner_distance
        >>> mask = torch.tensor([[[0, 0, 1, 1]]])
        >>> inner_distance(mask, num_classes=2)[0, :, 0]
        tensor([[2., 1., 1., 2.]])
    """
    check_mask(mask, num_classes)
    check_choice("metric", metric, Metric)
    check_choice("void", void, Void)
    chessboard, void_is_background = metric == "chessboard", void == "background"
    return _operator(mask, num_classes, chessboard, ignore_index, void_is_background)


def _compute(
    mask: Tensor, num_classes: int, chessboard: bool, ignore_index: int, void_is_background: bool
) -> Tensor:
    arguments = mask, num_classes, chessboard, ignore_index, void_is_background
    if mask.device.type == "cpu":
        return opencv_inner_distance(*arguments)
    if runs_triton(mask.device):
        from lightning_seg.targets import _inner_distance_triton as kernels

        if kernels.triton_fits(mask):
            return torch_inner_distance(*arguments, kernels.triton_column_pass)
    return torch_inner_distance(*arguments)


def _without_values(
    mask: Tensor, num_classes: int, chessboard: bool, ignore_index: int, void_is_background: bool
) -> Tensor:
    batch, height, width = mask.shape
    return mask.new_empty((batch, 1, height, width), dtype=torch.float32)


_operator = as_operator(
    "inner_distance(Tensor mask, int num_classes, bool chessboard, int ignore_index, "
    "bool void_is_background) -> Tensor",
    _compute,
    _without_values,
)


@dataclass(frozen=True)
class InnerDistance:
    """Distance map of the distance-transform loss: `inner_distance` in pixels.

    Args:
        metric: See `inner_distance`.
        void: See `inner_distance`.
        ignore_index: Label of void pixels.

    Example:
        >>> import torch
        >>> from lightning_seg.targets import InnerDistance
        >>> mask = torch.tensor([[[0, 0, 1, 1]]])
        >>> InnerDistance()(mask, num_classes=2)[0, :, 0]
        tensor([[2., 1., 1., 2.]])
    """

    metric: Metric = "euclidean"
    void: Void = "ignore"
    ignore_index: int = 255

    def __post_init__(self) -> None:
        check_choice("metric", self.metric, Metric)
        check_choice("void", self.void, Void)

    @property
    def key(self) -> str:
        """Name and options, usable as a file name."""
        return f"inner_distance-metric={self.metric}-void={self.void}-ignore={self.ignore_index}"

    def __call__(self, mask: Tensor, num_classes: int) -> Tensor:
        """Return the map (B, 1, H, W) float32 in pixels of a mask (B, H, W), on its device."""
        return inner_distance(mask, num_classes, self.metric, self.ignore_index, self.void)
