"""Fast stand-in for ``lightning-seg`` in tests of a sweep's processes.

It keeps to what a sweep relies on: ``fit`` writes a checkpoint after each epoch, goes on from it
with ``--ckpt_path last``, and refuses a folder that holds another run.
"""

import argparse
import json
import os
import sys
import time
import zipfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("stage")
    parser.add_argument("--run_dir", type=Path)
    parser.add_argument("--ckpt_path")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--fail_unless", help="A file; without it, this fails.")
    parser.add_argument("--reads", type=Path)
    arguments, _ = parser.parse_known_args()
    run_dir = arguments.run_dir
    note(run_dir, "start", arguments.stage)
    checkpoint = run_dir / "checkpoints" / "last.ckpt"
    if arguments.reads and not arguments.reads.exists():
        sys.exit(f"there is no {arguments.reads}")
    if arguments.fail_unless and not Path(arguments.fail_unless).exists():
        print("half a bar\rValueError: the loss is nan", file=sys.stderr)
        sys.exit(3)
    if arguments.stage == "fit":
        fit(arguments, checkpoint)
    elif not checkpoint.exists():
        sys.exit("there is no checkpoint")
    note(run_dir, "end", arguments.stage)


def fit(arguments: argparse.Namespace, checkpoint: Path) -> None:
    first = 0
    if arguments.ckpt_path == "last":
        with zipfile.ZipFile(checkpoint) as file:
            first = int(file.read("epoch")) + 1
    elif checkpoint.exists():
        sys.exit(f"{arguments.run_dir} already holds a run")
    (arguments.run_dir / "unfinished").touch()
    for epoch in range(first, arguments.epochs):
        time.sleep(arguments.seconds)
        checkpoint.parent.mkdir(exist_ok=True)
        partial = checkpoint.with_suffix(".partial")
        with zipfile.ZipFile(partial, "w") as file:
            file.writestr("epoch", str(epoch))
        partial.replace(checkpoint)
        with (arguments.run_dir / "epochs.jsonl").open("a") as file:
            file.write(json.dumps({"epoch": epoch}) + "\n")


def note(run_dir: Path, what: str, stage: str) -> None:
    entry = {
        "run": str(run_dir),
        "what": what,
        "stage": stage,
        "time": time.monotonic(),
        "process": os.getpid(),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }
    with Path("notes.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    main()
