"""Time of a bfloat16 training step whose depthwise convolutions run in float32.

    python benchmarks/depthwise.py [--encoder tf_efficientnet_lite0] [--size 192 256] [--rounds 5]

A U-Net of 64 decoder channels, 4 images, cross entropy with 11 classes, AdamW, channels-last
format, on one CPU thread. The versions take turns; the median of their CPU times counts, so that
other work on the machine matters less.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from distances import hardware

from lightning_seg.networks import Unet, depthwise_in_float32

CLASSES, BATCH, WIDTH = 11, 4, 64


def training_step(
    encoder: str, size: tuple[int, int], autocast: bool, keep: bool
) -> Callable[[], None]:
    torch.manual_seed(0)
    network = Unet(3, encoder, decoder_channels=(256, 128, WIDTH, WIDTH, WIDTH))
    network.to(memory_format=torch.channels_last).train()
    if keep:
        depthwise_in_float32(network)
    classifier = torch.nn.Conv2d(WIDTH, CLASSES, 1)
    optimizer = torch.optim.AdamW([*network.parameters(), *classifier.parameters()], lr=1e-3)
    image = torch.rand(BATCH, 3, *size).contiguous(memory_format=torch.channels_last)
    mask = torch.randint(0, CLASSES, (BATCH, *size))

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits = classifier(network.features(image)["decoder"])
            loss = F.cross_entropy(logits.float(), mask)
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="tf_efficientnet_lite0")
    parser.add_argument("--size", type=int, nargs=2, default=(192, 256))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    versions = {
        "float32": (False, False),
        "bf16": (True, False),
        "bf16, depthwise float32": (True, True),
    }
    steps = {
        name: training_step(arguments.encoder, tuple(arguments.size), *version)
        for name, version in versions.items()
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(arguments.rounds + 1):  # the first warms up
        for name, step in steps.items():
            start = time.process_time()
            step()
            if round_:
                times[name].append(time.process_time() - start)
    print(f"{hardware()}, torch {torch.__version__}, {arguments.encoder}, 1 thread\n")
    print("| precision | ms a step | relative to bf16 |\n|---|---|---|")
    for name, measured in times.items():
        ratio = median(measured) / median(times["bf16"])
        print(f"| {name} | {1000 * median(measured):.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
