"""Divides names into train, val and test: by shares, or by the person's own lists."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from lightning_seg.data.reading.image_files import IMAGE_SUFFIXES
from lightning_seg.errors import InputError

SPLITS = ("train", "val", "test")


def split_by_fractions(
    names: Iterable[str], fractions: tuple[float, float, float], seed: int
) -> dict[str, list[str]]:
    """Divides names by shares for train, val and test that sum to 1.

    A name's place follows from its own hash and the seed, so the order in which a file system
    lists files, and the machine, change nothing. A share above 0 gets at least one name if there
    are three or more.

    Raises:
        InputError: A share is negative, or they do not sum to 1.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(
            f"fractions are {list(fractions)}, but the shares of train, val and test must be 0 or "
            "more and sum to 1."
        )
    shuffled = sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    _, val, test = _counts(len(shuffled), fractions)
    return {
        "val": sorted(shuffled[:val]),
        "test": sorted(shuffled[val : val + test]),
        "train": sorted(shuffled[val + test :]),
    }


def _counts(total: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers in these shares, by the largest remainders."""
    exact = [total * fraction for fraction in fractions]
    counts = [int(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: counts[index] - exact[index])
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    if total >= len(fractions):
        for index, fraction in enumerate(fractions):
            if fraction and not counts[index]:
                counts[counts.index(max(counts))] -= 1
                counts[index] = 1
    return counts


def split_by_lists(names: Collection[str], lists: Mapping[str, Path]) -> dict[str, list[str]]:
    """Divides names by text files that hold one name a line, with or without an image suffix.

    Args:
        names: All names there are.
        lists: The text file of each split.

    Raises:
        InputError: A file is missing, names what is not there, or names what was already named.
    """
    places: dict[str, str] = {}
    result: dict[str, list[str]] = {}
    for split, path in lists.items():
        result[split] = []
        for place, name in _lines(path):
            if name not in names:
                raise InputError(
                    f"{place} names {name}, but there is no such image. Correct the list, or add "
                    "the image."
                )
            if name in places:
                raise InputError(
                    f"{place} names {name}, which {places[name]} names already. An image must be "
                    "in one split, once."
                )
            places[name] = place
            result[split].append(name)
    return result


def listed_names(path: Path, mend: str) -> list[str]:
    """The lines of a text file that are not blank, without spaces around them.

    Args:
        path: The file.
        mend: What to tell the person when it is missing.

    Raises:
        InputError: The file is missing.
    """
    if not path.is_file():
        raise InputError(f"The list {path.absolute()} does not exist. {mend}")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [line.strip().replace("\\", "/") for line in lines if line.strip()]


def refuse_shared(kind: str, lists: Mapping[str, Sequence[str]]) -> None:
    """Refuses a name that is listed more than once.

    Args:
        kind: What the names are names of, such as "Tile".
        lists: The names by what lists them.

    Raises:
        InputError: One is.
    """
    places: dict[str, str] = {}
    for place, names in lists.items():
        for name in names:
            if name in places:
                raise InputError(
                    f"{kind} {name} is listed more than once: in {places[name]} and in {place}. "
                    "Keep it in one list, once."
                )
            places[name] = place


def _lines(path: Path) -> Iterable[tuple[str, str]]:
    if not path.is_file():
        raise InputError(f"The list {path.absolute()} does not exist. Correct its path.")
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        if Path(name).suffix.lower() in IMAGE_SUFFIXES:
            name = Path(name).with_suffix("").as_posix()
        yield f"{path}, line {number},", name
