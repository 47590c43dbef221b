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


def test_every_config_is_tested():
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(CLASSES)


@pytest.mark.parametrize(("name", "num_classes"), CLASSES.items())
def test_each_config_gives_its_dataset(name, num_classes):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(SegmentationDataModule, "data")
    config = parser.parse_args([f"--data={CONFIGS / name}.yaml"])
    assert parser.instantiate(config).data.num_classes == num_classes
