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
    """A binary mask for each part; a part that is absent from the image has no file.

    The path of a label is the common prefix of its files: ``a/00007`` for ``a/00007_skin.png``.

    Args:
        parts: The parts in painting order, later over earlier, each with its class index. Pixels
            without a part are class 0.
    """

    parts: tuple[tuple[str, int], ...]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return 1 + max(number for _, number in self.parts)

    def files(self, label: Path) -> list[Path]:
        """Return the existing files; if there is none, the path of the first part."""
        paths = [self._path(label, part) for part, _ in self.parts]
        return [path for path in paths if path.is_file()] or paths[:1]

    def size(self, label: Path) -> tuple[int, int]:
        """Return the height and width of the first file; `read` checks the rest."""
        return image_size(self.files(label)[0])

    def read(self, label: Path, window: Window | None = None) -> np.ndarray:
        """Read the mask (H, W) uint8, or a window of it."""
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
                "Download them again."
            )
        return mask

    def _path(self, label: Path, part: str) -> Path:
        return label.with_name(f"{label.name}_{part}.png")


@dataclass(frozen=True)
class SoftMasks(LabelDecoder):
    """A confidence mask (0 to 255) for each class; a pixel belongs to the most confident class.

    The path of a label is the folder of its files: ``NAME`` for ``NAME/NAME_lbl00.png`` to
    ``NAME_lbl10.png``. Ties go to the lower class.

    Args:
        count: Number of classes.
    """

    count: int

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.count

    def files(self, label: Path) -> list[Path]:
        """Return the file of each class."""
        return [label / f"{label.name}_lbl{number:02}.png" for number in range(self.count)]

    def size(self, label: Path) -> tuple[int, int]:
        """Return the height and width of the first file; `read` checks the rest."""
        return image_size(self.files(label)[0])

    def read(self, label: Path, window: Window | None = None) -> np.ndarray:
        """Read the mask (H, W) uint8, or a window of it."""
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
        "Download the label again."
    )
