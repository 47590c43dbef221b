import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from sweep_of_stand_ins import LAUNCH

from lightning_seg.config_files import configs_folder
from lightning_seg.errors import InputError
from lightning_seg.experiments.sweep import plan, read_spec, run_all
from lightning_seg.experiments.sweep.running import duration, last_words
from lightning_seg.experiments.sweep.state import config_digests, locked_file, sweep_lock

SWEEP = Path("sweep")
PROCESS = Path(__file__).with_name("sweep_of_stand_ins.py")


PROCESSES = []


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """Empty working directory; processes left by a failed test are ended."""
    monkeypatch.chdir(tmp_path)
    yield
    while PROCESSES:
        process = PROCESSES.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def spec(**more):
    return {"sweep_dir": "sweep", "axes": {"m": {"a": "--x a", "b": "--x b"}}, **more}


def run(content, environments=({},)):
    """Run a sweep in this process; return the failures and the output."""
    said = []
    failed = run_all(plan(read_spec(content)), SWEEP, environments, LAUNCH, said.append)
    return failed, said


def notes(what="start"):
    path = Path("notes.jsonl")
    entries = map(json.loads, path.read_text().splitlines() if path.exists() else ())
    return [entry for entry in entries if entry["what"] == what]


def epochs(name):
    lines = (SWEEP / name / "epochs.jsonl").read_text().splitlines()
    return [json.loads(line)["epoch"] for line in lines]


def _heed_signals():
    """Undo what a shell or ``nohup`` has these tests ignore in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def started(content, jobs=1, before=()):
    """Start the sweep in its own process group."""
    Path("spec.yaml").write_text(yaml.safe_dump(content))
    with Path("said").open("a") as log:
        process = subprocess.Popen(
            [*before, sys.executable, str(PROCESS), "spec.yaml", str(jobs)],
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_heed_signals,
        )
    PROCESSES.append(process)
    return process


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, Path("said").read_text()
        time.sleep(0.02)


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def checkpoints():
    return list(SWEEP.rglob("last.ckpt"))


def test_every_run_is_fitted_and_then_evaluated():
    failed, said = run(spec(seeds=[1, 2], evaluate=["validate", "test"]))
    assert failed == {}
    expected = [(Path(n["run"]).relative_to(SWEEP).as_posix(), n["stage"]) for n in notes()]
    assert expected == [
        (name, stage)
        for name in ("a/seed1", "b/seed1", "a/seed2", "b/seed2")
        for stage in ("fit", "validate", "test")
    ]
    assert said[0] == "4 runs in sweep: 0 finished, 0 started, 4 new; 1 at a time"
    assert said[-1].startswith("b/seed2: finished in ")
    assert said[-1].endswith("no run is left")
    log = (SWEEP / "a/seed1/test.log").read_text()
    assert "$ lightning-seg test --config sweep/a/seed1/config.yaml" in log


def test_parallel_runs_have_their_own_devices():
    failed, _ = run(
        spec(seeds=[1, 2, 3], fit_args="--seconds 0.3", evaluate="none"),
        [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}],
    )
    assert failed == {}
    spans = [
        (begin["time"], end["time"], begin["gpus"])
        for begin in notes()
        for end in notes("end")
        if begin["run"] == end["run"]
    ]
    assert len(spans) == 6
    at_once = [
        [gpus for begin, end, gpus in spans if begin <= moment < end] for moment, _, _ in spans
    ]
    assert max(map(len, at_once)) == 2
    assert {gpus for _, _, gpus in spans} == {"0", "1"}
    assert all(len(set(gpus)) == len(gpus) for gpus in at_once)


def test_finished_runs_are_kept_and_new_ones_added():
    run(spec())
    before = len(notes())
    failed, said = run(spec())
    assert (failed, len(notes())) == ({}, before)
    assert said == ["2 runs in sweep: 2 finished, 0 started, 0 new; 1 at a time"]
    run(spec(seeds=[1, 2]))
    assert {n["run"] for n in notes()[before:]} == {"sweep/a/seed2", "sweep/b/seed2"}


def test_another_evaluation_does_not_train_again():
    run(spec(evaluate="none"))
    run(spec(evaluate="test"))
    assert [n["stage"] for n in notes()] == ["fit", "fit", "test", "test"]


def test_a_failed_run_does_not_stop_others_and_is_retried():
    content = spec(axes={"m": {"a": "--fail_unless fixed", "b": "--x b"}})
    failed, said = run(content)
    assert set(failed) == {"a/seed1"}
    assert (
        "fit ended with status 3: ValueError: the loss is nan (sweep/a/seed1/fit.log)"
        in (failed["a/seed1"])
    )
    assert any(line.startswith("b/seed1: finished") for line in said)
    Path("fixed").touch()
    failed, said = run(content)
    assert failed == {}
    assert said[0] == "2 runs in sweep: 1 finished, 1 started, 0 new; 1 at a time"
    assert epochs("a/seed1") == [0, 1]


def test_a_run_that_fails_before_its_first_checkpoint_leaves_only_its_log():
    content = spec(axes={"m": {"a": "--fail_unless fixed"}})
    run(content)
    (SWEEP / "a/seed1/epochs.jsonl").write_text('{"epoch": 5}\n')
    (SWEEP / "a/seed1/pictures").mkdir()
    Path("fixed").touch()
    run(content)
    assert epochs("a/seed1") == [0, 1]
    assert not (SWEEP / "a/seed1/pictures").exists()
    log = (SWEEP / "a/seed1/fit.log").read_text()
    assert "the loss is nan" in log
    assert log.count("$ lightning-seg fit") == 2


READER = {
    "m": {"a": "--reads {edge}/checkpoints/last.ckpt", "b": "--x b"},
}


def test_prerequisites_run_first():
    content = spec(axes=READER, before={"edge": "--seconds 0.5"}, evaluate="none")
    failed, _ = run(content, [{}, {}])
    assert failed == {}
    order = [n["run"] for n in notes()]
    ended = {n["run"]: n["time"] for n in notes("end")}
    begun = {n["run"]: n["time"] for n in notes()}
    assert sorted(order) == ["sweep/a/seed1", "sweep/b/seed1", "sweep/before/edge"]
    assert begun["sweep/a/seed1"] > ended["sweep/before/edge"]
    assert begun["sweep/b/seed1"] < ended["sweep/before/edge"]


def test_runs_with_a_failed_prerequisite_do_not_start():
    failed, _ = run(spec(axes=READER, before={"edge": "--fail_unless fixed"}))
    assert failed["a/seed1"] == "not started, because before/edge failed"
    assert {n["run"] for n in notes()} == {"sweep/before/edge", "sweep/b/seed1"}


def test_a_sweep_killed_with_its_group_leaves_no_process_and_resumes():
    content = spec(fit_args="--seconds 0.2 --epochs 8", evaluate="test")
    process = started(content, jobs=2)
    wait_for(lambda: len(checkpoints()) == 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(alive(n["process"]) for n in notes()), seconds=10)
    assert len(epochs("a/seed1")) < 8
    assert started(content, jobs=2).wait(60) == 0
    assert epochs("a/seed1") == epochs("b/seed1") == list(range(8))
    said = Path("said").read_text()
    assert "2 runs in sweep: 0 finished, 2 started, 0 new; 2 at a time" in said
    assert "a/seed1: fit resumes" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_sweep_asked_to_stop_ends_its_runs_first(number):
    content = spec(fit_args="--seconds 0.2 --epochs 100")
    process = started(content, jobs=2)
    wait_for(lambda: len(checkpoints()) == 2)
    process.send_signal(number)
    assert process.wait(20) == 128 + number
    assert not any(alive(n["process"]) for n in notes())


def test_a_sweep_under_nohup_outlives_its_terminal():
    process = started(spec(fit_args="--seconds 0.2 --epochs 4"), before=["nohup"])
    wait_for(checkpoints)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0
    assert epochs("b/seed1") == list(range(4))


def test_a_killed_run_fails_alone_and_resumes_next_time():
    content = spec(fit_args="--seconds 0.2 --epochs 6", evaluate="none")
    process = started(content)
    wait_for(checkpoints)
    os.kill(notes()[0]["process"], signal.SIGKILL)
    assert process.wait(60) == 1
    assert "a/seed1: failed: fit ended with SIGKILL" in Path("said").read_text()
    assert epochs("b/seed1") == list(range(6))
    failed, said = run(content)
    assert failed == {}
    assert "a/seed1: fit resumes" in said
    assert epochs("a/seed1") == list(range(6))


def test_two_sweeps_in_one_folder_are_refused():
    process = started(spec(fit_args="--seconds 0.2 --epochs 100"))
    wait_for(checkpoints)
    second = started(spec(fit_args="--seconds 0.2 --epochs 100"))
    assert second.wait(20) == 1
    assert "sweep: another sweep is running in this folder" in Path("said").read_text()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with sweep_lock(SWEEP):  # the killed one has left none
        pass


def test_a_run_waits_for_processes_of_a_killed_sweep():
    content = spec(axes={"m": {"a": ""}}, evaluate="none")
    # What a killed sweep left: a process that has inherited the run's lock.
    with locked_file(SWEEP, "a/seed1") as lock:
        left = subprocess.Popen(["sleep", "1"], pass_fds=[lock.fileno()])
    begun = time.monotonic()
    failed, _ = run(content)
    assert failed == {}
    assert left.wait() == 0
    assert time.monotonic() - begun > 0.9


def test_a_run_made_by_another_command_is_refused_before_anything_starts():
    run(spec(fit_args="--lr 0.1 --epochs 1"))
    before = len(notes())
    with pytest.raises(InputError) as error:
        run(spec(fit_args="--lr 0.2 --epochs 1", seeds=[1, 2]))
    assert "sweep/a/seed1 (and 1 more) has other settings" in str(error.value)
    assert "had --lr 0.1 and would now have --lr 0.2" in str(error.value)
    assert len(notes()) == before


def test_an_unfinished_run_is_not_resumed_by_another_command():
    run(spec(axes={"m": {"a": "--fail_unless fixed"}}))
    with pytest.raises(InputError, match="would now have --fail_unless other"):
        run(spec(axes={"m": {"a": "--fail_unless other"}}))


def test_configurations_of_the_package_are_watched_by_their_short_names():
    digests = config_digests(("--config", "camvid/unet", "--config=method/epl"))
    for name in ("experiment/camvid/unet", "method/epl"):
        assert str(configs_folder() / f"{name}.yaml") in digests


@pytest.mark.parametrize("changed", ["method.yaml", "parts/loss.yaml"])
def test_a_changed_configuration_is_refused(changed):
    Path("parts").mkdir()
    Path("method.yaml").write_text("model: {losses: parts/loss.yaml}\n")
    Path("parts/loss.yaml").write_text("weight: 0.1\n")
    content = spec(axes={"m": {"a": "--config method.yaml"}})
    run(content)
    file = Path(changed)
    file.write_text("# The weight of the paper's table 3.\n" + file.read_text())
    assert run(content)[0] == {}
    file.write_text(file.read_text() + "more: 1\n")
    with pytest.raises(InputError, match=f"fit read {changed}, which has changed since"):
        run(content)


def test_a_folder_not_made_by_a_sweep_is_left_alone():
    (SWEEP / "a/seed1").mkdir(parents=True)
    (SWEEP / "a/seed1/epochs.jsonl").write_text("{}\n")
    failed, _ = run(spec())
    assert "it is not a run of a sweep" in failed["a/seed1"]
    assert (SWEEP / "a/seed1/epochs.jsonl").read_text() == "{}\n"


def test_a_sweep_can_be_moved():
    run(spec())
    SWEEP.rename("moved")
    runs = plan(read_spec(spec(sweep_dir="moved")))
    before = len(notes())
    assert run_all(runs, Path("moved"), ({},), LAUNCH, lambda line: None) == {}
    assert len(notes()) == before


def test_the_run_folder_records_its_labels():
    run(spec(folds={"fold0": "--fold 0"}))
    content = json.loads((SWEEP / "b/fold0/seed1/sweep.json").read_text())
    assert content["name"] == "b/fold0/seed1"
    assert content["labels"] == {"m": "b", "fold": "fold0", "seed": "1"}
    assert set(content["steps"]) == {"fit", "validate"}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7530, "2 h 05 min")],
)
def test_durations_are_printed_in_seconds_minutes_and_hours(seconds, expected):
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("first\nEpoch 1\rEpoch 2\rlast \n \n======\n", "last"),
        ("", "nothing"),
        ("[rank1]: ValueError: nan\nSummary\nChildFailedError: \n[0]: rank 1\n",
         "[rank1]: ValueError: nan"),
        ("lightning-seg: error: no data\nmore\n", "lightning-seg: error: no data"),
        ("KeyError: an earlier try's\n\n$ lightning-seg fit --x\nKilled\n", "Killed"),
    ],
)  # fmt: skip
def test_a_log_is_summarised_by_its_error_or_its_last_line(log, expected):
    Path("log").write_bytes(b"\n$ lightning-seg fit\n" + log.encode())
    assert last_words(Path("log")) == expected
