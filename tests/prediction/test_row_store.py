import numpy as np
import pytest

from lightning_seg.errors import InputError
from lightning_seg.prediction.row_store import Rows, RowStore, remove_empty

KEY = "0123456789abcdef" * 4
LABELS = np.random.default_rng(0).integers(0, 9, (10, 7), np.uint8)
MAPS = np.random.default_rng(0).random((3, 10, 7)).astype(np.float16)


def store(folder, stem="a", key=KEY):
    return RowStore(folder, stem, key, len(LABELS))


def save(store, first, last, maps=True):
    part = slice(first, last)
    store.save([Rows(first, LABELS[part], {"probabilities": MAPS[:, part]} if maps else {})])


def read(store):
    parts = list(store.rows())
    labels = np.concatenate([part.labels for part in parts])
    maps = np.concatenate([part.maps["probabilities"] for part in parts], axis=1)
    return labels, maps


def test_missing_rows_are_listed(tmp_path):
    rows = store(tmp_path)
    assert rows.missing() == [(0, 10)]
    save(rows, 2, 4)
    save(rows, 4, 5)
    assert rows.missing() == [(0, 2), (5, 10)]
    save(rows, 5, 10)
    assert not rows.take()
    assert rows.missing() == [(0, 2)]


def test_only_one_process_takes_a_complete_image(tmp_path):
    save(store(tmp_path), 0, 6)
    save(store(tmp_path), 6, 10)
    assert [store(tmp_path).take(), store(tmp_path).take()] == [True, False]


@pytest.mark.parametrize("spans", [[(0, 10)], [(5, 10), (0, 3), (3, 5)], [(0, 6), (2, 5), (4, 10)]])
def test_rows_are_returned_once_from_the_top(tmp_path, spans):
    for span in spans:
        save(store(tmp_path), *span)
    rows = store(tmp_path)
    assert rows.take()
    labels, maps = read(rows)
    assert np.array_equal(labels, LABELS)
    assert np.array_equal(maps, MAPS)
    assert maps.dtype == np.float16
    rows.remove()
    remove_empty(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_rows_without_maps_hold_labels_only(tmp_path):
    rows = store(tmp_path)
    save(rows, 0, 10, maps=False)
    assert rows.take()
    assert [part.maps for part in rows.rows()] == [{}]


def test_an_image_taken_by_a_killed_process_is_recovered(tmp_path):
    save(store(tmp_path), 0, 10)
    assert store(tmp_path).take()
    rows = store(tmp_path)
    rows.prepare()
    assert rows.missing() == []
    assert rows.forget_last() == [(0, 10)]


def test_the_lowest_rows_are_forgotten_until_some_are_missing(tmp_path):
    for span in ((0, 6), (4, 10), (5, 8)):
        save(store(tmp_path), *span)
    assert store(tmp_path).forget_last() == [(6, 10)]


def test_a_damaged_file_is_named_and_only_its_rows_are_missing(tmp_path):
    save(store(tmp_path), 0, 4)
    save(store(tmp_path), 4, 10)
    (path,) = tmp_path.glob(".rows/*/4-10.npz")
    path.write_bytes(path.read_bytes()[:100])
    rows = store(tmp_path)
    assert rows.take()
    with pytest.raises(InputError, match=r"4-10\.npz is damaged .* Delete it"):
        list(rows.rows())
    rows.prepare()
    path.unlink()
    assert rows.missing() == [(4, 10)]


def test_rows_of_another_key_are_dropped_and_other_images_are_kept(tmp_path):
    for other in (store(tmp_path, key="f" * 64), store(tmp_path, "a-b"), store(tmp_path, "b")):
        save(other, 0, 5)
    rows = store(tmp_path)
    rows.prepare()
    names = {path.name.rsplit("-", 1)[0] for path in (tmp_path / ".rows").iterdir()}
    assert names == {"a-b", "b"}
    assert rows.missing() == [(0, 10)]
