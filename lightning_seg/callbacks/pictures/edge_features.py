"""Pictures of the features of SEMEDA's edge network."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor

from lightning_seg.callbacks.classes import IgnoreIndex
from lightning_seg.callbacks.extractors import ExtractorLike
from lightning_seg.callbacks.pictures.chosen_samples import ChosenSample, ChosenSamples
from lightning_seg.callbacks.pictures.picture_maps import (
    boundary_band,
    class_probabilities,
    entropy,
    is_class,
    judged,
    paint_over,
    right_and_wrong,
)
from lightning_seg.callbacks.pictures.picture_sheet import (
    Cell,
    Row,
    class_patches,
    draw_sheet,
    map_cell,
    patch,
    picture_cell,
    step_to_fit,
)
from lightning_seg.callbacks.pictures.pictures import entropy_cell
from lightning_seg.errors import InputError
from lightning_seg.losses import SemedaLoss
from lightning_seg.networks import EdgeNetwork

if TYPE_CHECKING:  # matplotlib is slow to import
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

_LAYERS = 3
_EDGE = 1  # edge channel of the last layer


class EdgeFeatureMaps(ChosenSamples):
    """Draw feature maps of SEMEDA's edge network for a few samples (Chen et al. 2020, figure 6).

    The first row shows prediction and ground truth over the image (figures 8 to 10), the image, the
    errors and the entropy (figure 7). Below is one row per layer: feature maps of the prediction,
    those of the ground truth, and their mean absolute difference over the layer's channels. The
    first two layers show the channels in which true boundaries stand out most; the last layer shows
    the edge probability.
    Pictures are saved in ``pictures/val_edge_features`` and ``pictures/test_edge_features``.

    Args:
        edge_network: Path of the edge network's checkpoint; by default the network of the module's
            `SemedaLoss` is used.
        maps: Number of feature maps shown per layer, 1 to 16.

    Raises:
        InputError: The checkpoint does not exist, or ``maps`` is not in 1 to 16. (in a step) The
            module has no `SemedaLoss`, or the edge network has another number of classes.
    """

    kind: ClassVar[str] = "_edge_features"

    def __init__(
        self,
        edge_network: str | None = None,
        maps: int = 2,
        num_images: int = 4,
        every_n_epochs: int = 1,
        num_classes: int | None = None,
        extractor: ExtractorLike | None = None,
        class_names: list[str] | None = None,
        ignore_index: IgnoreIndex = "auto",
    ) -> None:
        super().__init__(
            num_images, every_n_epochs, num_classes, extractor, class_names, ignore_index
        )
        if not 1 <= maps <= 16:
            raise InputError(f"maps is {maps}, but a layer has 16 maps. Set it to 1 to 16.")
        self.maps = maps
        self.edge_network = None
        if edge_network is not None:
            self.edge_network = EdgeNetwork.from_checkpoint(edge_network).eval()

    @torch.no_grad()
    def draw(self, pl_module: LightningModule, sample: ChosenSample) -> "Figure":
        """Draw the sheet of one sample."""
        network = self.edge_network or _network_of(pl_module)
        network.check_num_classes(self._num_classes)
        truth = torch.from_numpy(sample.truth)
        valid = torch.from_numpy(is_class(sample.truth, self._num_classes))
        boundary = torch.from_numpy(boundary_band(sample.truth, self._num_classes, 1))
        predicted = _probabilities(sample, self._num_classes) * valid
        true = _one_hot(truth, self._num_classes) * valid
        device = next(network.parameters()).device
        features, true_features = (
            [maps[0].cpu() for maps in network.embeddings(maps_in.to(device).unsqueeze(0))]
            for maps_in in (predicted, true)
        )
        step = step_to_fit(*sample.truth.shape)
        rows = [self._given(sample, step)]
        for layer in range(_LAYERS):
            maps = features[layer], true_features[layer]
            rows.append(self._row(layer, *maps, valid, boundary, step))
        height, width = sample.truth.shape
        return draw_sheet(
            sample.title, rows, self._legends(sample), height / width, 2 * self.maps + 1
        )

    def _given(self, sample: ChosenSample, step: int) -> Row:
        void = ~is_class(sample.truth, self._num_classes)
        verdicts = right_and_wrong(sample.truth, sample.labels, self._colors)
        cells: list[Cell | None] = [
            picture_cell("prediction", paint_over(sample.rgb, sample.labels, self._colors), step),
            picture_cell("ground truth", paint_over(sample.rgb, sample.truth, self._colors), step),
            picture_cell("image", sample.rgb, step),
        ]
        if self.maps > 1:
            cells.append(picture_cell("errors", judged(sample.rgb, verdicts, void), step))
            if sample.scores is not None:
                undecided = entropy(sample.scores[..., ::step, ::step])[0].cpu().numpy()
                cells.append(entropy_cell("entropy of the prediction", undecided))
        return Row(cells)

    def _row(
        self,
        layer: int,
        features: Tensor,
        true_features: Tensor,
        valid: Tensor,
        boundary: Tensor,
        step: int,
    ) -> Row:
        difference = ((features - true_features).abs().mean(dim=0) * valid).numpy()
        cells: list[Cell | None] = []
        for channel in self._channels(layer, true_features, boundary):
            both = features[channel].numpy(), true_features[channel].numpy()
            limit = max(float(both[0].max()), float(both[1].max()), 1e-6)
            name = "edges" if layer == _LAYERS - 1 else f"layer {layer + 1}, map {channel + 1}"
            for kind, shown in zip(("prediction", "ground truth"), both, strict=True):
                cells.append(_feature_cell(f"{name}: {kind}", shown, limit, step))
        cells += [None] * (2 * self.maps - len(cells))
        title = f"layer {layer + 1}: mean difference {difference[valid.numpy()].mean():.3f}"
        title = title if valid.any() else f"layer {layer + 1}"
        cells.append(_feature_cell(title, difference, max(float(difference.max()), 1e-6), step))
        return Row(cells)

    def _channels(self, layer: int, maps: Tensor, boundary: Tensor) -> list[int]:
        """Return the channels in which boundaries stand out most, relative to their deviation."""
        if layer == _LAYERS - 1:
            return [_EDGE]
        contrast = maps.flatten(1).std(dim=1)
        if boundary.any():
            difference = maps[:, boundary].mean(dim=1) - maps[:, ~boundary].mean(dim=1)
            contrast = torch.where(contrast > 0, difference.abs() / contrast, 0)
        return contrast.topk(self.maps).indices.tolist()

    def _legends(self, sample: ChosenSample) -> list[list["Patch"]]:
        classes = class_patches(sample.truth, sample.labels, self._names, self._colors)
        if self.maps == 1:
            return [classes]
        verdicts = right_and_wrong(sample.truth, sample.labels, self._colors)
        return [classes, [patch(verdict.name, verdict.color) for verdict in verdicts]]


def _network_of(module: LightningModule) -> EdgeNetwork:
    for loss in module.modules():
        if isinstance(loss, SemedaLoss) and loss.edge_network is not None:
            return loss.edge_network
    raise InputError(
        f"EdgeFeatureMaps: {type(module).__name__} is not trained with SemedaLoss. Set "
        "edge_network to the checkpoint of an edge network."
    )


def _probabilities(sample: ChosenSample, num_classes: int) -> Tensor:
    """Return the class probabilities (K, H, W) of a prediction on the CPU; one-hot for labels."""
    if sample.scores is None:
        return _one_hot(torch.from_numpy(sample.labels), num_classes)
    return class_probabilities(sample.scores)[0].cpu()


def _one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """Encode labels (H, W) one-hot as (K, H, W) float32; void becomes class 0."""
    known = labels.masked_fill((labels < 0) | (labels >= num_classes), 0)
    return F.one_hot(known, num_classes).permute(2, 0, 1).float()


def _feature_cell(title: str, shown: NDArray[np.floating], limit: float, step: int) -> Cell:
    return map_cell(title, shown, "magma", {0: "0", limit: "largest"}, step)
