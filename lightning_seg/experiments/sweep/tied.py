"""``python -m lightning_seg.experiments.sweep.tied PARENT COMMAND...``: ends with its parent.

The command takes this process's place, and Linux sends it SIGTERM when the process numbered PARENT,
which has started it, dies in whatever way. Other systems have no such thing; there it outlives a
parent that is killed with SIGKILL.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: str, *command: str) -> None:
    """Becomes the command, unless the parent is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(128 + signal.SIGTERM)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
