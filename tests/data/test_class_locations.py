import tracemalloc
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from lightning_seg.data.reading.labels import IdLabels
from lightning_seg.data.reading.pair_reader import PairReader
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.sampling.class_locations import ClassLocations, cached_locations

PIXELS = np.array([[0, 7, 0], [3, 0, 0], [0, 0, 0], [9, 1, 0], [0, 0, 0]])
BLOCKS = np.array([(number, 64 * number, 0, 64, 32) for number in range(len(PIXELS))])


def draws(seed, number):
    random = np.random.default_rng(seed)
    locations = ClassLocations(BLOCKS, PIXELS)
    return [locations.draw(random) for _ in range(number)]


def test_classes_and_the_pixels_of_each_are_equally_likely():
    actual = Counter((place, label) for place, _, label in draws(0, 4000))
    shares = {key: count / 4000 for key, count in actual.items()}
    expected = {(0, 1): 7 / 16, (3, 1): 1 / 16, (1, 0): 3 / 24, (3, 0): 9 / 24}
    assert shares == pytest.approx(expected, abs=0.03)


def test_a_block_comes_with_its_window():
    assert all(window == (64 * place, 0, 64, 32) for place, window, _ in draws(0, 20))


def test_a_seed_gives_the_same_draws():
    assert draws(1, 20) == draws(1, 20) != draws(2, 20)


def test_a_draw_does_not_scan_all_blocks():
    locations = ClassLocations(np.tile(BLOCKS, (20_000, 1)), np.tile(PIXELS, (20_000, 1)))
    random = np.random.default_rng(0)
    tracemalloc.start()
    try:
        locations.draw(random)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000  # bytes, one for each block


def written(folder, pixels):
    Image.fromarray(pixels).save(folder / "a.png")
    return [Pair("a", folder / "a.png", folder / "a.png")]


def test_locations_are_cached_until_labels_change(tmp_path, monkeypatch):
    reader = PairReader(IdLabels((0, 1)))
    mask = np.zeros((70, 90), np.uint8)
    pairs = written(tmp_path, mask)
    first = cached_locations(pairs, reader, 0, tmp_path)
    (file,) = (tmp_path / ".lightning_seg").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(PairReader, "mask", None)  # would fail
        again = cached_locations(pairs, reader, 0, tmp_path)
    assert np.array_equal(again.blocks, first.blocks)
    assert np.array_equal(again.pixels, first.pixels)
    content = file.read_bytes()
    for place in range(0, len(content), 7):
        file.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        cached_locations(pairs, reader, 0, tmp_path)  # which raises nothing
    file.write_bytes(content[:100])
    assert np.array_equal(cached_locations(pairs, reader, 0, tmp_path).pixels, first.pixels)
    mask[0] = 1
    pairs = written(tmp_path, mask)
    assert cached_locations(pairs, reader, 0, tmp_path).pixels.sum(axis=0).tolist() == [69 * 90, 90]
    halved = PairReader(IdLabels((0, 1)), downscale=2)
    assert cached_locations(pairs, halved, 0, tmp_path).pixels.sum() == 35 * 45
