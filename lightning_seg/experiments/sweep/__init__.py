"""Sweeps over seeds, folds and a grid of options: specification, execution and scripts."""

from lightning_seg.errors import needs

with needs("train", "lightning_seg.experiments.sweep"):
    from lightning_seg.experiments.sweep.plan import Run, Step, plan
    from lightning_seg.experiments.sweep.running import Stopped, run_all
    from lightning_seg.experiments.sweep.spec import SweepSpec, read_spec

__all__ = ["Run", "Step", "Stopped", "SweepSpec", "plan", "read_spec", "run_all"]
