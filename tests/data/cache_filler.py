"""Many processes that fill one cache of targets, most of them killed: FOLDER, ROUNDS, SEED."""

import os
import random
import signal
import sys
import time
from pathlib import Path

from lightning_seg.data.labels import IdLabels
from lightning_seg.data.pair_reader import PairReader
from lightning_seg.data.pairs import Pair
from lightning_seg.data.targets_cache import TargetsCache
from lightning_seg.targets import ClassBoundary, SignedDistance

TARGETS = (SignedDistance(clip=4.0), ClassBoundary())


def make_cache(root: Path) -> tuple[TargetsCache, list[Pair]]:
    cache = TargetsCache("disk", TARGETS, 3, PairReader(IdLabels((0, 1, 2))), root)
    labels = sorted(root.glob("*.png"))
    return cache, [Pair(path.stem, path, path) for path in labels]


def fill(root: Path, turn: int) -> None:
    cache, pairs = make_cache(root)
    cache.prepare(pairs[turn:] + pairs[:turn])
    for pair in pairs:
        cache.read(pair)


def start(root: Path, turn: int) -> int:
    """Forks, which is safe here: nothing has used a thread yet."""
    if process := os.fork():
        return process
    status = 1
    try:
        fill(root, turn)
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    root, chance = Path(sys.argv[1]), random.Random(int(sys.argv[3]))
    for number in range(int(sys.argv[2])):
        processes = [start(root, turn) for turn in range(8)]
        for process in processes[1:]:
            time.sleep(chance.uniform(0, 0.02))
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        if os.waitstatus_to_exitcode(os.waitpid(processes[0], 0)[1]):
            sys.exit(f"the process that was not killed failed in round {number}")
        entries = sorted((root / ".lightning_seg" / "targets").iterdir())
        for path in chance.sample(entries, min(len(entries), 7)):
            path.unlink()
