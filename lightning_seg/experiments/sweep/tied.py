"""``python -m lightning_seg.experiments.sweep.tied PARENT COMMAND...``: end with the parent.

The command replaces this process. On Linux it receives SIGTERM when its parent process PARENT dies
for any reason. Other systems lack this feature; there it outlives a parent killed with SIGKILL.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: str, *command: str) -> None:
    """Replace this process by the command, unless the parent has already ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(128 + signal.SIGTERM)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
