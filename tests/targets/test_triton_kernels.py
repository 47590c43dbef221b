"""The Triton kernels under the interpreter, and compiled for a GPU."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from signed_distance_reference import patches

from lightning_seg.targets import inner_distance, signed_distance
from lightning_seg.targets._inner_distance_torch import torch_inner_distance
from lightning_seg.targets._signed_distance_torch import torch_signed_distance

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@needs_triton
@pytest.mark.parametrize("cases", ["quick", pytest.param("thorough", marks=pytest.mark.slow)])
def test_equal_opencv_under_the_interpreter(cases):
    program = Path(__file__).with_name("triton_interpreted.py")
    run = subprocess.run(
        [sys.executable, str(program), cases], capture_output=True, text=True, timeout=1200
    )
    assert run.returncode == 0, run.stderr
    results = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(results) >= 9
    # To the bit: Triton is asked for the correctly rounded square root.
    assert [result for result in results if result["difference"] != 0] == []


COMPILED = """
import sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from lightning_seg.targets import _inner_distance_triton, _signed_distance_triton

kind, flag, ones = sys.argv[1], sys.argv[2] == "True", sys.argv[3].split()
shape = {"TILE_Y": 16, "TILE_X": 64}

def compiled(kernel, pointers, constants):
    # Triton compiles numbers that are 1 as constants.
    constants = constants | {name: 1 for name in ones if name in kernel.arg_names}
    signature = {name: "constexpr" if name in constants else "i32" for name in kernel.arg_names}
    signature |= {name: f"*{kind}" for name, kind in pointers.items()}
    if "limit" in signature:
        signature["limit"] = "fp32"
    source = ASTSource(kernel, signature, constexprs=constants)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]

maps = {"mask": "i64", "rows": kind, "lowest": kind}
assert compiled(_signed_distance_triton._measure_rows, maps, {"BLOCK": 512, "TILE_X": 64})
assert compiled(
    _signed_distance_triton._measure_columns,
    maps | {"output": "fp32"},
    shape | {"HALO": 128, "VOID_IS_BACKGROUND": flag},
)
names = ["labels_at", "nearest_label", "to_nearest", "to_other"]
assert compiled(
    _inner_distance_triton._measure_columns,
    dict.fromkeys(names, "i32") | {"output": "fp32"},
    shape | {"CHESSBOARD": flag},
)
"""


@pytest.mark.slow
@needs_triton
@pytest.mark.parametrize("ones", ["", "height width strips reach far num_labels num_classes"])
@pytest.mark.parametrize(("kind", "flag"), [("u8", True), ("i16", False)])
def test_compile_for_a_hopper_gpu(kind, flag, ones, tmp_path):
    program = tmp_path / "compiled.py"
    program.write_text(COMPILED)
    run = subprocess.run(
        [sys.executable, str(program), kind, str(flag), ones],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr


@needs_cuda
@pytest.mark.parametrize("void", ["ignore", "background"])
@pytest.mark.parametrize("clip", [1.0, 10.5, 32.0, 300.0, None])
def test_cuda_signed_distances_equal_those_of_the_cpu(clip, void):
    maps = [torch.from_numpy(patches(seed, 170, 290, 7, 23, 0.05)) for seed in range(3)]
    mask = torch.stack(maps)
    expected = signed_distance(mask, 9, clip, void=void)
    actual = signed_distance(mask.cuda(), 9, clip, void=void)
    torch.testing.assert_close(actual.cpu(), expected, rtol=1e-6, atol=0)
    limit = float((170**2 + 290**2) ** 0.5) if clip is None else clip
    fallback = torch_signed_distance(mask.cuda(), 9, limit, 255, void == "background")
    torch.testing.assert_close(fallback.cpu(), expected, rtol=1e-6, atol=0)


@needs_cuda
@pytest.mark.parametrize("void", ["ignore", "background"])
@pytest.mark.parametrize("metric", ["euclidean", "chessboard"])
def test_cuda_inner_distances_equal_those_of_the_cpu(metric, void):
    mask = torch.stack([torch.from_numpy(patches(seed, 170, 290, 7, 60, 0.3)) for seed in range(3)])
    expected = inner_distance(mask, 9, metric, void=void)
    actual = inner_distance(mask.cuda(), 9, metric, void=void)
    torch.testing.assert_close(actual.cpu(), expected, rtol=1e-6, atol=0)
    fallback = torch_inner_distance(
        mask.cuda(), 9, metric == "chessboard", 255, void == "background"
    )
    torch.testing.assert_close(fallback.cpu(), expected, rtol=1e-6, atol=0)


@needs_cuda
def test_cuda_distances_never_sync():
    mask = torch.zeros(2, 64, 64, dtype=torch.int64, device="cuda")
    signed_distance(mask, 5, 32.0), inner_distance(mask, 5)  # the first calls compile
    torch.cuda.set_sync_debug_mode("error")
    try:
        signed_distance(mask, 5, 32.0)
        inner_distance(mask, 5)
    finally:
        torch.cuda.set_sync_debug_mode("default")
