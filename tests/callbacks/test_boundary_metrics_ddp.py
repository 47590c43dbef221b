import json
import os
import warnings

import pytest
from clean_processes import in_clean_process
from foreign_modules import ReturnsDict, ReturnsNothing, Scenes, loader, trainer
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    SequentialSampler,
    default_collate,
)

from lightning_seg.callbacks import BoundaryMetrics, CaptureForward, PredictionPanels, RunRecord
from lightning_seg.callbacks.metrics.distributed_padding import RealSampleMask
from lightning_seg.data.sampling.evaluation import EvaluationBatches, SampleLists

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]


class Unpadded(ReturnsDict):
    """Evaluates with our own sampler."""

    def val_dataloader(self):
        scenes = SampleLists(Scenes(7, as_dict=True, names=True))
        batches = EvaluationBatches(scenes, 2)
        return DataLoader(scenes, batch_size=None, sampler=batches, collate_fn=default_collate)


class Padded(ReturnsDict):
    """Leaves sampling to Lightning."""

    def val_dataloader(self):
        return loader(7, as_dict=True, names=True)


class Nameless(ReturnsNothing):
    """Module captured from its forward, which Lightning redirects under DDP in fit."""

    def val_dataloader(self):
        return [loader(7), loader(5, seed=1)]


def validated(module, folder, devices, **kwargs):
    strategy = "ddp_fork" if devices > 1 else "auto"
    t = trainer(folder, BoundaryMetrics(), devices=devices, strategy=strategy, **kwargs)
    actual = t.validate(module, verbose=False)
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    return actual, files


@pytest.mark.parametrize("module", [Padded, Unpadded, Nameless])
@in_clean_process
def test_two_processes_equal_one_bit_for_bit(module, tmp_path):
    one = validated(module(), tmp_path / "one", 1)
    two = validated(module(), tmp_path / "two", 2)
    assert one == two
    assert one[1]


@pytest.mark.parametrize(("module", "samples"), [(Padded, 7), (Unpadded, 7), (Nameless, 12)])
@in_clean_process
def test_the_record_counts_each_sample_once(module, samples, tmp_path):
    t = trainer(tmp_path, RunRecord(), devices=2, strategy="ddp_fork")
    t.validate(module(), verbose=False)
    assert json.loads((tmp_path / "val" / "record.json").read_text())["samples"] == samples


@in_clean_process
def test_three_processes_equal_one_where_the_last_sees_only_repeats(tmp_path):
    class Four(ReturnsNothing):
        def val_dataloader(self):
            return loader(4, batch_size=1)

    one = validated(Four(), tmp_path / "one", 1)
    three = validated(Four(), tmp_path / "three", 3)
    assert one == three


@in_clean_process
def test_two_processes_equal_one_while_fitting(tmp_path):
    actual = []
    for devices in (1, 2):
        strategy = "ddp_fork" if devices > 1 else "auto"
        t = trainer(
            tmp_path, BoundaryMetrics(), PredictionPanels(), devices=devices, strategy=strategy,
            num_sanity_val_steps=1,
        )  # fmt: skip
        t.fit(Nameless(), loader(4))
        actual.append({k: v.item() for k, v in t.callback_metrics.items()})
    assert actual[0] == actual[1]
    assert "val/boundary_iou/dataloader_idx_1" in actual[0]


@in_clean_process
def test_a_step_that_lightning_calls_through_forward_is_not_captured(tmp_path):
    class ReturnsPredictions(Nameless):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            return {"preds": self(batch[0]).argmax(1).roll(5)}

    callback = BoundaryMetrics(extractor=CaptureForward())
    t = trainer(tmp_path, callback, devices=2, strategy="ddp_fork")
    t.fit(ReturnsPredictions(), loader(4))
    one, _ = validated(Nameless(), tmp_path, 1)
    assert (
        t.callback_metrics["val/iou/dataloader_idx_0"].item() == one[0]["val/iou/dataloader_idx_0"]
    )


@pytest.mark.parametrize(
    ("sampler", "real"),
    [
        (DistributedSampler(Scenes(5), num_replicas=2, rank=1, shuffle=False), [True, True, False]),
        (UnrepeatedDistributedSampler(Scenes(5), num_replicas=2, rank=1), [True, True]),
    ],
)
def test_known_samplers_give_no_warning(sampler, real):
    data = DataLoader(Scenes(5), batch_size=2, sampler=sampler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        follow = RealSampleMask(data, processes=2, rank=1)
    actual = [follow(size) for size in (2, len(sampler) - 2)]
    assert [flag for flags, _ in actual for flag in flags] == real
    assert actual[0][1] == [1, 3]


def test_unknown_samplers_warn_with_the_possible_error():
    scenes = Scenes(7)

    class Custom(DistributedSampler):
        def __iter__(self):
            return iter(range(self.num_samples))

    custom = Custom(scenes, num_replicas=2, rank=0)
    for sampler, how_far in (
        (custom, r"draws 8 samples from 7: means over images may be off by up to 0\.125"),
        (
            SequentialSampler(scenes),
            r"14 samples from 7: means over images may be off by up to 0\.5",
        ),
        (SequentialSampler(range(3)), "draws 6 samples from 7; how many of them are repeats"),
    ):
        data = DataLoader(scenes, batch_size=2, sampler=sampler)
        message = f"count samples twice: .*sampler {type(sampler).__name__} .*{how_far}"
        with pytest.warns(UserWarning, match=message):
            RealSampleMask(data, processes=2, rank=0)


def test_an_iterable_dataset_without_a_length_warns_of_unbounded_repeats():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(Scenes(3))

    with pytest.warns(UserWarning, match=r"count samples twice.*has no bound"):
        RealSampleMask(DataLoader(Stream(), batch_size=2), processes=2, rank=0)


@in_clean_process
def test_metrics_json_counts_each_sample_once(tmp_path):
    _, files = validated(Padded(), tmp_path, 2)
    assert json.loads(files["val/metrics.json"])["samples"] == 7
    names = [line.split(",")[0] for line in files["val/per_image.csv"].decode().splitlines()[1:]]
    assert names == [f"scene/{i}" for i in range(7)]
