"""Time and peak memory of one training step with each method, relative to plain cross entropy.

    python benchmarks/losses.py [--root data/camvid] [--repeats 9]
    python benchmarks/losses.py --device cuda --encoder resnet50 --bfloat16 --repeats 30

Methods are the files of configs/method/, each a head and its losses on one shared U-Net. A step is
what training does with a batch: forward, targets, losses, backward and optimiser, whose learning
rate is 0, so that every step of every method sees the same weights. Images are noise, labels are
CamVid's, enlarged twice and cut to 512 x 512; every other frame is given other class numbers, so
that the batch holds 19 classes; each image has about half of them.

The methods take turns, and each step is set against the cross entropy's of the same round; the
median of these ratios counts. On the CPU it is processor time, summed over all threads, that is
measured, so that other work on the machine matters less. Memory is that of a
process of its own for each method: on a GPU what its tensors take at most, on the CPU what is
resident at most, less what was before the network was made (Linux alone).
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median

os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")

import numpy as np
import torch
from distances import hardware, label_maps
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from lightning_seg import heads, inference, losses, networks, tasks  # noqa: F401
from lightning_seg.losses import ClassWeights
from lightning_seg.networks import EdgeNetwork, no_pretrained_weights
from lightning_seg.tasks import SegmentationTask

CONFIGS = Path(__file__).parent.parent / "configs" / "method"
REFERENCE = "cross_entropy"
CLASSES, CAMVID_CLASSES, VOID = 19, 11, 255


def make_tasks(names: list[str] | None, encoder: str) -> dict[str, SegmentationTask]:
    """The task of each method by name, cross entropy first."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(SegmentationTask, "model")
    base = ["--model=SegmentationTask", f"--model.num_classes={CLASSES}", "--model.in_channels=3"]
    base += ["--model.network=Unet", f"--model.network.encoder={encoder}"]
    methods: dict[str, SegmentationTask] = {}
    for name in [REFERENCE, *sorted({path.stem for path in CONFIGS.glob("*.yaml")} - {REFERENCE})]:
        if names is not None and name not in (REFERENCE, *names):
            continue
        config = parser.parse_args([*base, "--config", str(CONFIGS / f"{name}.yaml")])
        for term in config.model.init_args.losses.values():
            if "edge_network" in term.loss.get("init_args", {}):
                term.loss.init_args.edge_network = EdgeNetwork(CLASSES)
        with no_pretrained_weights():
            task = methods[name] = parser.instantiate(config).model
        task.network = methods[REFERENCE].network
        for module in task.modules():
            if isinstance(module, ClassWeights) and module.balance is not None:
                module.resolve([1.0] * CLASSES)
    return methods


def make_batch(options: argparse.Namespace) -> dict[str, Tensor]:
    frames = label_maps(options.root, options.batch_size)
    masks = []
    for number, labels in enumerate(frames):
        scale = -(-options.size // min(labels.shape))
        large = labels.repeat(scale, 0).repeat(scale, 1)[: options.size, : options.size]
        other = (CLASSES - CAMVID_CLASSES) * (number % 2)
        masks.append(np.where(large == VOID, VOID, large + other))
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(len(masks), 3, options.size, options.size, generator=generator)
    mask = torch.from_numpy(np.stack(masks))
    return {"image": image.to(options.device), "mask": mask.to(options.device)}


def make_step(
    task: SegmentationTask, batch: dict[str, Tensor], bfloat16: bool
) -> Callable[[], None]:
    task.train().to(batch["mask"].device)
    trained = [parameter for parameter in task.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0)

    def step() -> None:
        with torch.autocast(batch["mask"].device.type, torch.bfloat16, enabled=bfloat16):
            predictions, targets = task(batch["image"]), task.targets(batch)
            loss, _ = task.objective(predictions, targets, batch["mask"])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def seconds(step: Callable[[], None], device: str) -> float:
    if not device.startswith("cuda"):
        start = time.process_time()
        step()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def step_times(
    methods: dict[str, SegmentationTask], options: argparse.Namespace
) -> dict[str, list[float]]:
    """Seconds of each method's step in each round."""
    batch = make_batch(options)
    steps = {name: make_step(task, batch, options.bfloat16) for name, task in methods.items()}
    for step in steps.values():
        for _ in range(options.warmup):
            step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(options.repeats):
        # The order turns round, so that no method always follows the same one.
        for name in list(steps)[:: 1 if number % 2 else -1]:
            times[name].append(seconds(steps[name], options.device))
    return times


def peak_memory(name: str, options: argparse.Namespace) -> float:
    """MiB that a step of one method takes at most; to be called in a fresh process."""
    torch.set_num_threads(options.threads)
    batch, before = make_batch(options), resident("VmRSS")
    task = make_tasks([name], options.encoder)[name]
    step = make_step(task, batch, options.bfloat16)
    for _ in range(2):
        step()
    if options.device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    return resident("VmHWM") - before


def resident(what: str) -> float:
    """MiB of this process in memory now (VmRSS) or at most (VmHWM); NaN where that is unknown."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(x.split()[1]) / 1024 for x in lines if x.startswith(what)), float("nan"))


def peak_memories(names: list[str], options: argparse.Namespace) -> dict[str, float]:
    found = {}
    for name in names:
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as fresh:
            found[name] = fresh.submit(peak_memory, name, options).result()
    return found


def machine(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{hardware()}, {os.cpu_count()} processors"


def parameters(module: nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("data/camvid"), help="CamVid's folder")
    parser.add_argument("--methods", nargs="+", help="names in configs/method; default: all")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--size", type=int, default=512, help="height and width in pixels")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=9, help="rounds that are measured")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them")
    parser.add_argument("--no-memory", action="store_true", help="times alone")
    parser.add_argument("--bfloat16", action="store_true", help="with autocast to bfloat16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    methods = make_tasks(options.methods, options.encoder)
    memory = {} if options.no_memory else peak_memories(list(methods), options)
    times = step_times(methods, options)
    network = methods[REFERENCE].network
    print(
        f"{machine(options.device)}; Python {platform.python_version()}, torch "
        f"{version('torch')}, timm {version('timm')}\n"
        f"{options.batch_size} x {options.size} x {options.size}, {CLASSES} classes, "
        f"{type(network).__name__} on {options.encoder} ({parameters(network):.1f} M parameters), "
        f"{'bfloat16' if options.bfloat16 else 'float32'}, {options.threads} threads, "
        f"{options.repeats} rounds\n"
    )
    columns = ["method", "ms a step", "time", *(["MiB", "memory"] if memory else [])]
    print("|", " | ".join(columns), "|\n" + "|---" * len(columns) + "|")
    for name in methods:
        ratios = [own / plain for own, plain in zip(times[name], times[REFERENCE], strict=True)]
        row = [name.replace("_", " "), f"{median(times[name]) * 1e3:.1f}", f"{median(ratios):.2f}x"]
        if memory:
            row += [f"{memory[name]:.0f}", f"{memory[name] / memory[REFERENCE]:.2f}x"]
        print("|", " | ".join(row), "|")


if __name__ == "__main__":
    main()
