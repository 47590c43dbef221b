"""Shell scripts of a plan, to run elsewhere or by hand."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from lightning_seg.experiments.sweep.plan import Run, written


def bash_script(runs: Sequence[Run], sweep_dir: Path) -> str:
    """Return a script that runs all commands in sequence; a failed run does not stop the rest."""
    return _script(runs, sweep_dir, "")


def torchrun_script(runs: Sequence[Run], sweep_dir: Path, devices: int) -> str:
    """Return the same script with torchrun, one process per device."""
    return _script(
        runs, sweep_dir, f"torchrun --standalone --nproc-per-node={devices} --no-python "
    )


def _script(runs: Sequence[Run], sweep_dir: Path, prefix: str) -> str:
    lines = ["#!/bin/bash"]
    for run in runs:
        commands = [prefix + written(run.command(step, sweep_dir)) for step in run.steps]
        lines += ["", f"# {run.name}", " &&\n    ".join(commands)]
    return "\n".join(lines) + "\n"


def slurm_script(
    runs: Sequence[Run],
    sweep_dir: Path,
    sweep_words: Sequence[str],
    at_a_time: int,
    devices: int,
    compare_words: Sequence[str] | None,
) -> str:
    """Return a script that submits itself as array jobs, one task per run, and resumes on requeue.

    Args:
        runs: The plan.
        sweep_dir: Folder of the sweep.
        sweep_words: Arguments of ``lightning-seg sweep`` for this plan.
        at_a_time: Maximum number of parallel tasks.
        devices: Devices per run.
        compare_words: Arguments of ``lightning-seg`` for the final comparison.
    """
    groups = _groups(runs)
    names = [run.name for group, _ in groups for run in group]
    submissions, first = [], 0
    for number, (group, after) in enumerate(groups):
        array = f"--array={first}-{first + len(group) - 1}%{at_a_time}"
        needs = (
            ""
            if after is None
            else f'--dependency="afterok:$job{after}" --kill-on-invalid-dep=yes '
        )
        submissions.append(f'    job{number}=$(sbatch --parsable {needs}{array} "$0")')
        first += len(group)
    if compare_words is not None:
        wrapped = shlex.quote(written(list(compare_words)))  # for the shell that sbatch starts
        log = shlex.quote(f"{sweep_dir}/slurm-compare.log")
        all_jobs = ":".join(f"$job{number}" for number in range(len(groups)))
        submissions.append(
            f'    sbatch --dependency="afterany:{all_jobs}" --output={log} --wrap={wrapped}'
        )
    submit = "\n".join(submissions)
    tasks = "\n".join(f"    {shlex.quote(name)}" for name in names)
    alone = shlex.join(["lightning-seg", "sweep"]) + ' --only "$run" ' + shlex.join(sweep_words)
    return f"""\
#!/bin/bash
# {len(names)} runs of a sweep into {sweep_dir}.
# Add your cluster's own options (partition, account, memory) below, and submit all with: bash FILE
# Submit it again to continue unfinished runs.
#SBATCH --job-name={re.sub(r"[^A-Za-z0-9_.-]+", "_", sweep_dir.name)}
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={4 * devices}
#SBATCH --gpus-per-node={devices}
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={shlex.quote(f"{sweep_dir}/slurm-%a.log")}
#SBATCH --signal=B:USR1@180

if [ -z "$SLURM_ARRAY_TASK_ID" ]; then
    set -e
    mkdir -p {shlex.quote(str(sweep_dir))}
{submit}
    exit
fi

runs=(
{tasks}
)
run=${{runs[$SLURM_ARRAY_TASK_ID]}}

# Three minutes before its time limit, a task finishes its batch and requeues itself.
again() {{
    kill -TERM "$child"
    wait "$child"
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
    exit
}}
trap again USR1
trap 'kill -TERM "$child"' TERM

{alone} &
child=$!
wait "$child"
status=$?
# A signal interrupts the first wait; the next one returns the child's status.
while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    status=$?
done
exit "$status"
"""


def _groups(runs: Sequence[Run]) -> list[tuple[list[Run], int | None]]:
    """Group runs into array jobs, each with the index of the group that must succeed first.

    Dependencies come first, by depth, then the runs that use them, then independent runs.
    """
    read = {name for run in runs for name in run.needs.values()}
    depth: dict[str, int] = {}
    for run in runs:  # dependencies come first
        depth[run.name] = max((depth[name] + 1 for name in run.needs.values()), default=0)
    levels: dict[int, list[Run]] = {}
    for run in runs:
        if run.name in read:
            levels.setdefault(depth[run.name], []).append(run)
    groups: list[tuple[list[Run], int | None]] = [
        (level, number - 1 if number else None) for number, level in sorted(levels.items())
    ]
    others = [run for run in runs if run.name not in read]
    readers = [run for run in others if run.needs]
    if readers:
        groups.append((readers, len(groups) - 1))
    if alone := [run for run in others if not run.needs]:
        groups.append((alone, None))
    return groups
