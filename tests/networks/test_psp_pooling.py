"""Pyramid pooling and its normalisation."""

import pytest
import torch
import torch.nn.functional as F

from lightning_seg.networks import BatchNorm, PSPPooling
from lightning_seg.networks.psp_pooling import _maxima, _spread


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def pooled(x, grid):
    """Return the maximum of its cell for every pixel."""
    cells = _maxima(_maxima(x, 2, grid), 3, grid)
    return _spread(_spread(cells, 2, x.shape[2]), 3, x.shape[3])


def by_definition(x, grid):
    height, width = x.shape[2:]
    rows, columns = torch.arange(height) * grid // height, torch.arange(width) * grid // width
    expected = torch.empty_like(x)
    for i in range(height):
        for j in range(width):
            cell = x[:, :, rows == rows[i]][..., columns == columns[j]]
            expected[..., i, j] = cell.amax(dim=(2, 3))
    return expected


@pytest.mark.parametrize("grid", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [(8, 16), (9, 13), (17, 5), (3, 1)])
def test_every_pixel_gets_the_maximum_of_its_cell(size, grid):
    x = noise(2, 3, *size)
    assert torch.equal(pooled(x, grid), by_definition(x, grid))


@pytest.mark.parametrize("grid", [1, 2, 4, 8])
def test_cells_of_equal_size_are_adaptive_poolings(grid):
    x = noise(2, 3, 16, 24)
    cells = F.adaptive_max_pool2d(x, grid)
    assert torch.equal(pooled(x, grid), F.interpolate(cells, size=(16, 24), mode="nearest"))


def test_a_grid_finer_than_the_map_returns_the_map():
    x = noise(1, 2, 5, 3)
    assert torch.equal(pooled(x, 8), x)


def test_convolving_cells_equals_convolving_the_full_map():
    torch.manual_seed(0)
    pooling, x = PSPPooling(6, 8).eval(), noise(2, 6, 16, 16)
    full = [branch(pooled(x, grid)) for grid, branch in zip(pooling.grids, pooling.branches)]
    torch.testing.assert_close(pooling(x), pooling.join(torch.cat([x, *full], dim=1)))


def test_in_training_the_result_equals_that_of_full_maps():
    torch.manual_seed(0)
    pooling, x = PSPPooling(6, 8), noise(2, 6, 16, 16)
    actual = pooling(x)
    full = [branch(pooled(x, grid)) for grid, branch in zip(pooling.grids, pooling.branches)]
    expected = pooling.join(torch.cat([x, *full], dim=1))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (9, 13)])
def test_running_statistics_equal_those_of_full_maps(size):
    """The variance of a 1 x 1 grid is that of B H W values, not of B."""
    torch.manual_seed(0)
    pooling, x = PSPPooling(6, 8), noise(2, 6, *size)
    pooling(x)
    for grid, (conv, norm) in zip(pooling.grids, pooling.branches):
        full = conv(pooled(x, grid)).detach()
        expected = 0.9 + 0.1 * full.var(dim=(0, 2, 3), unbiased=True)
        torch.testing.assert_close(norm.running_var, expected)
        torch.testing.assert_close(norm.running_mean, 0.1 * full.mean(dim=(0, 2, 3)))


def test_a_single_maximum_is_normalised_as_in_evaluation_and_leaves_statistics_alone():
    pooling = PSPPooling(6, 8)
    pooling(noise(1, 6, 16, 16))
    _, norm = pooling.branches[0]
    assert torch.equal(norm.running_var, torch.ones(2))
    assert norm.num_batches_tracked == 0
    assert all(branch[1].num_batches_tracked == 1 for branch in pooling.branches[1:])


def test_channels_are_split_equally_between_grids():
    pooling = PSPPooling(10, 2048, grids=(1, 2, 4))
    assert [branch[0].out_channels for branch in pooling.branches] == [682, 682, 682]
    assert pooling(noise(2, 10, 4, 4)).shape == (2, 2048, 4, 4)


def test_fewer_channels_than_grids_are_refused():
    with pytest.raises(ValueError, match="give at least 4"):
        PSPPooling(16, 3)


def test_a_batch_of_one_image_trains_every_parameter():
    pooling = PSPPooling(6, 8)
    pooling(noise(1, 6, 16, 16)).square().mean().backward()
    assert all(p.grad.isfinite().all() for p in pooling.parameters())


def test_a_single_value_is_normalised_as_in_evaluation_and_leaves_statistics_alone():
    norm = BatchNorm(3)
    norm.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    norm.running_var.fill_(4.0)
    x = noise(1, 3, 1, 1)
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    assert torch.equal(norm(x), norm.eval()(x))
    assert all(torch.equal(before[name], buffer) for name, buffer in norm.named_buffers())


def test_several_values_are_normalised_as_by_torch():
    norm, plain, x = BatchNorm(3), torch.nn.BatchNorm2d(3), noise(2, 3, 4, 4)
    assert torch.equal(norm(x), plain(x))
    assert torch.equal(norm.running_var, plain.running_var)
