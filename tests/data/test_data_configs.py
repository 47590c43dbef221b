from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from lightning_seg.data import SegmentationDataModule

CONFIGS = Path(__file__).parents[2] / "configs" / "data"
CLASSES = {
    "camvid": 11,
    "camvid_original": 11,
    "camvid_quarter": 11,
    "celebamask_hq": 19,
    "celebamask_hq_binary": 2,
    "cityscapes": 19,
    "cityscapes_321": 19,
    "cityscapes_512": 19,
    "cityscapes_half": 19,
    "cityscapes_256x512": 19,
    "cityscapes_560": 19,
    "dfc2015": 8,
    "folder": 2,
    "helen": 11,
    "inria": 2,
    "potsdam": 6,
    "potsdam_elevation": 6,
    "sunrgbd": 37,
    "synthetic": 6,
    "vaihingen": 6,
    "voc": 21,
    "voc_513": 21,
    "voc_473": 21,
    "voc_465": 21,
    "voc_256": 21,
}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_config_gives_its_dataset(path):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(SegmentationDataModule, "data")
    data = parser.instantiate(parser.parse_args([f"--data={path}"])).data
    assert len(data.class_names) == data.num_classes
    # A new configuration needs no entry: its dataset is tested in test_every_dataset.
    assert data.num_classes == CLASSES.get(path.stem, data.num_classes)


def test_listed_configs_exist():
    assert set(CLASSES) <= {path.stem for path in CONFIGS.glob("*.yaml")}
