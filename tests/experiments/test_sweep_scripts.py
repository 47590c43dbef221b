import json
import os
import re
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from lightning_seg.cli.commands import sweep
from lightning_seg.experiments.comparison import find_runs
from lightning_seg.experiments.sweep import plan, read_spec

SPEC = """\
sweep_dir: runs/it's a sweep
fit_args: --config base.yaml --data.class_names '[a road, "b"]'
axes:
  m: {plain: "", semeda: "--model.losses.semeda.loss.edge_network {edge}/checkpoints/best.ckpt"}
before: {edge: --config edge.yaml}
seeds: [1, 2]
evaluate: test
"""
RUNS = ["before/edge", "plain/seed1", "semeda/seed1", "plain/seed2", "semeda/seed2"]


@pytest.fixture
def script(tmp_path, monkeypatch, capsys):
    """Print a sweep as a script and check its bash syntax."""
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC)

    def call(*words):
        sweep.run(["spec.yaml", *words])
        text = capsys.readouterr().out
        Path("script.sh").write_text(text)
        checked = subprocess.run(["bash", "-n", "script.sh"], capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")
        return text

    return call


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Put programs on the PATH that record their arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(name, then=""):
        path = folder / name
        calls = shlex.quote(str(tmp_path / f"{name}.calls"))
        noted = f"printf '%q ' \"$@\" >> {calls}\necho >> {calls}"
        path.write_text(f"#!/bin/bash\n{noted}\n{then}\n")
        path.chmod(0o755)

    return put


def calls(name):
    path = Path(f"{name}.calls")
    return [shlex.split(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_bash_script_runs_the_commands_of_every_run(script, programs):
    text = script("--print")
    assert text == script("--print", "bash")
    programs("lightning-seg", '[[ "$*" != *plain/seed1 ]]')  # one fit fails
    subprocess.run(["bash", "script.sh"], check=True)
    edge = "runs/it's a sweep/before/edge"
    assert calls("lightning-seg")[0] == [
        *("fit", "--config", "edge.yaml", "--seed_everything", "1", "--run_dir", edge)
    ]
    fits = [call for call in calls("lightning-seg") if call[0] == "fit"]
    assert [call[call.index("--run_dir") + 1] for call in fits] == [
        f"runs/it's a sweep/{name}" for name in RUNS
    ]
    assert fits[1][1:5] == ["--config", "base.yaml", "--data.class_names", '[a road, "b"]']
    assert f"{edge}/checkpoints/best.ckpt" in fits[2]
    tests = [call for call in calls("lightning-seg") if call[0] == "test"]
    assert [call[2] for call in tests] == [
        f"runs/it's a sweep/{name}/config.yaml"
        for name in ("semeda/seed1", "plain/seed2", "semeda/seed2")
    ]


def test_torchrun_commands_start_one_process_per_device(script, programs):
    script("--print", "torchrun", "--devices_per_run", "4")
    programs("torchrun")
    subprocess.run(["bash", "script.sh"], check=True)
    first = calls("torchrun")[0]
    assert first[:3] == ["--standalone", "--nproc-per-node=4", "--no-python"]
    assert first[3:7] == ["lightning-seg", "fit", "--config", "edge.yaml"]
    assert "--trainer.devices=4" in first


def submitted(script, programs, *words):
    script("--print", "slurm", *words)
    programs("sbatch", 'echo "$((100 + $(wc -l < sbatch.calls)))"')
    subprocess.run(["bash", "script.sh"], check=True)
    return calls("sbatch")


def test_an_array_job_submits_prerequisites_first_and_the_comparison_last(script, programs):
    first, second, alone, third = submitted(script, programs, "--jobs", "2")
    assert first == ["--parsable", "--array=0-0%2", "script.sh"]
    assert second == [
        *("--parsable", "--dependency=afterok:101", "--kill-on-invalid-dep=yes"),
        *("--array=1-2%2", "script.sh"),
    ]
    assert alone == ["--parsable", "--array=3-4%2", "script.sh"]
    assert third[:2] == [
        "--dependency=afterany:101:102:103",
        "--output=runs/it's a sweep/slurm-compare.log",
    ]
    compared = shlex.split(third[2].removeprefix("--wrap="))
    sweep_dir = "runs/it's a sweep"
    # The whole folder: a task that fails leaves the comparison of the others.
    output = ["--output", f"{sweep_dir}/comparison"]
    assert compared == ["lightning-seg", "compare", sweep_dir, *output]


def finished(text, failed=()):
    spec = read_spec(yaml.safe_load(text))
    return sweep._finished(spec, plan(spec), dict.fromkeys(failed, "failed"))


SWEPT = """\
sweep_dir: a
axes: {net: {unet: ''}}
grid: {m.losses.line.weight: [0.1, 0.2]}
folds: [f0.yaml, f1.yaml]
"""


def test_methods_are_named_by_all_axes_but_folds_and_seeds():
    assert finished(SWEPT, failed=["unet/line.weight=0.2/f1/seed1"]) == [
        "line.weight 0.1=a/unet/line.weight=0.1/f0/seed1,a/unet/line.weight=0.1/f1/seed1",
        "line.weight 0.2=a/unet/line.weight=0.2/f0/seed1",
    ]


def test_compare_gives_the_runs_of_a_sweeps_folder_the_same_names(tmp_path):
    for one in plan(read_spec(yaml.safe_load(SWEPT))):
        folder = tmp_path / one.name
        folder.mkdir(parents=True)
        note = {"name": one.name, "labels": dict(one.labels), "steps": {}}
        (folder / "sweep.json").write_text(json.dumps(note))
        (folder / "fit.json").write_text("{}")
    named = {run.given_name for run in find_runs(tmp_path)}
    assert named == {word.partition("=")[0] for word in finished(SWEPT)}


def test_runs_that_differ_only_in_seed_are_named_by_their_configuration():
    assert finished("{sweep_dir: a, seeds: [1, 2]}") == ["a/seed1", "a/seed2"]


def test_an_array_job_without_comparison_or_prerequisites_is_one_submission(script, programs):
    Path("spec.yaml").write_text("{sweep_dir: a, seeds: [1, 2, 3], compare: false}\n")
    assert submitted(script, programs) == [["--parsable", "--array=0-2%3", "script.sh"]]


TASKS = ["before/edge", "semeda/seed1", "semeda/seed2", "plain/seed1", "plain/seed2"]


@pytest.mark.parametrize("task", range(len(TASKS)))
def test_each_task_of_an_array_job_is_one_run_of_the_sweep(script, programs, task):
    script("--seeds", "1", "2", "--print", "slurm", "--", "--trainer.max_epochs", "3")
    programs("lightning-seg", "exit 7")
    environment = os.environ | {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_JOB_ID": "5"}
    ended = subprocess.run(["bash", "script.sh"], env=environment, check=False)
    assert ended.returncode == 7
    expected = ["sweep", "--only", TASKS[task], "spec.yaml", "--seeds", "1", "2"]
    assert calls("lightning-seg") == [[*expected, "--", "--trainer.max_epochs", "3"]]


def test_a_script_of_chosen_runs_has_these_and_no_comparison(script, programs):
    script("--only", "semeda", "--print", "slurm", "--only=plain/seed1")
    text = Path("script.sh").read_text()
    assert "compare" not in text
    programs("lightning-seg")
    environment = os.environ | {"SLURM_ARRAY_JOB_ID": "5"}
    for task in range(4):
        environment["SLURM_ARRAY_TASK_ID"] = str(task)
        subprocess.run(["bash", "script.sh"], env=environment, check=True)
    names = ["before/edge", "semeda/seed1", "semeda/seed2", "plain/seed1"]
    assert calls("lightning-seg") == [["sweep", "--only", name, "spec.yaml"] for name in names]


def kill_sleep(process):
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def test_a_task_that_runs_out_of_time_stops_its_run_and_requeues(script, programs):
    script("--print", "slurm")
    programs("scontrol")
    programs(
        "lightning-seg", "trap 'echo stopped > stopped; exit 143' TERM; touch on; sleep 60 & wait"
    )
    environment = os.environ | {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_JOB_ID": "5"}
    process = subprocess.Popen(["bash", "script.sh"], env=environment, start_new_session=True)
    deadline = time.monotonic() + 60
    while not Path("on").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(30) == 0
    assert Path("stopped").exists()
    assert calls("scontrol") == [["requeue", "5_2"]]
    kill_sleep(process)


def test_a_preempted_task_forwards_the_signal_and_returns_the_runs_status(script, programs):
    script("--print", "slurm")
    programs("lightning-seg", "trap 'sleep 0.3; exit 143' TERM; touch on; sleep 60 & wait")
    environment = os.environ | {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_JOB_ID": "5"}
    process = subprocess.Popen(["bash", "script.sh"], env=environment, start_new_session=True)
    deadline = time.monotonic() + 60
    while not Path("on").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    assert process.wait(30) == 143
    kill_sleep(process)


def test_cluster_options_match_the_runs(script):
    text = script("--print=slurm", "--devices_per_run", "2")
    directives = re.findall(r"^#SBATCH (.*)$", text, re.MULTILINE)
    assert "--gpus-per-node=2" in directives
    assert "--requeue" in directives
    assert "--job-name=it_s_a_sweep" in directives
