"""Stored label maps and the values of public reference implementations."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

_FOLDER = Path(__file__).parents[3] / "shared" / "reference"
REFERENCE = _FOLDER / "metrics_sample.json"
needs_reference = pytest.mark.skipif(
    not REFERENCE.exists(), reason=f"no reference values in {REFERENCE}"
)
CASES = [
    "s01_identical_64",
    "s03_shift2_97x131",
    "s05_thin_97x131",
    "s06_border_64",
    "s08_empty_gt_64",
    "s10_voidcontour_97x131",
]


def load_case(name):
    """Return the values, and prediction and ground truth as int64 (1, H, W)."""
    maps = np.load(_FOLDER / "metrics_cases.npz")
    pred, truth = (torch.from_numpy(maps[f"{name}/{n}"])[None].long() for n in ("pred", "gt"))
    return json.loads(REFERENCE.read_text())["cases"][name], pred, truth
