"""Runs compared: scores, differences with intervals, convergence and cost, from their folders."""

from lightning_seg.errors import needs

with needs("train", "lightning_seg.experiments.comparison"):
    from lightning_seg.experiments.comparison.compare import Comparison, compare
    from lightning_seg.experiments.comparison.output import write_comparison
    from lightning_seg.experiments.comparison.runs import Run, export_record, find_runs

__all__ = ["Comparison", "Run", "compare", "export_record", "find_runs", "write_comparison"]
