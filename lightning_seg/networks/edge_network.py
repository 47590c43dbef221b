"""Edge detection network on label maps, for SEMEDA (Chen et al. 2020)."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_seg.checkpoints import read_checkpoint
from lightning_seg.errors import InputError

WIDTHS = (16, 32, 2)
RECIPE = (
    "Train one on the masks of your data: lightning-seg fit --config "
    "configs/experiment/semeda/edge_network.yaml --data ..., and give its checkpoints/best.ckpt."
)


def activated(maps: Tensor, layer: int) -> Tensor:
    """Apply the activation of a layer: softmax for the last one, else ReLU in place."""
    return maps.softmax(dim=1) if layer == len(WIDTHS) - 1 else maps.relu_()


class EdgeNetwork(nn.Module):
    """Three convolutions, K -> 16 -> 32 -> 2 channels, that detect edges of a label map.

    Chen et al. (2020), section 3.4; kernels are 3 x 3 with a bias and zero padding. Void pixels of
    the input are zero in all channels. The network computes in the precision of its input,
    regardless of that of its weights.

    Args:
        num_classes: K, the number of classes of the label maps, background included.
        class_names: Names of the classes in order, if known.
    """

    def __init__(self, num_classes: int, class_names: Sequence[str] | None = None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.class_names = None if class_names is None else tuple(class_names)
        self.convs = nn.ModuleList(
            nn.Conv2d(narrow, wide, 3, padding=1)
            for narrow, wide in pairwise((num_classes, *WIDTHS))
        )

    def check_num_classes(self, num_classes: int) -> None:
        """Raise unless the network is for this number of classes."""
        if num_classes != self.num_classes:
            raise InputError(
                f"the edge network was trained for {self.num_classes} classes, but there are "
                f"{num_classes} here. {RECIPE}"
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Return logits (B, 2, H, W) of no edge and edge for class maps (B, K, H, W)."""
        return self._convolve(2, self.embeddings(maps, layers=2)[-1])

    def embeddings(self, maps: Tensor, layers: int = len(WIDTHS)) -> list[Tensor]:
        """Return the activated outputs (B, 16 | 32 | 2, H, W) of the first layers."""
        outputs: list[Tensor] = []
        for layer in range(layers):
            maps = activated(self._convolve(layer, maps), layer)
            outputs.append(maps)
        return outputs

    def layers(self, number: int) -> list[tuple[Tensor, Tensor]]:
        """Return kernels and biases of the first layers."""
        return [self._layer(layer) for layer in range(number)]

    def _layer(self, layer: int) -> tuple[Tensor, Tensor]:
        conv = self.convs[layer]
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        return conv.weight, conv.bias

    def _convolve(self, layer: int, maps: Tensor) -> Tensor:
        kernel, bias = self._layer(layer)
        return F.conv2d(maps, kernel.to(maps.dtype), bias.to(maps.dtype), padding=1)

    @classmethod
    def from_state_dict(cls, weights: dict[str, Tensor]) -> Self:
        """Build the network from its weights, which determine the number of classes."""
        network = cls(num_classes=weights["convs.0.weight"].shape[1])
        network.load_state_dict(weights)
        return network

    @classmethod
    def from_checkpoint(cls, path: str | Path) -> Self:
        """Load the network from a checkpoint of `EdgeDetectionTask`, on the CPU."""
        path = Path(path)
        if not path.is_file():
            raise InputError(f"there is no edge network {path.absolute()}. {RECIPE}")
        try:
            checkpoint = read_checkpoint(path)
            class_names = checkpoint["edge_network"]["class_names"]
            prefix = "network."
            network = cls.from_state_dict(
                {
                    name.removeprefix(prefix): weight
                    for name, weight in checkpoint["state_dict"].items()
                    if name.startswith(prefix)
                }
            )
        except InputError as error:
            raise InputError(
                f"{path.absolute()} is not the checkpoint of an edge network, or is damaged: "
                f"{error} {RECIPE}"
            ) from error
        except Exception as error:
            raise InputError(
                f"{path.absolute()} is not the checkpoint of an edge network. {RECIPE}"
            ) from error
        network.class_names = None if class_names is None else tuple(class_names)
        return network
