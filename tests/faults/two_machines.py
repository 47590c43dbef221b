"""Trains on two machines and compares the result with that of one machine.

    sudo python tests/faults/two_machines.py

The machines are two network namespaces, joined by a cable and nothing else, with a common disk.
Each has one process; the one machine has two. Weights, states of the optimiser and the record of
the epochs must be equal to the bit. Needs root and iproute2.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from kills import outcome, prepare

CABLE = {"seg-a": "10.77.0.1", "seg-b": "10.77.0.2"}
FIT = ("-m", "lightning_seg.cli", "fit", "--config", "config.yaml", "--trainer.strategy", "ddp")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run")
LIMIT = 600  # seconds


def connect() -> None:
    """Create both namespaces and the cable between them."""
    first, second = CABLE
    ip("link", "add", first, "type", "veth", "peer", "name", second)
    for name, address in CABLE.items():
        ip("netns", "add", name)
        ip("link", "set", name, "netns", name)
        ip("-n", name, "addr", "add", f"{address}/24", "dev", name)
        ip("-n", name, "link", "set", name, "up")
        ip("-n", name, "link", "set", "lo", "up")


def disconnect() -> None:
    """Remove what is left of the namespaces, and the cable with them."""
    for name in CABLE:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def train_on_two(run: str) -> None:
    """Train with one process in each namespace."""
    address = next(iter(CABLE.values()))
    started = [
        subprocess.Popen(
            [
                *("ip", "netns", "exec", name, *TORCHRUN, "--nnodes=2", f"--node-rank={rank}"),
                *("--nproc-per-node=1", f"--master-addr={address}", "--master-port=29511"),
                *(*FIT, "--run_dir", run, "--trainer.devices=1", "--trainer.num_nodes=2"),
            ],
            env=os.environ | {"GLOO_SOCKET_IFNAME": name, "OMP_NUM_THREADS": "1"},
        )
        for rank, name in enumerate(CABLE)
    ]
    statuses = [process.wait(LIMIT) for process in started]
    if any(statuses):
        raise RuntimeError(f"training on two machines ended with {statuses}")


def main() -> int:
    """Print the comparison; return 1 if the results differ."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        prepare(Path(folder))
        subprocess.run(
            [
                *(*TORCHRUN, "--standalone", "--nproc-per-node=2"),
                *(*FIT, "--run_dir", "one", "--trainer.devices=2"),
            ],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=True,
            timeout=LIMIT,
        )
        disconnect()
        connect()
        try:
            train_on_two("two")
        finally:
            disconnect()
        equal = outcome("one") == outcome("two")
        os.chdir("/")
    print(f"Two machines train like one: {'yes, to the bit' if equal else 'NO'}")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
