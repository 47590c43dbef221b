"""``lightning-seg data cache``: fills the cache of targets on disk ahead of training."""

from argparse import Namespace
from collections.abc import Iterable, Sequence

from jsonargparse import ArgumentParser
from rich.progress import track

from lightning_seg.data import SegmentationDataModule
from lightning_seg.data.base import Split
from lightning_seg.data.reading.pairs import Pair
from lightning_seg.data.targets_cache import COMPUTING
from lightning_seg.errors import InputError
from lightning_seg.tasks import SegmentationTask

ABOUT = "Computes the targets of all training and validation images, and keeps them on disk."
# Read of an experiment's file besides `data`: it says which targets there are.
USES = ("model",)

_SPLITS: tuple[Split, ...] = ("train", "val")


def add_arguments(parser: ArgumentParser) -> None:
    """The model of the experiment."""
    parser.add_subclass_arguments(SegmentationTask, "model", required=True)
    for name in ("num_classes", "in_channels"):
        parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")


def run(data: SegmentationDataModule, options: Namespace) -> int:
    """Fills the cache, and says how much there was to do."""
    data.cached_targets = options.model.mask_targets()
    if not data.cached_targets:
        raise InputError(
            "The losses of this experiment need no target that could be kept: there is nothing to "
            "do."
        )
    data.targets_cache = "disk"
    data.prepare_data()
    folder = None
    for split in _SPLITS:
        pairs, counter = data.pairs(split), _Counter()
        cache = data.filled_cache(split, pairs, counter)
        assert cache is not None, "there are targets"
        folder = cache.folder.absolute()
        print(f"{split}: {len(pairs)} images, {counter.count} of them computed now")
    print(f"In {folder}. Train with --data.targets_cache disk.")
    return 0


class _Counter:
    """A progress bar that knows afterwards how many images were computed."""

    count = 0

    def __call__(self, pairs: Sequence[Pair], about: str) -> Iterable[Pair]:
        self.count += len(pairs) if about == COMPUTING else 0
        return track(pairs, about)
