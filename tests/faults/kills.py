"""Kills trainings at random times, resumes them, and compares them with uninterrupted ones.

    python tests/faults/kills.py [--kills 30] [--seed 0]

Every way of training is run once without interruption. Then it is started with
``--ckpt_path auto`` again and again until it ends by itself; each of the first starts is ended at a
random time, by SIGKILL or by SIGTERM. Weights, states of the optimiser and of the schedule, random
states and the record of the epochs must be equal to the bit.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

CONFIG = """\
seed_everything: 1
data:
  class_path: FolderDataModule
  init_args: {root: data, num_classes: 3, fractions: [0.5, 0.25, 0.25], crop_size: 32,
    samples_per_epoch: 8, batch_size: 2, num_workers: 0,
    train_transforms: [{class_path: albumentations.HorizontalFlip}]}
model:
  class_path: SegmentationTask
  init_args:
    network: {class_path: Unet, init_args: {encoder: test_resnet, decoder_channels: [16, 8]}}
    head: {class_path: SignedDistanceHead, init_args: {clip: 8.0}}
    losses:
      cross_entropy: {loss: {class_path: CrossEntropyLoss}}
      distance: {prediction: distance, loss: {class_path: MapL1Loss}}
    optimization:
      optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.001}}
trainer: {accelerator: cpu, devices: 1, max_epochs: 6, enable_progress_bar: false,
  enable_model_summary: false, log_every_n_steps: 1}
panels: null
"""
TWO = ("--trainer.devices", "2", "--trainer.strategy", "ddp_fork")
BALANCED = (
    *("--data.class_balanced", "true"),
    *("--model.losses.cross_entropy.loss.class_weights", "inverse_frequency"),
)
AVERAGED = (
    "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging",
    *("--trainer.callbacks.decay", "0.9"),
)
PLATEAU = (
    *("--model.optimization.epoch_schedule", "torch.optim.lr_scheduler.ReduceLROnPlateau"),
    *("--model.optimization.epoch_schedule.patience", "0"),
    *("--model.optimization.epoch_schedule.threshold", "1.0"),
)
WAYS = {
    "one process": (),
    "two workers": ("--data.num_workers", "2"),
    "plateaus": PLATEAU,
    "class balancing and averaged weights": (*BALANCED, *AVERAGED),
    "two processes": TWO,
    "two processes with workers, plateaus": (*TWO, "--data.num_workers", "1", *PLATEAU),
}
LIMIT = 600  # seconds

_clean = get_context("forkserver")
_clean.set_forkserver_preload(["lightning_seg.cli", "lightning_seg.cli.segmentation_cli"])


def fit(run: str, options: Sequence[str], log: str = os.devnull) -> None:
    """Train in this process, the leader of a group of its own."""
    os.setsid()
    with open(log, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import multiprocessing

    import torch

    multiprocessing.set_start_method("fork", force=True)
    torch.set_num_threads(1)
    from lightning_seg.cli import main

    sys.argv = ["lightning-seg", "fit", "--config", "config.yaml", "--run_dir", run, *options]
    main()


def start(run: str, options: Sequence[str]) -> BaseProcess:
    process = _clean.Process(target=fit, args=(run, tuple(options), f"{run}.log"))
    process.start()
    return process


def end(process: BaseProcess, number: int) -> None:
    """End a process and, as the end of a job does, its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid or 0, number)
    process.join(LIMIT)
    with suppress(ProcessLookupError):
        os.killpg(process.pid or 0, signal.SIGKILL)


def outcome(run: str) -> list[Any]:
    """What the training has learnt and recorded, but for times."""
    import torch

    checkpoint = torch.load(Path(run, "checkpoints/last.ckpt"), weights_only=False)
    keys = ("state_dict", "optimizer_states", "lr_schedulers", "random_states", "global_step")
    epochs = [json.loads(line) for line in Path(run, "epochs.jsonl").read_text().splitlines()]
    timed = ("seconds", "validation_seconds")
    return [
        *(_plain(checkpoint[key]) for key in keys),
        [{key: value for key, value in epoch.items() if key not in timed} for epoch in epochs],
        Path(run, "epochs_per_class.csv").read_text(),
    ]


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def kill_and_resume(
    options: Sequence[str], kills: int, chance: random.Random
) -> tuple[list[str], bool]:
    """Return the signals that were sent, and whether the run ended like an uninterrupted one.

    The working directory has the configuration and the data.
    """
    begun = time.monotonic()
    whole = start("whole", options)
    whole.join(LIMIT)
    duration = time.monotonic() - begun
    if whole.exitcode != 0:
        raise RuntimeError(f"fit ended with {whole.exitcode}: {Path('whole.log').read_text()}")
    expected = outcome("whole")
    sent: list[str] = []
    equal = True
    while len(sent) < kills:  # a run may end before the last kill
        shutil.rmtree("parts", ignore_errors=True)
        status = None
        while status is None:
            process = start("parts", (*options, "--ckpt_path", "auto"))
            process.join(chance.uniform(0, duration) if len(sent) < kills else LIMIT)
            status = process.exitcode
            if status is None:
                number = chance.choice([signal.SIGKILL, signal.SIGTERM])
                end(process, number)
                sent.append(number.name)
        if status != 0:
            said = Path("parts.log").read_text()[-3000:]
            raise RuntimeError(f"fit ended with {status}: {said}")
        equal = equal and outcome("parts") == expected
    return sent, equal


def prepare(folder: Path) -> None:
    """Write the configuration and eight images with masks."""
    from lightning_seg.testing.files import draw_scene, write_png

    for index in range(8):
        image, mask = draw_scene(index, (48, 64), 3)
        write_png(folder / f"data/images/{index}.png", image)
        write_png(folder / f"data/masks/{index}.png", mask)
    (folder / "config.yaml").write_text(CONFIG)


def main() -> int:
    """Print a table; return 1 if any run is not the uninterrupted one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    print("| training | SIGKILL | SIGTERM | equal to the bit |\n|---|---|---|---|", flush=True)
    failed = 0
    for place, (name, options) in enumerate(WAYS.items()):
        count = arguments.kills * (place + 1) // len(WAYS) - arguments.kills * place // len(WAYS)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            prepare(Path(folder))
            sent, equal = kill_and_resume(options, count, chance)
            os.chdir("/")
        killed, ended = sent.count("SIGKILL"), sent.count("SIGTERM")
        print(f"| {name} | {killed} | {ended} | {'yes' if equal else 'NO'} |", flush=True)
        failed += not equal
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
