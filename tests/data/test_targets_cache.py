import os
import random
import signal
import time
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from clean_processes import in_clean_process
from PIL import Image

from lightning_seg.data import FolderDataModule, targets_cache
from lightning_seg.data.reading.labels import IdLabels
from lightning_seg.data.reading.multi_file_labels import PartMasks
from lightning_seg.data.reading.pair_reader import PairReader
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.reading.tiff import Window
from lightning_seg.data.targets_cache import TargetsCache
from lightning_seg.errors import InputError
from lightning_seg.targets import BoundaryDistance, ClassBoundary, PatchDistance, SignedDistance

TARGETS = (SignedDistance(clip=4.0), ClassBoundary())


def make_cache(root):
    """A cache on disk of the labels in a folder, and their pairs."""
    cache = TargetsCache("disk", TARGETS, 3, PairReader(IdLabels((0, 1, 2))), root)
    return cache, [Pair(path.stem, path, path) for path in sorted(root.glob("*.png"))]


def write_label(path, seed, size=(70, 60)):
    mask = np.zeros(size, np.uint8)
    rng = np.random.default_rng(seed)
    for value in (1, 2, 255):
        row, column = rng.integers(5, 50, 2).tolist()
        cv2.circle(mask, (column, row), int(rng.integers(4, 15)), value, -1)
    Image.fromarray(mask).save(path)
    return mask


@pytest.fixture
def filled(tmp_path):
    """A cache on disk of three labels."""
    for seed in range(3):
        write_label(tmp_path / f"{seed}.png", seed)
    cache, pairs = make_cache(tmp_path)
    assert cache.prepare(pairs) == 3
    return cache, pairs


def entries(root):
    return sorted((root / ".lightning_seg" / "targets").glob("*.npy"))


def expected(path, target):
    mask = torch.from_numpy(np.array(Image.open(path)))[None]
    return target(mask, 3)[0]


def assert_right(cache, pair):
    maps = cache.decode(cache.read(pair))
    assert list(maps) == [target.key for target in TARGETS]
    for target in TARGETS:
        low, high = target.bounds
        assert maps[target.key].dtype == torch.float32
        difference = maps[target.key] - expected(pair.label, target)
        assert difference.abs().max() <= (high - low) / 508 + 1e-6


def test_maps_are_those_of_the_targets_within_half_a_step(filled):
    cache, pairs = filled
    for pair in pairs:
        assert_right(cache, pair)
    boundary = cache.decode(cache.read(pairs[0]))[TARGETS[1].key]
    assert torch.equal(boundary, expected(pairs[0].label, TARGETS[1]))


def test_both_ends_and_void_are_exact(filled):
    cache, pairs = filled
    distance = cache.decode(cache.read(pairs[0]))[TARGETS[0].key]
    truth = expected(pairs[0].label, TARGETS[0])
    for value in (-1.0, 0.0, 1.0):
        assert torch.equal(distance == value, truth == value)


def test_a_window_is_part_of_the_whole(filled):
    cache, pairs = filled
    whole = cache.read(pairs[1])
    assert np.array_equal(cache.read(pairs[1], Window(3, 7, 20, 31)), whole[3:23, 7:38])


def test_what_is_there_is_not_computed_again(filled):
    cache, pairs = filled
    times = [path.stat().st_mtime_ns for path in entries(cache.root)]
    again, _ = make_cache(cache.root)
    assert again.prepare(pairs) == 0
    assert [path.stat().st_mtime_ns for path in entries(cache.root)] == times
    assert_right(again, pairs[2])


def test_a_changed_label_is_computed_anew_and_what_is_stale_removed(filled):
    cache, pairs = filled
    before = set(entries(cache.root))
    status = pairs[1].label.stat()
    write_label(pairs[1].label, 9)
    os.utime(pairs[1].label, ns=(status.st_atime_ns, status.st_mtime_ns))
    again, _ = make_cache(cache.root)
    assert again.prepare(pairs) == 1
    assert_right(again, pairs[1])
    after = set(entries(cache.root))
    assert len(after) == len(before) == 6
    assert len(before - after) == 2
    assert len(list(after.pop().parent.iterdir())) == 12


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-500] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def lose_the_note(path):
    path.with_suffix(".json").unlink()


def spoil_the_note(path):
    path.with_suffix(".json").write_text('{"crc32": ')


def swap(path):
    other = next(p for p in path.parent.glob("*.npy") if p != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize(
    "damage", [cut_off, flip_a_bit, empty, lose_the_note, spoil_the_note, swap, Path.unlink]
)
def test_damaged_entries_are_found_and_computed_again(filled, damage):
    cache, pairs = filled
    damage(entries(cache.root)[0])
    again, _ = make_cache(cache.root)
    assert again.prepare(pairs) == 1
    for pair in pairs:
        assert_right(again, pair)


@pytest.mark.parametrize("damage", [cut_off, empty, Path.unlink])
def test_what_vanishes_while_it_is_in_use_is_computed_again(filled, damage):
    cache, pairs = filled
    for path in entries(cache.root):
        damage(path)
    for pair in pairs:
        assert_right(cache, pair)


@pytest.mark.parametrize(
    "other",
    [
        {"targets": (SignedDistance(clip=5.0), ClassBoundary())},
        {"reader": PairReader(IdLabels((0, 2, 1)))},
        {"reader": PairReader(IdLabels((0, 1, 2)), reduction=2)},
        {"num_classes": 4},
    ],
)
def test_the_way_labels_are_read_is_part_of_the_key(filled, other):
    cache, pairs = filled
    assert replace(cache, _files={}, **other).prepare(pairs) == 3
    assert make_cache(cache.root)[0].prepare(pairs) == 0


def test_the_version_of_the_code_is_part_of_the_key(filled, monkeypatch):
    cache, pairs = filled
    monkeypatch.setattr(targets_cache, "_CODE_VERSION", -1)
    assert make_cache(cache.root)[0].prepare(pairs) == 3


def test_codes_are_those_of_this_version(tmp_path):
    write_label(tmp_path / "0.png", 0)
    cache, pairs = make_cache(tmp_path)
    cache.prepare(pairs)
    assert zlib.crc32(cache.read(pairs[0]).tobytes()) == 1725786263, (
        "The same label and target give other codes: raise _CODE_VERSION, and then set this number."
    )


def test_the_names_of_label_files_are_part_of_the_key(tmp_path):
    mask = np.zeros((20, 20, 3), np.uint8)
    mask[5:10, 5:10] = 255
    Image.fromarray(mask).save(tmp_path / "00007_skin.png")
    pairs = [Pair("7", tmp_path / "00007.jpg", tmp_path / "00007")]
    reader = PairReader(PartMasks((("skin", 1), ("nose", 2))))
    cache = TargetsCache("disk", TARGETS, 3, reader, tmp_path)
    assert cache.prepare(pairs) == 1
    (tmp_path / "00007_skin.png").rename(tmp_path / "00007_nose.png")
    assert cache.prepare(pairs) == 1
    boundary = cache.decode(cache.read(pairs[0]))[TARGETS[0].key]
    assert (boundary[2] > 0).any()


@dataclass(frozen=True)
class Foreground:
    """A target of one channel."""

    key: str = "Foreground"
    bounds: tuple[float, float] = (0.0, 1.0)

    def __call__(self, mask, num_classes):
        return (mask == 1).float()[:, None]


@pytest.mark.parametrize("kind", ["memory", "disk"])
@pytest.mark.parametrize("again", [False, True])
def test_targets_may_differ_in_their_channels(filled, kind, again):
    cache, pairs = filled
    targets = (Foreground(), TARGETS[0], Foreground("Another"))
    cache = TargetsCache(kind, targets, 3, cache.reader, cache.root)
    cache.prepare(pairs)
    if again:
        cache = replace(cache, _kept={}, _files={}, _channels=[])
        cache.prepare(pairs)
    maps = cache.decode(cache.read(pairs[0]))
    assert [len(one) for one in maps.values()] == [1, 3, 1]
    assert torch.equal(maps["Foreground"], expected(pairs[0].label, targets[0]))


def test_the_folder_is_searched_for_what_is_stale_once(filled, monkeypatch):
    cache, pairs = filled
    for seed, pair in enumerate(pairs):
        write_label(pair.label, 10 + seed)
    searched = []
    iterdir = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: searched.append(path) or iterdir(path))
    assert cache.prepare(pairs) == 3
    assert searched == [cache.folder]
    assert len(entries(cache.root)) == 6


def test_each_process_begins_with_other_images(filled, monkeypatch):
    cache, pairs = filled
    shown = {}
    for number in range(3):
        monkeypatch.setattr(targets_cache, "rank", lambda number=number: number)
        monkeypatch.setattr(targets_cache, "world_size", lambda: 3)
        for path in cache.folder.iterdir():
            path.unlink()
        shown[number] = []

        def progress(pairs, about, number=number):
            shown[number].append((about, [pair.name for pair in pairs]))
            return pairs

        make_cache(cache.root)[0].prepare(pairs, progress)
    everything = ["0", "1", "2"]
    for number, loops in shown.items():
        computed = everything[number:] + everything[:number]
        assert loops == [
            ("Looking at cached targets", everything),
            ("Computing targets", computed),
        ]


def test_a_tile_of_potsdam_takes_220_megabytes_at_most(filled):
    cache, _ = filled
    path = entries(cache.root)[0]
    pixels = 70 * 60
    assert (path.stat().st_size - 128) * (6000 * 6000 / pixels) * (6 / 3) <= 220e6


def test_where_nothing_can_be_written_it_says_so(tmp_path):
    write_label(tmp_path / "0.png", 0)
    (tmp_path / ".lightning_seg").write_text("a file in the folder's place")
    cache, pairs = make_cache(tmp_path)
    with pytest.raises(InputError, match=r"targets_cache: .*targets cannot be written to"):
        cache.prepare(pairs)


def write_dataset(root, count=4):
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for seed in range(count):
        mask = write_label(root / "masks" / f"{seed}.png", seed)
        image = np.repeat(mask[..., None], 3, axis=2) * 50
        Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"{seed}.png")


def make_data(root, kind, **kwargs):
    data = FolderDataModule(
        root, num_classes=3, fractions=(0.5, 0.25, 0.25), num_workers=0, targets_cache=kind,
        **{"batch_size": 2} | kwargs,
    )  # fmt: skip
    data.cached_targets = TARGETS
    return data


@pytest.mark.parametrize("kind", ["memory", "disk"])
@pytest.mark.parametrize("crop_size", [None, 32, 90])
def test_batches_bring_targets_that_went_the_way_of_the_mask(tmp_path, kind, crop_size):
    write_dataset(tmp_path)
    moved = [A.D4(p=1), A.RandomGamma(p=1)]
    size = 1 if crop_size is None else 2  # D4 lays whole images on their side
    data = make_data(
        tmp_path,
        kind,
        crop_size=crop_size,
        train_transforms=moved,
        batch_size=size,
        samples_per_epoch=6,
    )
    data.setup("fit")
    torch.manual_seed(0)
    for batch in (*data.train_dataloader(), *data.train_dataloader(), *data.val_dataloader()):
        distance = batch["targets"][TARGETS[0].key]
        mask = batch["mask"]
        assert distance.shape == (len(mask), 3, *mask.shape[1:])
        labels = torch.arange(3).view(1, 3, 1, 1)
        valid = (mask != 255).unsqueeze(1).expand_as(distance)
        assert torch.equal((distance > 0)[valid], (mask.unsqueeze(1) == labels)[valid])
        assert (distance[~valid] == 0).all()
    whole = next(iter(data.val_dataloader()))
    truth = TARGETS[0](whole["mask"], 3)
    assert (whole["targets"][TARGETS[0].key] - truth).abs().max() <= 1 / 254 + 1e-6


@pytest.mark.parametrize(
    "transform",
    [
        A.PadIfNeeded(90, 90, fill_mask=255),
        A.RandomCrop(20, 24),
        A.RandomRotate90(p=1),
        A.Transpose(p=1),
        A.OneOf([A.HorizontalFlip(p=1), A.VerticalFlip(p=1)], p=1),
    ],
)
def test_moves_by_whole_pixels_are_allowed(tmp_path, transform):
    write_dataset(tmp_path)
    data = make_data(tmp_path, "memory", train_transforms=[transform])
    data.setup("fit")
    sample = data.datasets["train"][0]
    distance, mask = sample["targets"][TARGETS[0].key], sample["mask"]
    assert distance.shape[1:] == mask.shape
    valid = mask != 255
    assert torch.equal(distance.argmax(0)[valid], mask[valid])
    assert (distance[:, ~valid] == 0).all()


@pytest.mark.parametrize(
    "transform",
    [
        A.RandomScale(),
        A.Rotate(fill_mask=255),
        A.Affine(fill_mask=255),
        A.RandomResizedCrop((32, 32)),
        A.ElasticTransform(fill_mask=255),
        A.SomeOf([A.HorizontalFlip(), A.Resize(32, 32)], 1),
        A.Lambda(image=np.roll, mask=np.roll),
    ],
)
@pytest.mark.parametrize("setting", ["train_transforms", "eval_transforms"])
def test_transforms_that_change_distances_are_refused(tmp_path, transform, setting):
    write_dataset(tmp_path)
    data = make_data(tmp_path, "disk", **{setting: [transform]})
    with pytest.raises(InputError, match=f"would change the distances.*out of {setting}"):
        data.setup("fit")
    assert not (tmp_path / ".lightning_seg").exists() or setting == "eval_transforms"


@pytest.mark.parametrize("target", [PatchDistance(), BoundaryDistance()])
def test_targets_without_fixed_bounds_are_refused(tmp_path, target):
    write_dataset(tmp_path)
    data = make_data(tmp_path, "disk")
    data.cached_targets = [target]
    with pytest.raises(InputError, match=r"targets_cache: .*cannot be kept.*to none"):
        data.setup("fit")


def test_test_samples_bring_no_targets(tmp_path):
    write_dataset(tmp_path)
    data = make_data(tmp_path, "memory")
    data.setup("test")
    assert "targets" not in next(iter(data.test_dataloader()))


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(InputError, match="targets_cache is 'ram'"):
        make_data(tmp_path, "ram")


def started(root, turn):
    """Another process that fills the cache, beginning with another label."""
    if process := os.fork():
        return process
    status = 1
    try:
        cache, pairs = make_cache(root)
        cache.prepare(pairs[turn:] + pairs[:turn])
        for pair in pairs:
            cache.read(pair)
        status = 0
    finally:
        os._exit(status)


@pytest.mark.parametrize("rounds", [1, pytest.param(40, marks=pytest.mark.slow)])
@in_clean_process
def test_eight_processes_killed_at_random_leave_no_wrong_entry(tmp_path, rounds):
    chance = random.Random(0)
    for seed in range(12):
        write_label(tmp_path / f"{seed:02d}.png", seed)
    cv2.setNumThreads(1)  # no pool of threads that a fork would lack
    for target in TARGETS:  # what their first call imports, is imported once
        expected(tmp_path / "00.png", target)
    for _ in range(rounds):
        processes = [started(tmp_path, turn) for turn in range(8)]
        for process in processes[1:]:
            time.sleep(chance.uniform(0, 0.03))
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        assert os.waitpid(processes[0], 0)[1] == 0, "the one that was not killed"
        cache, pairs = make_cache(tmp_path)
        assert cache.prepare(pairs) == 0
        for pair in pairs:
            assert_right(cache, pair)
        for path in chance.sample(sorted(cache.folder.glob("[!.]*")), 10):
            path.unlink()


def test_a_pair_without_a_file_name_of_its_own_has_its_own_entries(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        write_label(tmp_path / split / "a.png", seed=len(split))
    cache, _ = make_cache(tmp_path)
    pairs = [Pair("a", path, path) for path in sorted(tmp_path.glob("*/a.png"))]
    cache.prepare(pairs)
    for pair in pairs:
        assert_right(cache, pair)
