"""Export of a checkpoint to a folder in the Hugging Face hub's convention."""

import json
from argparse import Namespace
from pathlib import Path

from lightning_seg.callbacks.run_record import STAGE
from lightning_seg.checkpoints import checksum, find_checkpoint
from lightning_seg.cli.commands.export_model import cannot_write, load_task

FIGURES = ("iou", "f1", "boundary_iou", "boundary_f")


def export(arguments: Namespace) -> None:
    """Write a folder with the figures and a picture of the run's test of this checkpoint."""
    output = Path(arguments.output)
    checkpoint = find_checkpoint(arguments.ckpt_path, Path(arguments.run_dir))
    task = load_task(checkpoint, weights_only=not arguments.trust_checkpoint)
    figures, picture = _tested(Path(str(checkpoint)).resolve())
    with cannot_write(output):
        task.save_pretrained(output, figures, picture)
    print(f"{output}: {type(task.network).__name__} with {type(task.head).__name__}")
    print(f'  load it with SegmentationTask.from_pretrained("{output}")')


def _tested(checkpoint: Path) -> tuple[dict[str, float], Path | None]:
    """Return figures and a picture of ``test``, if the run tested these weights last."""
    run = checkpoint.parent.parent
    try:
        record = json.loads((run / "test" / STAGE).read_text(encoding="utf-8"))
        scalars = json.loads((run / "test" / "metrics.json").read_text(encoding="utf-8"))["scalars"]
    except FileNotFoundError:
        return {}, None
    if record.get("checkpoint_checksum") != checksum(checkpoint):
        print(
            f"Without figures: those of {run / 'test'} are not known to be of these weights. "
            f"Measure them: lightning-seg test --config {run / 'config.yaml'} "
            f"--ckpt_path {checkpoint}"
        )
        return {}, None
    pictures = sorted((run / "pictures" / "test").glob("*.[jp][pn]g"))
    figures = {name: scalars[name] for name in FIGURES if scalars.get(name) is not None}
    return figures, next(iter(pictures), None)
