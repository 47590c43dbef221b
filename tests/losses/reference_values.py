"""Stored logits and label maps with the value of every loss, computed from the formulas.

A test asks for the fixture ``reference_case``:

    def test_equals_the_reference(reference_case):
        reference_case.check("dice|average=micro,smooth=1", DiceLoss())

The stored numbers are not part of the project; where they are missing the tests are skipped.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

_FOLDER = Path(__file__).parents[3] / "shared" / "reference"
_VALUES = _FOLDER / "losses_sample.json"
CASES = ["blocks_k3", "void_k3", "thin_k2"]


@dataclass
class ReferenceCase:
    """``maps`` holds what the archive stores by name ("probs", "sdt10_ignore", ...)."""

    name: str
    maps: dict[str, torch.Tensor]
    values: dict[str, float]
    directional_derivatives: dict[str, float]
    median_frequency_weights: list[float]

    @property
    def logits(self):
        """(B, K, H, W) float64."""
        return self.maps["logits"]

    @property
    def mask(self):
        """(B, H, W) int64, 255 is void."""
        return self.maps["labels"]

    @property
    def num_classes(self):
        return self.logits.shape[1]

    def value(self, key):
        """Return the stored value; skip the test if only other cases have one."""
        if key not in self.values and any(key in reference_case(name).values for name in CASES):
            pytest.skip(f"{self.name} stores no {key}")
        return self.values[key]

    def check(self, key, loss, rel=1e-10):
        """Check ``loss(logits, mask)`` and, if stored, its slope in one direction."""
        logits = self.logits.clone().requires_grad_()
        value = loss(logits, self.mask)
        assert value.dtype == torch.float64
        assert value.item() == pytest.approx(self.value(key), rel=rel, abs=1e-12)
        if key in self.directional_derivatives:
            value.backward()
            direction = torch.sin(0.7 * torch.arange(logits.numel(), dtype=torch.float64))
            slope = (logits.grad.flatten() * direction).sum().item()
            expected = self.directional_derivatives[key]
            # The stored slopes are quotients of small differences.
            assert slope == pytest.approx(expected, rel=1e-6, abs=1e-9)

    def check_single_precision(self, key, loss):
        value = loss(self.logits.float(), self.mask)
        assert value.item() == pytest.approx(self.value(key), rel=1e-5, abs=1e-7)


@cache
def reference_case(name):
    if not _VALUES.exists():
        pytest.skip(f"no reference values in {_VALUES}")
    stored = json.loads(_VALUES.read_text())["cases"][name]
    with np.load(_FOLDER / "losses_cases.npz") as archive:
        maps = {
            key.removeprefix(f"{name}/"): torch.from_numpy(archive[key])
            for key in archive.files
            if key.startswith(f"{name}/")
        }
    return ReferenceCase(
        name,
        maps,
        stored["values"],
        stored["directional_derivative"],
        stored["median_frequency_weights"],
    )
