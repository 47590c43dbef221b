"""Time and peak memory of losses with a hand-written backward pass, relative to plain autograd.

    python benchmarks/hand_written_backward.py [--batch-size 8] [--size 256] [--repeats 5]

Each loss is compared with the same formula in plain PyTorch, on random logits or maps and blocky
random labels with 5 % void. A call is forward and backward, on one CPU thread. Values and gradients
are checked to agree first. The two versions take turns; the median of their CPU times counts, so
that other work on the machine matters less. Peak memory is the growth of the resident set in a
fresh process (Linux only).
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import torch
from distances import hardware
from torch import Tensor

from lightning_seg.losses import anisotropic_convolution, map_l1, point_loss, semeda
from lightning_seg.networks import EdgeNetwork
from lightning_seg.targets._masks import one_hot

CLASSES, VOID = 19, 255
WEIGHTS = (2.0, 4.0, 0.0)  # of SEMEDA's layers

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def edge_network() -> EdgeNetwork:
    torch.manual_seed(0)
    return EdgeNetwork(CLASSES).requires_grad_(False).eval()


def written_semeda() -> Loss:
    network = edge_network()
    return lambda logits, _, mask: semeda(logits, mask, network, WEIGHTS)


def plain_semeda() -> Loss:
    network = edge_network()

    def loss(logits: Tensor, _: Tensor, mask: Tensor) -> Tensor:
        valid = (mask != VOID).unsqueeze(1)
        probabilities = logits.permute(0, 2, 3, 1).softmax(dim=-1).permute(0, 3, 1, 2)
        predicted = network.embeddings(probabilities * valid, layers=2)
        expected = network.embeddings(one_hot(mask, CLASSES, VOID), layers=2)
        terms = [
            weight * ((x - y).abs() * valid).sum() / x.shape[1]
            for weight, x, y in zip(WEIGHTS, predicted, expected)
        ]
        return sum(terms[1:], start=terms[0]) / valid.sum()

    return loss


def written_map_l1() -> Loss:
    return lambda prediction, target, mask: map_l1(prediction, target, mask, None, "pixels", VOID)


def plain_map_l1() -> Loss:
    def loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        valid = (mask != VOID).unsqueeze(1)
        error = (prediction - target).abs().masked_fill(~valid, 0)
        return error.sum() / (valid.sum() * CLASSES)

    return loss


def written_weighted_map_l1() -> Loss:
    weights = torch.linspace(0.5, 2, CLASSES)
    return lambda prediction, target, mask: map_l1(prediction, target, mask, weights)


def plain_weighted_map_l1() -> Loss:
    weights = torch.linspace(0.5, 2, CLASSES)

    def loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        valid = mask != VOID
        pixel = (weights[mask.masked_fill(~valid, 0)] * valid).unsqueeze(1)
        error = (prediction - target).abs().masked_fill(~valid.unsqueeze(1), 0)
        return (error * pixel).sum() / (pixel.sum() * CLASSES)

    return loss


def written_point() -> Loss:
    return lambda logits, _, mask: point_loss(logits, mask)


def plain_point() -> Loss:
    def loss(logits: Tensor, _: Tensor, mask: Tensor) -> Tensor:
        valid = (mask != VOID).unsqueeze(1)
        difference = logits.softmax(dim=1) * valid - one_hot(mask, CLASSES, VOID)
        squared = anisotropic_convolution(difference).square() * valid
        return squared.sum() / (valid.sum() * CLASSES * len(squared))

    return loss


LOSSES: dict[str, tuple[Callable[[], Loss], Callable[[], Loss]]] = {
    "SEMEDA": (written_semeda, plain_semeda),
    "map L1": (written_map_l1, plain_map_l1),
    "map L1, class weights": (written_weighted_map_l1, plain_weighted_map_l1),
    "point loss": (written_point, plain_point),
}


def make_inputs(batch: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (or a predicted map), a target map and a mask."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, CLASSES, size, size)
    prediction, target = (torch.randn(shape, generator=generator) for _ in range(2))
    blocks = torch.randint(0, CLASSES, (batch, size // 16, size // 16), generator=generator)
    mask = blocks.repeat_interleave(16, 1).repeat_interleave(16, 2)
    mask[torch.rand(mask.shape, generator=generator) < 0.05] = VOID
    return prediction.requires_grad_(), target, mask


def step(loss: Loss, inputs: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    value = loss(*inputs)
    (gradient,) = torch.autograd.grad(value, inputs[0])
    return value.detach(), gradient


def seconds(loss: Loss, inputs: tuple[Tensor, Tensor, Tensor]) -> float:
    start = time.process_time()
    step(loss, inputs)
    return time.process_time() - start


def resident(field: str) -> float:
    """MiB of this process: ``VmRSS`` now, ``VmHWM`` at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def peak_memory(name: str, version_index: int, batch: int, size: int) -> float:
    """MiB that one call adds at most; call it in a fresh process."""
    torch.set_num_threads(1)
    loss = LOSSES[name][version_index]()
    step(loss, make_inputs(1, 32))  # loads libraries
    inputs = make_inputs(batch, size)
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before = resident("VmRSS")
    step(loss, inputs)
    return resident("VmHWM") - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--size", type=int, default=256, help="height and width, a multiple of 16")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    inputs = make_inputs(options.batch_size, options.size)
    print(
        f"{hardware()}, torch {version('torch')}, {options.batch_size} x {CLASSES} x "
        f"{options.size} x {options.size}, one thread, median of {options.repeats}\n\n"
        "| loss | hand-written, ms | autograd, ms | time "
        "| hand-written, MiB | autograd, MiB | memory |\n"
        "|---|---|---|---|---|---|---|"
    )
    for name, makers in LOSSES.items():
        written, plain = (make() for make in makers)
        results = step(written, inputs), step(plain, inputs)
        for ours, theirs in zip(*results):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-8)
        del results, ours, theirs
        times = [(seconds(written, inputs), seconds(plain, inputs)) for _ in range(options.repeats)]
        ours, theirs = (1e3 * median(column) for column in zip(*times))
        memory = []
        for index in range(2):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                job = fresh.submit(peak_memory, name, index, options.batch_size, options.size)
                memory.append(job.result())
        print(
            f"| {name} | {ours:.0f} | {theirs:.0f} | {theirs / ours:.2f}x "
            f"| {memory[0]:.0f} | {memory[1]:.0f} | {memory[1] / memory[0]:.2f}x |",
            flush=True,
        )


if __name__ == "__main__":
    main()
