import os

import numpy as np
import pytest
from PIL import Image

from lightning_seg.data.reading.decoded_cache import decoded_image
from lightning_seg.data.reading.image_files import read_image
from lightning_seg.data.reading.pair_reader import ExtraChannel
from lightning_seg.data.reading.tiff import Window
from lightning_seg.errors import InputError


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(np.arange(60 * 50, dtype=np.uint8).reshape(60, 50)).save(path)
    return path


def test_a_decoded_copy_is_made_once_and_holds_the_image(image, tmp_path):
    folder = tmp_path / "decoded"
    first = decoded_image(image, 1, folder)
    np.testing.assert_array_equal(first, read_image(image, 1))
    (copy,) = folder.iterdir()
    before = copy.stat().st_mtime_ns
    second = decoded_image(image, 1, folder)
    assert isinstance(second, np.memmap)
    np.testing.assert_array_equal(second, first)
    assert copy.stat().st_mtime_ns == before


def test_windows_come_from_the_copy(image, tmp_path):
    window = Window(7, 5, 20, 30)
    band = ExtraChannel(decoded_in=tmp_path / "decoded")
    expected = ExtraChannel().read(image)[7:27, 5:35]
    for _ in range(2):
        np.testing.assert_array_equal(band.read(image, window), expected)
    band.read(image)
    assert len(list((tmp_path / "decoded").iterdir())) == 1


def test_a_changed_image_is_decoded_again(image, tmp_path):
    decoded_image(image, 1, tmp_path / "decoded")
    Image.fromarray(np.full((60, 50), 9, np.uint8)).save(image)
    os.utime(image, ns=(1, 1))
    assert (decoded_image(image, 1, tmp_path / "decoded") == 9).all()


@pytest.mark.parametrize("kept", [0, 60, 500])
def test_a_damaged_copy_is_replaced(image, tmp_path, kept):
    folder = tmp_path / "decoded"
    decoded_image(image, 1, folder)
    (copy,) = folder.iterdir()
    copy.write_bytes(copy.read_bytes()[:kept])
    for _ in range(2):
        np.testing.assert_array_equal(decoded_image(image, 1, folder), read_image(image, 1))


def test_a_copy_damaged_between_two_reads_is_found(image, tmp_path):
    folder = tmp_path / "decoded"
    expected = np.array(decoded_image(image, 1, folder))
    (copy,) = folder.iterdir()
    content = copy.read_bytes()
    for place in (3, content.index(b"u1"), 200, len(content) // 2, len(content) - 1):
        np.testing.assert_array_equal(decoded_image(image, 1, folder), expected)
        damaged = bytearray(content)
        damaged[place] ^= ord("u") ^ ord("i")
        copy.write_bytes(damaged)
        again = decoded_image(image, 1, folder)
        assert again.dtype == expected.dtype
        np.testing.assert_array_equal(again, expected)


def test_with_a_read_only_folder_the_image_is_decoded_every_time(image, tmp_path):
    (tmp_path / "file").touch()
    below = tmp_path / "file" / "decoded"
    np.testing.assert_array_equal(decoded_image(image, 1, below), read_image(image, 1))


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.jpg does not exist"):
        decoded_image(tmp_path / "a.jpg", 1, tmp_path / "decoded")
