import pytest

from lightning_seg.data import ISPRSDataModule, SUNRGBDDataModule


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"bands": "RGB"}, ("red", "green", "blue")),
        (
            {"bands": "RGBIR", "elevation": True},
            ("red", "green", "blue", "infrared", "elevation"),
        ),
        (
            {"area": "vaihingen", "elevation": True},
            ("infrared", "red", "green", "elevation"),
        ),
    ],
)
def test_every_channel_of_isprs_images_has_a_name(settings, names):
    data = ISPRSDataModule(**settings)
    assert data.channel_names == names
    assert len(names) == data.in_channels


@pytest.mark.parametrize("depth", [None, "raw"])
def test_depth_is_the_last_channel_of_indoor_scenes(depth):
    data = SUNRGBDDataModule(depth=depth)
    assert len(data.channel_names) == data.in_channels
    assert (data.channel_names[-1] == "depth") is (depth is not None)
