"""Signed distance to the boundary of each class."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lightning_seg.errors import check_choice
from lightning_seg.targets._masks import check_mask
from lightning_seg.targets._operator import as_operator
from lightning_seg.targets._signed_distance_opencv import opencv_signed_distance
from lightning_seg.targets._signed_distance_torch import torch_signed_distance
from lightning_seg.targets._triton import runs_triton

Void = Literal["ignore", "background"]


def signed_distance(
    mask: Tensor,
    num_classes: int,
    clip: float | None = None,
    ignore_index: int = 255,
    void: Void = "ignore",
) -> Tensor:
    """Exact signed Euclidean distance of each pixel to the boundary of each class.

    Inside a class it is the distance to the nearest pixel of another class, outside it is minus the
    distance to the nearest pixel of the class. Distances are between pixel centres, so they are at
    least 1 in magnitude (Audebert et al. 2019, section 3.1). Computed on the mask's device, without
    a sync: by OpenCV on the CPU, by Triton kernels on NVIDIA GPUs, by separable passes in torch
    elsewhere.

    Args:
        mask: (B, H, W) integers, labels 0..num_classes-1 or ``ignore_index``.
        num_classes: K.
        clip: Largest distance in pixels, not necessarily an integer; by default the diagonal of the
            image, which exceeds every distance.
        ignore_index: Label of void pixels.
        void: ``ignore``: distances are measured between valid pixels only, and are 0 at void.
            ``background``: void lies outside every class and bounds the classes that it touches, as
            in the paper.

    Returns:
        (B, K, H, W) float32 in pixels within [-clip, clip], positive inside. A class absent from an
        image is -clip everywhere; one that fills it (with ``ignore``: its valid pixels) is +clip.

    Raises:
        ValueError: Wrong shape or dtype, no class, a clip that is not positive, or an unknown
            ``void``.

    Example:
        >>> import torch
        >>> from lightning_seg.targets import signed_distance
        >>> mask = torch.tensor([[[0, 0, 1, 1]]])
        >>> signed_distance(mask, num_classes=2)[0, :, 0]
        tensor([[ 2.,  1., -1., -2.],
                [-2., -1.,  1.,  2.]])
    """
    check_mask(mask, num_classes)
    if clip is not None:
        _check_clip(clip)
    check_choice("void", void, Void)
    clip = None if clip is None else float(clip)
    return _operator(mask, num_classes, clip, ignore_index, void == "background")


def _compute(
    mask: Tensor, num_classes: int, clip: float | None, ignore_index: int, void_is_background: bool
) -> Tensor:
    limit = math.hypot(*mask.shape[1:]) if clip is None else clip
    compute = torch_signed_distance
    if mask.device.type == "cpu":
        compute = opencv_signed_distance
    elif runs_triton(mask.device):
        from lightning_seg.targets import _signed_distance_triton as kernels

        if kernels.triton_fits(mask, limit):
            compute = kernels.triton_signed_distance
    return compute(mask, num_classes, limit, ignore_index, void_is_background)


def _without_values(
    mask: Tensor, num_classes: int, clip: float | None, ignore_index: int, void_is_background: bool
) -> Tensor:
    batch, height, width = mask.shape
    return mask.new_empty((batch, num_classes, height, width), dtype=torch.float32)


_operator = as_operator(
    "signed_distance(Tensor mask, int num_classes, float? clip, int ignore_index, "
    "bool void_is_background) -> Tensor",
    _compute,
    _without_values,
)


def _check_clip(clip: float) -> None:
    if not 0 < clip < math.inf:
        raise ValueError(f"clip is {clip}, but must be a positive, finite number of pixels")


@dataclass(frozen=True)
class SignedDistance:
    """Target of distance regression: `signed_distance` divided by its clip, in [-1, 1].

    With ``clip=1`` it is ``2 * one_hot - 1``, the binary-mask regression of the paper's ablation.

    Args:
        clip: Distance in pixels at which the target saturates.
        void: See `signed_distance`.
        ignore_index: Label of void pixels.

    Attributes:
        bounds: Lowest and highest possible value.

    Example:
        >>> import torch
        >>> from lightning_seg.targets import SignedDistance
        >>> mask = torch.tensor([[[0, 0, 1, 1]]])
        >>> SignedDistance(clip=2.0)(mask, num_classes=2)[0, :, 0]
        tensor([[ 1.0000,  0.5000, -0.5000, -1.0000],
                [-1.0000, -0.5000,  0.5000,  1.0000]])
    """

    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    clip: float = 10.0
    void: Void = "ignore"
    ignore_index: int = 255

    def __post_init__(self) -> None:
        _check_clip(self.clip)
        check_choice("void", self.void, Void)

    @property
    def key(self) -> str:
        """Name and options, usable as a file name."""
        clip = float(self.clip)  # 10 and 10.0 are the same target
        return f"signed_distance-clip={clip}-void={self.void}-ignore={self.ignore_index}"

    def __call__(self, mask: Tensor, num_classes: int) -> Tensor:
        """Return the map (B, K, H, W) float32 in [-1, 1] of a mask (B, H, W), on its device."""
        distance = signed_distance(mask, num_classes, self.clip, self.ignore_index, self.void)
        return distance.div_(self.clip)
