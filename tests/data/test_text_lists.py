import codecs

import pytest

from lightning_seg import testing
from lightning_seg.data import (
    CelebAMaskHQDataModule,
    FolderDataModule,
    HELENDataModule,
    SUNRGBDDataModule,
    VOCDataModule,
)
from lightning_seg.data.reading.text_lists import plain_name, read_lines
from lightning_seg.errors import InputError

LINES = "Müller_1\n日本\n"

# Each dataset with a list: how a tiny copy is written, the list, and a line of it.
LISTS = {
    VOCDataModule: (testing.write_voc, "ImageSets/Segmentation/train.txt", "{}"),
    HELENDataModule: (testing.write_helen, "exemplars.txt", "7 , {}"),
    SUNRGBDDataModule: (testing.write_sunrgbd, "sunrgbd_training_images.txt", "{}"),
}


@pytest.mark.parametrize(
    "content",
    [
        LINES.encode(),
        LINES.replace("\n", "\r\n").encode("utf-8-sig"),
        LINES.replace("\n", "\r").encode(),
        LINES.encode("utf-16"),
        codecs.BOM_UTF16_BE + LINES.replace("\n", "\r\n").encode("utf-16-be"),
    ],
)
def test_lists_of_any_editor_are_read(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    assert read_lines(tmp_path / "a.txt", "") == ["Müller_1", "日本", ""]


@pytest.mark.parametrize(
    ("content", "line", "byte"),
    [
        ("a\nb\nMüller".encode("latin-1"), 3, "FC"),
        (b"a\nb\0c\n", 2, "00"),
        ("a\nb".encode("utf-16-le"), 1, "00"),
        (codecs.BOM_UTF16_LE + "a\nb".encode("utf-16-le") + b"\x00\xd8", 2, "00"),
    ],
)
def test_a_byte_that_is_no_text_is_named_with_its_line(tmp_path, content, line, byte):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.txt, line {line}, holds the byte 0x{byte}"):
        read_lines(tmp_path / "a.txt", "")


def test_a_folder_is_no_list(tmp_path):
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_lines(tmp_path, "")
    with pytest.raises(InputError, match="does not exist"):
        read_lines(tmp_path / "a.txt", "Get it.")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..\\x", "/etc/passwd", "C:\\x"])
def test_names_stay_inside_the_data_folder(name):
    with pytest.raises(InputError, match=r"list names '.*', which is outside the data folder"):
        plain_name(name, "list")


def test_a_name_of_pages_is_not_repeated():
    with pytest.raises(InputError, match="too long for a file") as caught:
        plain_name("a" * 5000, "list")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("module", LISTS)
@pytest.mark.parametrize(
    ("name", "message"), [("../../x", "outside the data folder"), ("a" * 300, "too long")]
)
def test_lists_of_every_dataset_name_files_inside_it(tmp_path, module, name, message):
    write, file, line = LISTS[module]
    write(tmp_path)
    with (tmp_path / file).open("a") as opened:
        opened.write(line.format(name) + "\n")
    with pytest.raises(InputError, match=rf"{file}.*{message}"):
        module(tmp_path).pairs("train")


@pytest.mark.parametrize("module", [*LISTS, CelebAMaskHQDataModule, FolderDataModule])
def test_lists_of_every_dataset_may_be_utf_16_and_are_named_if_they_are_no_text(tmp_path, module):
    if module is FolderDataModule:
        testing.write_folder(tmp_path)
        file, folders = "a.txt", {"images": "train/images", "masks": "train/masks"}
        (tmp_path / file).write_text("town/a.png\n")
        data = FolderDataModule(tmp_path, num_classes=3, train_list=file, **folders)
    elif module is CelebAMaskHQDataModule:
        testing.write_celebamask_hq(tmp_path)
        data, file = module(tmp_path), "CelebA-HQ-to-CelebA-mapping.txt"
    else:
        write, file, _ = LISTS[module]
        write(tmp_path)
        data = module(tmp_path)
    expected = data.pairs("train")
    text = (tmp_path / file).read_text()
    (tmp_path / file).write_text(text, encoding="utf-16")
    assert data.pairs("train") == expected
    (tmp_path / file).write_text(text + "é", encoding="latin-1")
    with pytest.raises(InputError, match=rf"{file}, line \d+, holds the byte 0xE9"):
        data.pairs("train")
