"""Labels of several files, one for each part of a face."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lightning_seg.data.reading.image_files import image_size, read_label
from lightning_seg.data.reading.labels import LabelDecoder
from lightning_seg.data.reading.tiff import Window
from lightning_seg.errors import InputError


@dataclass(frozen=True)
class PartMasks(LabelDecoder):
    """A binary mask for each part; a part that is not in the image has no file.

    A label is named by what its files have in common: ``a/00007`` of ``a/00007_skin.png``.

    Args:
        parts: The parts in the order in which they are painted, later over earlier, each with the
            number of its class; what no part covers is class 0.
    """

    parts: tuple[tuple[str, int], ...]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return 1 + max(number for _, number in self.parts)

    def files(self, label: Path) -> list[Path]:
        """The parts that are in the image; the first part's name if there is none."""
        paths = [self._path(label, part) for part, _ in self.parts]
        return [path for path in paths if path.is_file()] or paths[:1]

    def size(self, label: Path) -> tuple[int, int]:
        """Height and width of the first file; `read` looks at the others."""
        return image_size(self.files(label)[0])

    def read(self, label: Path, window: Window | None = None) -> np.ndarray:
        """The mask (H, W) uint8, or a window of it."""
        mask = None
        for part, number in self.parts:
            path = self._path(label, part)
            if not path.is_file():
                continue
            shown = np.asarray(read_label(path, colors=True, window=window).any(axis=2))
            if mask is None:
                mask = np.zeros(shown.shape, np.uint8)
            _refuse_another_size(path, shown, mask)
            mask[shown] = number
        if mask is None:
            raise InputError(
                f"{self._path(label, self.parts[0][0])} does not exist, nor do the other parts. "
                "Fetch them again."
            )
        return mask

    def _path(self, label: Path, part: str) -> Path:
        return label.with_name(f"{label.name}_{part}.png")


@dataclass(frozen=True)
class SoftMasks(LabelDecoder):
    """A mask of confidences, 0 to 255, for each class; the largest one's class counts.

    A label is named by the folder of its files: ``NAME`` of ``NAME/NAME_lbl00.png`` to
    ``NAME_lbl10.png``. The first of equal confidences counts.

    Args:
        count: Number of classes.
    """

    count: int

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.count

    def files(self, label: Path) -> list[Path]:
        """The file of each class."""
        return [label / f"{label.name}_lbl{number:02}.png" for number in range(self.count)]

    def size(self, label: Path) -> tuple[int, int]:
        """Height and width of the first file; `read` looks at the others."""
        return image_size(self.files(label)[0])

    def read(self, label: Path, window: Window | None = None) -> np.ndarray:
        """The mask (H, W) uint8, or a window of it."""
        parts: list[np.ndarray] = []
        for path in self.files(label):
            parts.append(read_label(path, colors=False, window=window))
            _refuse_another_size(path, parts[-1], parts[0])
        return np.argmax(np.stack(parts), axis=0).astype(np.uint8)


def _refuse_another_size(path: Path, part: np.ndarray, first: np.ndarray) -> None:
    if part.shape == first.shape:
        return
    (height, width), (others, across) = part.shape, first.shape
    raise InputError(
        f"{path} is {width} x {height} pixels, but the parts before it are {across} x {others}. "
        "Fetch the label again."
    )
