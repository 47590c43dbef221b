from functools import partial

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lightning_seg.data import FolderDataModule, ISPRSDataModule
from lightning_seg.data.reading.image_files import read_image
from lightning_seg.data.reading.labels import IdLabels
from lightning_seg.data.reading.pair_reader import ExtraChannel, PairReader
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.errors import InputError
from lightning_seg.inference import SlidingWindow, Stitching, whole_image
from lightning_seg.prediction import RasterDataModule
from lightning_seg.prediction.raster_windows import RasterWindows
from lightning_seg.prediction.row_reader import RowReader
from lightning_seg.prediction.row_spans import Raster, RowSpan, share_out

READER = PairReader(IdLabels((0, 1)))


def whole(pair, height, width, layout):
    """Return all rows of an image."""
    return RowSpan(Raster(pair, height, width, layout), 0, height)


def stitched(span, reader=READER, function=lambda image: image):
    """Return the rows of an image, stitched from its windows as they arrive."""
    layout, rows = span.raster.layout, []
    dataset = RasterWindows([span], reader)
    stitching = Stitching(layout, layout.weight(), first_batch=span.batches.start)
    for sample in map(dataset.__getitem__, range(len(dataset))):
        stitching.add({"image": function(sample["image"])}, sample["corners"])
        first, taken = stitching.take(layout.finished_after(sample["batch"]))
        rows += [first + i for i in range(taken["image"].shape[1])], taken["image"]
    numbers = [number for part in rows[::2] for number in part]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    first, last = (row - numbers[0] for row in span.input_rows)
    return torch.cat(rows[1::2], dim=1)[:, first:last]


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 40),
    window=st.tuples(st.integers(4, 24), st.integers(4, 24)),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.9]),
    batch_size=st.integers(1, 7),
    padding=st.sampled_from([0, 3, 30]),
    weighting=st.sampled_from(["uniform", "gaussian"]),
    tiled=st.booleans(),
)
def test_an_identity_network_returns_the_file_bit_for_bit(
    tmp_path_factory, height, width, window, overlap, batch_size, padding, weighting, tiled
):
    path = tmp_path_factory.mktemp("raster") / "a.tif"
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    storage = {"tile": (16, 32), "compression": "zlib"} if tiled else {"rowsperstrip": 7}
    tifffile.imwrite(path, pixels, photometric="rgb", **storage)
    sliding = SlidingWindow(window, overlap, batch_size, padding, weighting)
    span = whole(Pair("a", path), height, width, sliding.layout(height, width))
    result = stitched(span)
    image = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    assert torch.equal(result, image)
    assert torch.equal(result, sliding(lambda x: {"x": x}, image[None])["x"][0])


@pytest.mark.parametrize("rowsperstrip", [1, 3, 5, 64])
def test_downscaled_images_are_downscaled_while_being_read(tmp_path, rowsperstrip):
    pixels = np.random.default_rng(0).integers(0, 256, (151, 93, 3), np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", compression="zlib",
        rowsperstrip=rowsperstrip,
    )  # fmt: skip
    reader = PairReader(IdLabels((0, 1)), downscale=2)
    pair = Pair("a", tmp_path / "a.tif")
    sliding = SlidingWindow((20, 16), 0.5, 3, 5)
    layout = sliding.layout(*reader.size(pair))
    result = stitched(whole(pair, 151, 93, layout), reader)
    shrunk = torch.from_numpy(reader.image(pair)).permute(2, 0, 1).float() / 255
    assert shrunk.shape == (3, 75, 46)
    assert torch.equal(result, shrunk)


def test_an_image_that_downscales_to_nothing_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "thin.tif", np.zeros((1, 9, 3), np.uint8), photometric="rgb")
    tiles = ISPRSDataModule("nowhere", field_of_view=4, predict_root=tmp_path)
    with pytest.raises(InputError, match=r"thin.tif is 9 x 1 pixels, and nothing is left"):
        RasterDataModule(tiles, SlidingWindow((16, 16)).layout).setup("predict")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("weighting", ["uniform", "gaussian"])
def test_windows_are_averaged_bit_for_bit_as_in_memory(tmp_path, suffix, weighting):
    pixels = np.random.default_rng(1).integers(0, 256, (90, 70, 3), np.uint8)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels).save(path)
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 5, 3, padding=1)
    sliding = SlidingWindow((32, 24), 0.75, 4, 9, weighting)
    span = whole(Pair("a", path), 90, 70, sliding.layout(90, 70))
    with torch.inference_mode():
        result = stitched(span, function=lambda x: network(x).softmax(1))
        image = torch.from_numpy(pixels).permute(2, 0, 1).float()[None] / 255
        in_memory = sliding(lambda x: {"p": network(x).softmax(1)}, image)["p"][0]
        assert torch.equal(result, in_memory)
        for first, last in ((0, 13), (13, 14), (40, 90)):
            part = RowSpan(span.raster, first, last)
            rows = stitched(part, function=lambda x: network(x).softmax(1))
            assert torch.equal(rows, in_memory[:, first:last])


def test_only_rows_of_open_windows_are_kept():
    layout = SlidingWindow((16, 16), 0.75, 3).layout(4000, 16)
    assert layout.open_rows == 16 + 2 * 4
    wide = SlidingWindow((16, 16), 0.75, 3).layout(4000, 400)
    assert wide.open_rows == 16 + 4


def test_rows_of_a_raster_are_read_once(tmp_path):
    pixels = np.arange(300 * 8 * 3, dtype=np.uint32).reshape(300, 8, 3).astype(np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(16, 16), compression="zlib")
    read = []

    def noted(window):
        read.extend(range(window.row, window.row + window.height))
        return read_image(path, 3, window)

    band = RowReader(path, noted)
    for first in range(0, 280, 5):
        assert np.array_equal(band.read(first, first + 20), pixels[first : first + 20])
    assert read == list(range(300))


def test_a_row_reader_can_go_back(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (200, 6, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    band = RowReader(tmp_path / "a.tif", partial(read_image, tmp_path / "a.tif", 3))
    for first, last in ((150, 190), (0, 10), (195, 200), (3, 4)):
        assert np.array_equal(band.read(first, last), pixels[first:last])


def spans_of(heights):
    sliding = SlidingWindow((8, 8), 0.5, 3)
    return [
        whole(Pair(str(i), None), height, 40, sliding.layout(height, 40))
        for i, height in enumerate(heights)
    ]


def test_a_single_process_gets_every_image_whole():
    spans = spans_of([100, 8, 8])
    assert share_out(spans, 1) == [tuple(spans)]


@pytest.mark.parametrize("heights", [[], [4], [400], [100, 8, 90, 40, 9, 8, 8]])
def test_rows_are_shared_evenly_and_each_is_read_once(heights):
    shares = share_out(spans_of(heights), 3)
    rows = [
        (span.raster.pair.name, row)
        for share in shares
        for span in share
        for row in range(span.first, span.last)
    ]
    assert sorted(rows) == sorted((str(i), r) for i, h in enumerate(heights) for r in range(h))
    loads = [sum(len(span.batches) for span in share) for share in shares]
    uncut = [len(span.batches) for span in spans_of(heights)]
    if len(heights) == 7 or heights == [400]:
        assert max(loads) < 1.3 * sum(uncut) / 3


def test_images_are_not_split_where_that_saves_no_time():
    sliding = SlidingWindow((512, 512), 0.75)
    spans = [
        whole(Pair(str(width), None), 1000, width, sliding.layout(1000, width))
        for width in (4000, 1500)
    ]
    assert share_out(spans, 2) == [(spans[0],), (spans[1],)]


def test_small_images_stay_whole():
    shares = share_out(spans_of([40, 40, 40, 40]), 2)
    assert [[span.whole for span in share] for share in shares] == [[True, True]] * 2


def source(folder, **kwargs):
    return FolderDataModule(folder, num_classes=2, predict_root=folder, num_workers=0, **kwargs)


def test_an_image_too_large_for_the_network_suggests_windows(tmp_path):
    tifffile.imwrite(tmp_path / "large.tif", shape=(9000, 9000), dtype=np.uint8)
    data = RasterDataModule(source(tmp_path), whole_image)
    with pytest.raises(InputError, match=r"large.tif is 9000 x 9000 pixels.*aerial_windows"):
        data.setup("predict")
    RasterDataModule(source(tmp_path), SlidingWindow((512, 512)).layout).setup("predict")


def test_each_worker_reads_every_other_batch(tmp_path):
    for name in "abc":
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (40, 30, 3), np.uint8)
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, photometric="rgb")
    data = RasterDataModule(source(tmp_path), SlidingWindow((16, 16), batch_size=3).layout)
    data.setup("predict")
    batches = list(data.predict_dataloader())
    assert [b["batch"] for b in batches] == list(range(len(batches) // 3)) * 3
    workers = [RasterWindows(data.spans, READER) for _ in range(2)]
    for index, batch in enumerate(batches):
        assert torch.equal(workers[index % 2][index]["image"], batch["image"])


def test_images_of_another_number_of_channels_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 20, 5), np.uint8), planarconfig="contig")
    data = RasterDataModule(source(tmp_path), SlidingWindow((16, 16)).layout)
    data.setup("predict")
    with pytest.raises(InputError, match=r"a.tif has 5 channel\(s\), but 3 are expected"):
        next(iter(data.predict_dataloader()))


def test_an_extra_channel_is_read_with_its_image(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 4), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels[..., :3], photometric="rgb")
    Image.fromarray(pixels[..., 3]).save(tmp_path / "height.png")
    layout = SlidingWindow((16, 16), 0.5, padding=4).layout(50, 40)
    pair = Pair("a", tmp_path / "a.tif", extra=tmp_path / "height.png")
    reader = PairReader(IdLabels((0, 1)), extra=ExtraChannel())
    samples = RasterWindows([whole(pair, 50, 40, layout)], reader)
    first = samples[0]["image"][0, :, 4:, 4:]
    assert torch.equal(first, torch.from_numpy(pixels[:12, :12]).permute(2, 0, 1).float() / 255)


def test_an_extra_channel_of_another_size_is_refused(tmp_path):
    image = tmp_path / "2_Ortho_RGB" / "top_potsdam_2_10_RGB.tif"
    elevation = tmp_path / "1_DSM_normalisation" / "dsm_potsdam_02_10_normalized_lastools.jpg"
    for path, size in ((image, (40, 30, 3)), (elevation, (20, 30))):
        path.parent.mkdir()
        Image.fromarray(np.zeros(size, np.uint8)).save(path)
    tiles = ISPRSDataModule(tmp_path, elevation=True, train_tiles=[], test_tiles=["2_10"])
    data = RasterDataModule(tiles, SlidingWindow((16, 16)).layout)
    with pytest.raises(InputError, match=r"30 x 40 pixels, but its extra channel .* is 30 x 20"):
        data.setup("predict")


def test_predict_root_replaces_the_images_of_a_dataset(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    for root in (tmp_path, tmp_path / "a.tif"):
        data = RasterDataModule(
            ISPRSDataModule("nowhere", predict_root=root), SlidingWindow((16, 16)).layout
        )
        data.setup("predict")
        assert [(r.pair.name, r.height, r.width) for r in data.rasters] == [("a", 20, 30)]
    with pytest.raises(InputError, match="lack the extra channel"):
        ISPRSDataModule("nowhere", elevation=True, predict_root=tmp_path).setup("predict")
