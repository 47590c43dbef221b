"""Signed distances in threads and worker processes: same values, no side effects."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import pytest
import torch
from clean_processes import in_clean_process
from signed_distance_reference import patches
from torch.utils.data import DataLoader, Dataset

from lightning_seg.targets import signed_distance


@pytest.fixture(autouse=True)
def threads():
    """Use several threads, and restore the number afterwards."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def large_mask(seed=0):
    return torch.from_numpy(patches(seed, 300, 400, 6, 40, 0.01))[None]


class Distances(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return signed_distance(large_mask(index), 6, 20.0)[0]


def test_one_thread_and_many_threads_agree_bit_for_bit():
    many = signed_distance(large_mask(), 6, 20.0)
    torch.set_num_threads(1)
    assert torch.equal(signed_distance(large_mask(), 6, 20.0), many)


def test_concurrent_calls_agree_with_sequential_calls():
    alone = [signed_distance(large_mask(seed), 6, 20.0) for seed in range(4)]
    with ThreadPoolExecutor(2) as pool:
        together = pool.map(lambda seed: signed_distance(large_mask(seed), 6, 20.0), range(4))
        assert all(torch.equal(one, other) for one, other in zip(alone, together))


@pytest.mark.parametrize("count", [1, 2])
def test_thread_counts_are_restored(count):
    cv2.setNumThreads(count)
    torch.set_num_threads(count + 1)
    signed_distance(large_mask(), 6, 20.0)
    assert (cv2.getNumThreads(), torch.get_num_threads()) == (count, count + 1)


@in_clean_process
def test_forked_workers_agree_with_a_parent_that_used_threads():
    torch.set_num_threads(3)
    expected = torch.cat([signed_distance(large_mask(seed), 6, 20.0) for seed in range(2)])
    loader = DataLoader(
        Distances(), batch_size=2, num_workers=1, multiprocessing_context="fork", timeout=120
    )
    assert torch.equal(next(iter(loader)), expected)
