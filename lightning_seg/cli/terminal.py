"""What a run prints: progress within 80 columns, a short summary, and the best score."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ModelSummary, RichProgressBar
from lightning.pytorch.utilities.model_summary import get_human_readable_count
from rich.progress import TimeRemainingColumn

from lightning_seg.callbacks.run_record import EPOCHS, read_lines

_SHORT = {"train/loss": "loss", "val/loss": "val", "val/boundary_iou": "boundary"}
_BAR = 8


class ShortProgressBar(RichProgressBar):
    """Progress in one line of 80 columns: short names, time remaining, no speed."""

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """Return description, a short bar, batches and the time that remains."""
        description, bar, batches, *_ = super().configure_columns(trainer)
        bar.bar_width = _BAR
        return [description, bar, batches, TimeRemainingColumn()]

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the logged values by short names."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return {_SHORT.get(n, n.rpartition("/")[2]): value for n, value in metrics.items()}


class ParameterSummary(ModelSummary):
    """Parameters of the model's parts. Lightning's table also lists metrics, and 0 FLOPs."""

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        *_: Any,
        **__: Any,
    ) -> None:
        """Print a line for each part with parameters, and their sum."""
        columns = dict(summary_data)
        parts = zip(columns["Name"], columns["Type"], columns["Params"], strict=True)
        rows = [[name, kind, count.strip()] for name, kind, count in parts if count.strip() != "0"]
        trained, every = (
            get_human_readable_count(count).strip()
            for count in (trainable_parameters, total_parameters)
        )
        widths = [max(len(row[i]) for row in rows) for i in range(3)] if rows else []
        for row in rows:
            name, kind, count = (text.ljust(w) for text, w in zip(row, widths, strict=True))
            print(f"{name}  {kind}  {count}".rstrip())
        print(f"Parameters: {every}, of which {trained} are trained.")


def best_score(trainer: Trainer, run_dir: Path) -> str:
    """Return a line with the best score, its name and its epoch; "" if none was watched."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.best_model_score is not None:
            name, score = str(callback.monitor), callback.best_model_score.item()
            epochs = [e for e in read_lines(run_dir / EPOCHS) if e.get(name) is not None]
            # Recorded scores are those that the checkpoint saw, but for rounding.
            best = min(epochs, key=lambda epoch: abs(epoch[name] - score), default=None)
            epoch = (
                f", in epoch {best['epoch']} of 0 to {trainer.current_epoch - 1}" if best else ""
            )
            return f"{'Best:':13}{name} {score:.4f}{epoch}"
    return ""
