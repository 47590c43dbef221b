"""A plan as a shell script, to be run elsewhere or by hand."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from lightning_seg.experiments.sweep.plan import Run, written


def bash_script(runs: Sequence[Run], sweep_dir: Path) -> str:
    """The commands of all runs, one after another; a run that fails stops no other."""
    return _script(runs, sweep_dir, "")


def torchrun_script(runs: Sequence[Run], sweep_dir: Path, devices: int) -> str:
    """The same, each in as many processes as there are devices for it."""
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
    """A script that submits itself as array jobs, a task for each run, and goes on after requeues.

    Args:
        runs: The plan.
        sweep_dir: Its folder.
        sweep_words: The arguments of ``lightning-seg sweep`` that make this plan.
        at_a_time: How many tasks SLURM may run at once.
        devices: Devices of each run.
        compare_words: The arguments of ``lightning-seg`` that compare the runs afterwards.
    """
    levels = _levels(runs)
    names = [run.name for level in levels for run in level]
    submissions, first = [], 0
    for level in levels:
        array = f"{first}-{first + len(level) - 1}%{at_a_time}"
        after = '--dependency="afterok:$job" --kill-on-invalid-dep=yes ' if first else ""
        submissions.append(f'    job=$(sbatch --parsable {after}--array={array} "$0")')
        first += len(level)
    if compare_words is not None:
        # Quoted twice: for this script, and for the shell that runs what is wrapped.
        wrapped = shlex.quote(written(list(compare_words)))
        log = shlex.quote(f"{sweep_dir}/slurm-compare.log")
        submissions.append(
            f'    sbatch --dependency="afterany:$job" --output={log} --wrap={wrapped}'
        )
    submit = "\n".join(submissions)
    tasks = "\n".join(f"    {shlex.quote(name)}" for name in names)
    alone = shlex.join(["lightning-seg", "sweep"]) + ' --only "$run" ' + shlex.join(sweep_words)
    return f"""\
#!/bin/bash
# {len(names)} runs of a sweep into {sweep_dir}.
# Add your cluster's own options (partition, account, memory) below, and submit all with: bash FILE
# Submitting it again goes on with what is unfinished.
#SBATCH --job-name={shlex.quote(sweep_dir.name)}
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

# Three minutes before its time is up a task ends its batch, and queues again.
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
# A signal breaks off the first wait; the second has the child's own status.
while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    status=$?
done
exit "$status"
"""


def _levels(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs in groups, each of which reads only runs of groups before it."""
    depth: dict[str, int] = {}
    for run in runs:  # those that are read come first
        depth[run.name] = max((depth[name] + 1 for name in run.needs.values()), default=0)
    return [
        [run for run in runs if depth[run.name] == level]
        for level in range(max(depth.values()) + 1)
    ]
