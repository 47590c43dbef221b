"""Time of an exported U-Net under onnxruntime against eager PyTorch, on the CPU in float32.

    python benchmarks/export.py [--encoders resnet18] [--threads 1 2]

Each network is exported for any size by the project's own export, and its scores are compared with
the eager network's before anything is timed. The runs take turns and the best of each counts; with
one thread it is the process's own time (CPU time), so that other work on the machine matters less.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from distances import hardware

from lightning_seg.cli.commands.export_model import quiet
from lightning_seg.heads import ClassificationHead
from lightning_seg.inference.export import Predictor, exported_program, save_onnx
from lightning_seg.networks import Unet, no_pretrained_weights

CLASSES = 19


def make_predictor(encoder: str) -> Predictor:
    torch.manual_seed(0)
    with no_pretrained_weights():
        network = Unet(3, encoder=encoder)
    return Predictor(network, ClassificationHead(network.out_channels, CLASSES)).eval()


def make_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def best_times(ways: list[Callable[[], object]], threads: int, rounds: int) -> list[float]:
    """Best seconds of each way after one run that does not count, the ways taking turns."""
    clock = time.process_time if threads == 1 else time.perf_counter
    best = [float("inf")] * len(ways)
    for number in range(rounds + 1):
        for index, way in enumerate(ways):
            start = clock()
            way()
            if number > 0:
                best[index] = min(best[index], clock() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoders", nargs="+", default=["resnet18"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{hardware()}; torch {torch.__version__}, onnxruntime {onnxruntime.__version__}\n")
    print(
        "| encoder | pixels | threads | eager, ms | onnxruntime, ms | ratio |\n" + "|---" * 6 + "|"
    )
    for encoder in options.encoders:
        predictor = make_predictor(encoder)
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            path = Path(folder) / "network.onnx"
            with quiet():
                save_onnx(exported_program(predictor), path, {})
            for threads in options.threads:
                torch.set_num_threads(threads)
                session = make_session(path, threads)
                for size in options.sizes:
                    image = torch.rand(1, 3, size, size)
                    feed = {"image": image.numpy()}
                    (scores,) = session.run(None, feed)
                    torch.testing.assert_close(
                        torch.from_numpy(scores), predictor(image), rtol=1e-3, atol=1e-4
                    )
                    eager, ort = best_times(
                        [lambda: predictor(image), lambda: session.run(None, feed)],  # noqa: B023
                        threads,
                        options.rounds,
                    )
                    print(
                        f"| {encoder} | {size} x {size} | {threads} | {eager * 1e3:.1f} "
                        f"| {ort * 1e3:.1f} | {eager / ort:.2f}x |"
                    )


if __name__ == "__main__":
    main()
