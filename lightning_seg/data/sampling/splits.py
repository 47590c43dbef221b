"""Splits of names into train, val and test, by fractions or by lists."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from lightning_seg.data.reading.image_files import IMAGE_SUFFIXES
from lightning_seg.data.reading.text_lists import plain_name, read_lines
from lightning_seg.errors import InputError

SPLITS = ("train", "val", "test")


def split_by_fractions(
    names: Iterable[str], fractions: tuple[float, float, float], seed: int
) -> dict[str, list[str]]:
    """Split names by fractions for train, val and test that sum to 1.

    The order follows from a hash of the name and the seed, so the split is the same on every
    machine and file system. With three or more names, a fraction above 0 gets at least one.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(
            f"fractions are {list(fractions)}, but the fractions of train, val and test must be "
            "0 or more and sum to 1."
        )
    shuffled = _shuffled(names, seed)
    _, val, test = _counts(len(shuffled), fractions)
    return {
        "val": sorted(shuffled[:val]),
        "test": sorted(shuffled[val : val + test]),
        "train": sorted(shuffled[val + test :]),
    }


def split_by_fold(
    groups: Mapping[str, Sequence[str]],
    fold: int,
    folds: int,
    fractions: tuple[float, float, float],
    seed: int,
) -> dict[str, list[str]]:
    """Split groups of names by holding out one of several folds.

    The fold is for test, and a share of the other groups for validation as ``fractions`` of train
    and val ask; if the fraction of test is 0, the fold is for validation. Each group is in one
    fold, and folds have about the same number of names. Like `split_by_fractions`, the folds
    depend on nothing but names and seed.

    Args:
        groups: Names by group.
        fold: Number of the fold, from 1 on.
        folds: Number of folds.
        fractions: Fractions of train, val and test.
        seed: Seed of the random order.
    """
    if len(groups) < folds:
        raise InputError(
            f"folds is {folds}, but there are only {len(groups)} images or groups of images to "
            "divide. Set folds to fewer."
        )
    held: list[list[str]] = [[] for _ in range(folds)]
    sizes = [0] * folds
    for group in _shuffled(groups, seed):
        smallest = sizes.index(min(sizes))
        held[smallest].append(group)
        sizes[smallest] += len(groups[group])
    own = sorted(held[fold - 1])
    rest = sorted(groups.keys() - set(own))
    train, val, test = fractions
    if not test:
        return {"train": sorted(rest), "val": own, "test": []}
    total = train + val or 1
    return split_by_fractions(rest, (train / total, val / total, 0.0), seed) | {"test": own}


def grouped(names: Iterable[str], pattern: str | None) -> dict[str, list[str]]:
    """Return names by group, which is what a regular expression finds in them; None for no groups.

    Raises:
        InputError: The expression is invalid, or finds nothing in a name.
    """
    if pattern is None:
        return {name: [name] for name in names}
    groups: dict[str, list[str]] = {}
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"group {pattern!r} is not a valid regular expression: {error}."
        ) from error
    for name in names:
        found = expression.search(name)
        if found is None:
            raise InputError(
                f"group {pattern!r} finds nothing in the name {name}. Write a regular expression "
                r"that finds the group of each image, such as '^[^_]+' for what precedes _."
            )
        groups.setdefault(found[0], []).append(name)
    return groups


def _shuffled(names: Iterable[str], seed: int) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def _counts(total: int, fractions: Sequence[float]) -> list[int]:
    """Return whole numbers in these fractions, by the largest-remainder method."""
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


def split_by_lists(
    names: Collection[str], lists: Mapping[str, Path], ending: str, folder: Path
) -> dict[str, list[str]]:
    """Split names by text files with one name per line, with or without an image suffix.

    A line may also name a sub-folder, and thereby all names in it, and may begin with the folders
    that hold the images, as in "images/a.png".

    Args:
        names: All existing names.
        lists: The text file of each split.
        ending: Ending of image names in the lists that ``names`` lack.
        folder: The folder of the images.
    """
    sources: dict[str, str] = {}
    result: dict[str, list[str]] = {}
    for split, path in lists.items():
        result[split] = []
        for source, line in _lines(path):
            named = _named(line, names, ending, folder.absolute().parts)
            if not named:
                raise InputError(
                    f"{source} names {line}, but there is no such image. Correct the list, or add "
                    "the image."
                )
            for name in named:
                if name in sources:
                    raise InputError(
                        f"{source} names {name}, which {sources[name]} names already. An image "
                        "must be in one split, once."
                    )
                sources[name] = source
            result[split] += named
    return result


def _named(line: str, names: Collection[str], ending: str, folders: tuple[str, ...]) -> list[str]:
    """Return the names that a line of a list names: an image, or all in a sub-folder."""
    parts = PurePosixPath(line).parts
    for count in range(len(parts)):
        if count and parts[:count] != folders[-count:]:
            continue
        inside = "/".join(parts[count:])
        for name in (inside, inside.removesuffix(ending.partition(".")[0])):
            if name in names:
                return [name]
        if below := [name for name in names if name.startswith(f"{inside}/")]:
            return below
    return []


def listed_names(path: Path, hint: str) -> list[str]:
    """Return the non-blank lines of a text file, stripped; they must name files inside its folder.

    Args:
        path: The file.
        hint: Advice for the error message if the file is missing.
    """
    return [name for _, name in _named_lines(path, hint)]


def refuse_shared(kind: str, lists: Mapping[str, Sequence[str]]) -> None:
    """Raise if a name is listed more than once.

    Args:
        kind: Kind of the names, such as "Tile".
        lists: The names by list.
    """
    sources: dict[str, str] = {}
    for source, names in lists.items():
        for name in names:
            if name in sources:
                raise InputError(
                    f"{kind} {name} is listed more than once: in {sources[name]} and in {source}. "
                    "Keep it in one list, once."
                )
            sources[name] = source


def _lines(path: Path) -> Iterable[tuple[str, str]]:
    for source, name in _named_lines(path, "Correct its path."):
        has_suffix = Path(name).suffix.lower() in IMAGE_SUFFIXES
        yield source, Path(name).with_suffix("").as_posix() if has_suffix else name


def _named_lines(path: Path, hint: str) -> Iterable[tuple[str, str]]:
    for number, line in enumerate(read_lines(path, hint), start=1):
        source = f"{path}, line {number},"
        if name := plain_name(line, source):
            yield source, name
