"""Choice of a precision that is fast on the machine."""

import warnings

import pytest
import torch
from lightning.pytorch import Trainer

from lightning_seg.cli.precision import has_fast_bf16, warn_of_slow_precision

PLAIN = {"architecture": "x86_64", "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        (PLAIN, False),
        (PLAIN | {"avx512_bf16": True}, True),
        (PLAIN | {"amx_bf16": True}, True),
        ({"architecture": "aarch64"}, None),
    ],
)
def test_slow_bf16_is_warned_of(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert has_fast_bf16() is expected
    options = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for precision in ("bf16-mixed", "32-true"):
            warn_of_slow_precision(Trainer(precision=precision, **options))
    told = [str(w.message) for w in caught if "no bfloat16 units" in str(w.message)]
    assert told == (
        ["This CPU has no bfloat16 units: bf16-mixed is slower here than --trainer.precision "
         "32-true"] if expected is False else []
    )  # fmt: skip
