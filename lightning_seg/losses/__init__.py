"""Losses as modules and pure functions, on logits ``(logits, mask)`` or on regressed maps."""

from lightning_seg.losses.base import Loss
from lightning_seg.losses.boundary import BoundaryLoss, boundary_loss
from lightning_seg.losses.class_weights import ClassBalance, ClassWeights
from lightning_seg.losses.combo import ComboLoss, combo
from lightning_seg.losses.cross_entropy import CrossEntropyLoss, cross_entropy
from lightning_seg.losses.dice import DiceLoss, dice
from lightning_seg.losses.dice_focal import DiceFocalLoss, dice_focal
from lightning_seg.losses.distance_transform import DistanceTransformLoss, distance_transform_loss
from lightning_seg.losses.dual_task import DualTaskLoss, dual_task
from lightning_seg.losses.equipotential_line import (
    EquipotentialLineLoss,
    equipotential_line_loss,
)
from lightning_seg.losses.focal import FocalLoss, focal
from lightning_seg.losses.generalized_dice import GeneralizedDiceLoss, generalized_dice
from lightning_seg.losses.jaccard import JaccardLoss, jaccard
from lightning_seg.losses.lovasz_softmax import LovaszSoftmaxLoss, lovasz_softmax
from lightning_seg.losses.map_binary_cross_entropy import (
    MapBinaryCrossEntropyLoss,
    map_binary_cross_entropy,
)
from lightning_seg.losses.map_l1 import MapL1Loss, map_l1
from lightning_seg.losses.map_tanimoto import MapTanimotoLoss, map_tanimoto
from lightning_seg.losses.multi_label import MultiLabelLoss
from lightning_seg.losses.point import PointLoss, point_loss
from lightning_seg.losses.potential import anisotropic_convolution
from lightning_seg.losses.semeda import SemedaLoss, semeda
from lightning_seg.losses.sobel import SobelLoss, sobel
from lightning_seg.losses.tanimoto import TanimotoLoss, tanimoto
from lightning_seg.losses.tanimoto_formula import TanimotoFormula
from lightning_seg.losses.weighted import WeightedLoss

__all__ = [
    "BoundaryLoss",
    "ClassBalance",
    "ClassWeights",
    "ComboLoss",
    "CrossEntropyLoss",
    "DiceFocalLoss",
    "DiceLoss",
    "DistanceTransformLoss",
    "DualTaskLoss",
    "EquipotentialLineLoss",
    "FocalLoss",
    "GeneralizedDiceLoss",
    "JaccardLoss",
    "Loss",
    "LovaszSoftmaxLoss",
    "MapBinaryCrossEntropyLoss",
    "MapL1Loss",
    "MapTanimotoLoss",
    "MultiLabelLoss",
    "PointLoss",
    "SemedaLoss",
    "SobelLoss",
    "TanimotoFormula",
    "TanimotoLoss",
    "WeightedLoss",
    "anisotropic_convolution",
    "boundary_loss",
    "combo",
    "cross_entropy",
    "dice",
    "dice_focal",
    "distance_transform_loss",
    "dual_task",
    "equipotential_line_loss",
    "focal",
    "generalized_dice",
    "jaccard",
    "lovasz_softmax",
    "map_binary_cross_entropy",
    "map_l1",
    "map_tanimoto",
    "point_loss",
    "semeda",
    "sobel",
    "tanimoto",
]
