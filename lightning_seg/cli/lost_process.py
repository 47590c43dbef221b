"""The end of a training of several processes when one of them is lost."""

import re
import signal
from subprocess import Popen

from lightning.pytorch import Trainer

from lightning_seg.errors import InputError

# What gloo and NCCL say of a process that no longer answers.
_LOST = re.compile(r"(closed|reset) by peer|remote (process|worker)|NCCL communicator was aborted")


def raise_if_process_lost(error: RuntimeError, trainer: Trainer) -> None:
    """Raise an error that names the lost process if ``error`` comes from a lost connection.

    Raises:
        InputError: Another process of this training has ended.
    """
    reason = " ".join(str(error).split())
    if not _LOST.search(reason):
        return
    children: list[Popen[bytes]] = getattr(trainer.strategy.launcher, "procs", [])
    lost = [
        f"process {rank} {_end(status)}"
        for rank, child in enumerate(children, start=1)
        if (status := child.poll())
    ]
    others = ", ".join(lost) or "another process, whose own message may stand above, ended"
    raise InputError(
        f"process {trainer.global_rank} of {trainer.world_size} stops, because {others} "
        f"({reason[:200]}). Resume with --ckpt_path auto."
    ) from error


def _end(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"failed ({status})"
