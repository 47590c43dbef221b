"""Every benchmark runs; its figures on tiny inputs mean nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
SMALL = {
    "boundary_iou_stages": "--repeats 1",
    "crops": "--size 300 --crop 64 --batch 2 --count 2 --repeats 1 --layout tiles",
    "depthwise": "--encoder test_efficientnet --size 32 32 --rounds 1",
    "distance_stages": "--root {root} --scale 1 --repeats 1",
    "distances": "--root {root} --scales 2 --cut 40 150 --frames 1 --repeats 1",
    "export": "--encoders test_resnet --threads 1 --sizes 64 --rounds 1",
    "hand_written_backward": "--batch-size 1 --size 32 --repeats 1",
    "losses": "--root {camvid} --size 32 --batch-size 2 --repeats 1 --warmup 0 --no-memory"
    " --encoder test_resnet",
    "memory": "--encoder test_resnet --batch-size 2 --size 32 32 --rounds 1",
    "metrics": "--root {labels} --repeats 1",
    "outlines": "",
    "raster_prediction": "--size 128 --repeats 1",
    "start": "--rounds 1",
    "tanimoto_weights": "{camvid} --steps 2 --frames 2",
    "validation": "--scenes 1 --epochs 1 --steps 1 --images 2",
}


# Packages of the command line, which a borrowed machine with a GPU need not have.
UNNEEDED = ("lightning", "jsonargparse", "albumentations", "rasterio", "tensorboard")


def run_gpu_script(missing, code):
    """Run code in benchmarks/ where the packages cannot be imported."""
    blocked = f"import sys; sys.modules.update(dict.fromkeys({missing!r})); "
    return subprocess.run(
        [sys.executable, "-c", blocked + code],
        cwd=SCRIPTS,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.slow
def test_gpu_script_runs_without_the_packages_of_the_command_line():
    ended = run_gpu_script(
        UNNEEDED, "import gpu; sys.argv[1:] = ['--device', 'cpu', '--quick']; gpu.main()"
    )
    assert ended.returncode == 0, ended.stderr
    rows = [line for line in ended.stdout.splitlines() if line.startswith("| step with ")]
    assert len(rows) == len(list((SCRIPTS.parent / "configs/method").glob("*.yaml")))


def test_gpu_script_ends_where_the_device_differs():
    ended = run_gpu_script(
        UNNEEDED,
        "import gpu, torch; one = torch.tensor([1, 2]); gpu.check('counts', one, one);"
        "gpu.check('counts', (one, one + 1), (one, one))",
    )
    assert ended.stderr.strip() == "counts: the device and the CPU differ by up to 1."


def test_gpu_script_names_a_missing_package():
    ended = run_gpu_script(["timm"], "import gpu")
    assert ended.stderr.startswith("No module timm. The script needs torch, timm, ")


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_script_runs(name, camvid_root, tmp_path):
    labels = tmp_path / "valannot"
    labels.mkdir()
    for path in sorted((camvid_root / "valannot").glob("*.png"))[:2]:
        with Image.open(path) as image:
            image.crop((150, 100, 246, 164)).save(labels / path.name)
    options = SMALL[name].format(camvid=camvid_root, root=tmp_path, labels=labels).split()
    command = [sys.executable, SCRIPTS / f"{name}.py", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_scripts_that_read_a_run_print_a_row_for_each_term_or_batch(tmp_path):
    data = (
        "--data.size 64 --data.num_train 2 --data.num_val 2 --data.crop_size 32 --data.batch_size 2"
        " --data.samples_per_epoch 4 --data.num_workers 0 --trainer.max_epochs 1"
    )
    for words in (
        f"--config semeda/edge_network --run_dir edges {data}",
        f"--config synthetic/unet --run_dir run {data} --model.network.encoder test_resnet",
    ):
        fit = [sys.executable, "-m", "lightning_seg.cli", "fit", *words.split()]
        ended = subprocess.run(fit, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
    edges = tmp_path / "edges/checkpoints/best.ckpt"
    for name, options, rows in (
        ("tanimoto_batches", ["--epochs", "1", "--batches", "1", "2"], 2),
        ("class_gradients", ["--edge_network", edges, "--batch_size", "1"], 4),
    ):
        script = [sys.executable, SCRIPTS / f"{name}.py", "run", *options]
        ended = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        table = [line for line in ended.stdout.splitlines() if line.startswith("|")]
        assert len(table) == 2 + rows


def test_methods_of_the_step_benchmark_are_those_of_the_configurations():
    """Method files are overlays, not complete models."""
    code = (
        "import losses, sys; names = losses.make_tasks(None, 'test_resnet');print(*sorted(names))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=SCRIPTS,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    methods = sorted(path.stem for path in (SCRIPTS.parent / "configs/method").glob("*.yaml"))
    assert ended.stdout.split() == methods, ended.stderr
