"""``lightning-seg export``: export a checkpoint to an ONNX or torch.export file or a folder."""

import argparse
from importlib import import_module
from pathlib import Path

from lightning_seg.errors import InputError

SUFFIXES = (".onnx", ".pt2")


def run(argv: list[str]) -> None:
    """Run ``lightning-seg export`` with these arguments; help and typing errors need no torch."""
    arguments = _parser().parse_args(argv)
    output = Path(arguments.output)
    if output.suffix == "":
        if arguments.size is not None or arguments.result != "logits":
            raise InputError(f"--output {output}: --size and --result are for .onnx and .pt2 files")
        import_module("lightning_seg.cli.commands.export_folder").export(arguments)
        return
    if output.suffix not in SUFFIXES:
        raise InputError(
            f"--output {output}: the suffix is {output.suffix!r}, but must be .onnx (for "
            "onnxruntime and others) or .pt2 (for torch.export.load), or none for a folder (for "
            "SegmentationTask.from_pretrained)"
        )
    if arguments.size is not None and min(arguments.size) < 1:
        raise InputError(
            f"--size {arguments.size[0]} {arguments.size[1]}: give two numbers of pixels, 1 or more"
        )
    import_module("lightning_seg.cli.commands.export_model").export(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "lightning-seg export",
        description="Export a checkpoint's network and head to one file for other programs. It "
        "maps an image in [0, 1] to class scores or labels of the same size, including "
        "normalisation and padding. The metadata holds class names and colours and the sizes.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--ckpt_path", required=True, help="A checkpoint's path; last or best, with --run_dir."
    )
    parser.add_argument("--run_dir", default="runs/unnamed", help="The run of last or best.")
    parser.add_argument(
        "--trust_checkpoint",
        action="store_true",
        help="Also load Python objects in the checkpoint, which can run any code.",
    )
    parser.add_argument(
        "--output",
        required=True,
        help="The file to write: .onnx, or .pt2 for torch.export. Without a suffix, a folder for "
        "SegmentationTask.from_pretrained and the Hugging Face hub.",
    )
    parser.add_argument(
        "--result",
        choices=("logits", "labels"),
        default="logits",
        help="logits: (B, K, H, W) float32, class scores before the softmax. labels: (B, H, W) "
        "uint8 (int32 from 257 classes on), their argmax. Default: logits.",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="Fixed input size. Default: any size.",
    )
    return parser
