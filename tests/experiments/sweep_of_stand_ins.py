"""``python sweep_of_stand_ins.py SPEC.yaml JOBS``: a sweep as a process, to be stopped."""

import sys
from pathlib import Path

import yaml

from lightning_seg.errors import InputError
from lightning_seg.experiments.sweep import Stopped, plan, read_spec, run_all
from lightning_seg.experiments.sweep.state import sweep_lock

LAUNCH = [sys.executable, str(Path(__file__).with_name("stand_in.py"))]


def main(path: str, jobs: str) -> None:
    spec = read_spec(yaml.safe_load(Path(path).read_text()))
    try:
        with sweep_lock(spec.sweep_dir):
            failed = run_all(plan(spec), spec.sweep_dir, [{}] * int(jobs), LAUNCH, say)
    except Stopped as stopped:
        sys.exit(128 + stopped.signal_number)
    except InputError as error:
        sys.exit(str(error))
    sys.exit(1 if failed else 0)


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
