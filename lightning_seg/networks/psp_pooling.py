"""Pyramid scene parsing pooling of ResUNet-a."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_seg.errors import InputError
from lightning_seg.networks.layers import ConvNorm
from lightning_seg.networks.network import is_exporting


class PSPPooling(nn.Module):
    """Pyramid pooling with maxima over grid cells of several sizes.

    The map is max-pooled in each cell of several grids. Each pooled map is convolved to an equal
    share of the channels, upsampled by nearest neighbour and then batch-normalised, so that cells
    of unequal size are weighted by their pixels. A last convolution fuses these maps and the input
    (Diakogiannis et al. 2020, figure 1c). As in the authors' code each grid pools all channels; the
    text splits them among the grids.

    Args:
        in_channels: Channels of the map.
        out_channels: Channels of the output, at least one per grid.
        grids: Number of cells along each side, per grid; a grid finer than the map is the map.

    Raises:
        InputError: Fewer output channels than grids.
    """

    def __init__(
        self, in_channels: int, out_channels: int, grids: Sequence[int] = (1, 2, 4, 8)
    ) -> None:
        super().__init__()
        share = out_channels // len(grids)
        if share < 1:
            raise InputError(
                f"{out_channels} channels cannot be shared among {len(grids)} grids of pooling; "
                f"give at least {len(grids)}"
            )
        self.grids = tuple(grids)
        self.branches = nn.ModuleList(ConvNorm(in_channels, share) for _ in grids)
        self.join = ConvNorm(in_channels + share * len(grids), out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, h, w) to (B, out_channels, h, w)."""
        height, width = x.shape[-2:]
        maps = [x]
        for grid, branch in zip(self.grids, self.branches, strict=True):
            conv, norm = branch.children()
            # A 1 x 1 convolution of the cells equals one of the full map and is cheaper. The same
            # holds for normalisation by running statistics or of a single value, see BatchNorm.
            cells = conv(_maxima(_maxima(x, 2, grid), 3, grid))
            full = norm.training and cells.numel() > cells.shape[1]
            pooled = _spread(_spread(cells if full else norm(cells), 2, height), 3, width)
            maps.append(norm(pooled) if full else pooled)
        joined: Tensor = self.join(torch.cat(maps, dim=1))
        return joined


# Pixel i of a side lies in cell i * grid // side. Unlike in adaptive pooling cells never overlap,
# and indexing by cell allows the export of any height and width.


def _maxima(x: Tensor, dim: int, grid: int) -> Tensor:
    """Maximum of each cell along one dimension."""
    side = x.shape[dim]
    if _equal_cells(side, grid):
        return x.unflatten(dim, (grid, side // grid)).amax(dim=dim + 1)
    # Round up without negative numbers, which ONNX divides differently.
    edges = (torch.arange(grid + 1, device=x.device) * side + grid - 1) // grid
    length = (side + grid - 1) // grid + 1  # one spare: 1 would be exported as a constant
    index = edges[:-1, None] + torch.arange(length, device=x.device)
    index = torch.minimum(index, edges[1:, None] - 1)
    return x.movedim(dim, -1)[..., index].amax(dim=-1).movedim(-1, dim)


def _spread(cells: Tensor, dim: int, side: int) -> Tensor:
    """Repeat the value of each cell for its pixels."""
    grid = cells.shape[dim]
    if _equal_cells(side, grid):
        return cells.repeat_interleave(side // grid, dim)
    index = torch.arange(side, device=cells.device) * grid // side
    return cells.index_select(dim, index)


def _equal_cells(side: int, grid: int) -> bool:
    """Return True if all cells have the same size; never in an export of dynamic sizes."""
    return not is_exporting() and side % grid == 0
