from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from lightning_seg.data import SegmentationDataModule

CONFIGS = Path(__file__).parents[2] / "configs" / "data"
CLASSES = {
    "camvid": 11,
    "camvid_quarter": 11,
    "folder": 2,
    "potsdam": 6,
    "synthetic": 6,
    "vaihingen": 6,
}


def test_every_config_is_tested():
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(CLASSES)


@pytest.mark.parametrize(("name", "num_classes"), CLASSES.items())
def test_each_config_gives_its_dataset(name, num_classes):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(SegmentationDataModule, "data")
    config = parser.parse_args([f"--data={CONFIGS / name}.yaml"])
    assert parser.instantiate(config).data.num_classes == num_classes
