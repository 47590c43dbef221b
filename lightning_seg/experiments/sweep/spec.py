"""Specification of a sweep, parsed and checked from a YAML file or the command line."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_seg.errors import InputError

STAGES = ("validate", "test")
RESERVED = ("before", "comparison")  # the sweep's own folders
_NAME = re.compile(r"[\w=+-][\w.=+-]*", re.ASCII)

Arguments = tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """One choice of an axis: its additional arguments of fit and evaluation."""

    fit_args: Arguments = ()
    evaluate_args: Arguments = ()


@dataclass(frozen=True)
class Before:
    """A run that others depend on; it runs first, once per choice of the axes ``per``."""

    fit_args: Arguments
    evaluate: tuple[str, ...] = ()
    evaluate_args: Arguments = ()
    per: tuple[str, ...] = ()


@dataclass(frozen=True)
class SweepSpec:
    """A sweep over all combinations of choices and seeds.

    Args:
        sweep_dir: Folder of all runs.
        fit_args: Arguments of every ``lightning-seg fit``, before those of the axes.
        final_args: Arguments of every fit that override those of the axes.
        axes: For each axis its choices by name; folds are the axis ``fold``.
        seeds: Values of ``--seed_everything``.
        evaluate: Stages after a fit: ``validate``, ``test``, both or none.
        ckpt_path: Checkpoint to evaluate: ``best``, ``last`` or a path.
        evaluate_args: Arguments of every evaluation.
        before: Runs that others depend on, by name; ``{NAME}`` in arguments is such a run's folder.
        devices_per_run: Processes per run, each with a device.
        compare: Compare the runs at the end.
        compare_args: Arguments of the comparison.
    """

    sweep_dir: Path
    fit_args: Arguments
    axes: dict[str, dict[str, Choice]]
    final_args: Arguments = ()
    seeds: tuple[int, ...] = (1,)
    evaluate: tuple[str, ...] = ("validate",)
    ckpt_path: str = "best"
    evaluate_args: Arguments = ()
    before: dict[str, Before] | None = None
    devices_per_run: int = 1
    compare: bool = True
    compare_args: Arguments = ()


_KEYS = (
    "sweep_dir", "fit_args", "axes", "grid", "folds", "final_args", "seeds", "evaluate",
    "ckpt_path", "evaluate_args", "before", "devices_per_run", "compare",
)  # fmt: skip


def read_spec(content: Mapping[str, Any]) -> SweepSpec:
    """Parse a mapping with the keys of docs/sweeps.md.

    Raises:
        InputError: If a key or value is invalid, or names are not unique.
    """
    _refuse_other_keys("the sweep", content, _KEYS)
    axes = {
        _name(axis, f"axis {axis}"): _choices(values, f"axes.{axis}")
        for axis, values in _mapping(content.get("axes"), "axes").items()
    }
    for key, values in _mapping(content.get("grid"), "grid").items():
        axis = short_name(key)
        if axis in axes:
            raise InputError(f"grid.{key}: the axis {axis} is already defined. Remove one of them.")
        axes[axis] = _grid(key, values)
    folds = content.get("folds")
    if not (folds is None or folds is False or folds == []):
        axes["fold"] = _folds(folds)
    if "seed" in axes:
        raise InputError("axes.seed: seeds are not an axis. Write seeds: [1, 2, 3].")
    compare = content.get("compare", True)
    return SweepSpec(
        sweep_dir=_sweep_dir(content.get("sweep_dir")),
        fit_args=split_words(content.get("fit_args"), "fit_args"),
        axes=axes,
        final_args=split_words(content.get("final_args"), "final_args"),
        seeds=_seeds(content.get("seeds", [1])),
        evaluate=_stages(content.get("evaluate", "validate"), "evaluate"),
        ckpt_path=_text(content.get("ckpt_path") or "best", "ckpt_path"),
        evaluate_args=split_words(content.get("evaluate_args"), "evaluate_args"),
        before=_before(content.get("before"), axes),
        devices_per_run=_count(content.get("devices_per_run", 1), "devices_per_run"),
        compare=compare is not False,
        compare_args=() if isinstance(compare, bool) else split_words(compare, "compare"),
    )


def split_words(value: Any, where: str) -> Arguments:
    """Split a command line, given as a string or a list of words."""
    if value is None:
        return ()
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise InputError(f"{where}: {value!r} cannot be split into words ({error})") from error
    if isinstance(value, list) and all(isinstance(word, str | int | float) for word in value):
        return tuple(word if isinstance(word, str) else json.dumps(word) for word in value)
    raise InputError(
        f"{where} is {value!r}, but must be command-line arguments: --config FILE --OPTION VALUE"
    )


def short_name(key: str) -> str:
    """Return the last two parts of an option's dotted name: ``line.weight``."""
    parts = [part for part in key.split(".") if part not in ("init_args", "dict_kwargs")]
    return ".".join(parts[-2:])


def grid_values(text: str) -> list[Any]:
    """Parse ``0.1,0.2`` or ``[8,8],[16,16]`` as YAML values."""
    try:
        return list(yaml.safe_load(f"[{text}]"))
    except yaml.YAMLError as error:
        raise InputError(
            f"--grid: {text!r} cannot be read as comma-separated values, such as 0.1,0.2"
        ) from error


def _grid(key: str, values: Any) -> dict[str, Choice]:
    if not isinstance(values, list) or not values:
        raise InputError(f"grid.{key} is {values!r}, but must be a list of values: [0.1, 0.2]")
    found: dict[str, Choice] = {}
    for value in values:
        text = value if isinstance(value, str) else json.dumps(value)
        words = re.sub(r"[^\w.+-]+", "_", text, flags=re.ASCII).strip("_.") or "none"
        name = f"{short_name(key)}={words}"
        if name in found:
            raise InputError(f"grid.{key}: two values are called {name}. Remove one of them.")
        found[name] = Choice((f"--{key}={text}",))
    return found


def _folds(folds: Any) -> dict[str, Choice]:
    if isinstance(folds, int) and not isinstance(folds, bool):
        count = _count(folds, "folds")
        return {
            f"fold{fold}": Choice(("--data.fold", str(fold), "--data.folds", str(count)))
            for fold in range(1, count + 1)
        }
    if isinstance(folds, list):
        found = {
            Path(_text(path, "folds")).stem: Choice(("--config", _text(path, "folds")))
            for path in folds
        }
        if len(found) < len(folds):
            raise InputError(f"folds: two of the files {folds} have the same name. Rename one.")
        return {_name(name, "folds"): choice for name, choice in found.items()}
    return _choices(folds, "folds")


def _choices(values: Any, where: str) -> dict[str, Choice]:
    found = {}
    for name, value in _mapping(values, where).items():
        here = f"{where}.{name}"
        if isinstance(value, Mapping):
            _refuse_other_keys(here, value, ("fit_args", "evaluate_args"))
            choice = Choice(
                split_words(value.get("fit_args"), f"{here}.fit_args"),
                split_words(value.get("evaluate_args"), f"{here}.evaluate_args"),
            )
        else:
            choice = Choice(split_words(value, here))
        found[_name(name, here)] = choice
    if not found:
        raise InputError(f"{where} has no values. Give at least one: NAME: --config FILE.yaml")
    return found


def _before(value: Any, axes: Mapping[str, Any]) -> dict[str, Before]:
    found = {}
    for name, entry in _mapping(value, "before").items():
        here = f"before.{name}"
        entry = entry if isinstance(entry, Mapping) else {"fit_args": entry}
        _refuse_other_keys(here, entry, ("fit_args", "evaluate", "evaluate_args", "per"))
        per = _per(entry.get("per"), f"{here}.per")
        if unknown := [axis for axis in per if axis not in (*axes, "seed")]:
            raise InputError(
                f"{here}.per names {unknown[0]}. Axes are {', '.join((*axes, 'seed'))}."
            )
        found[_name(name, here)] = Before(
            split_words(entry.get("fit_args"), f"{here}.fit_args"),
            _stages(entry.get("evaluate", "none"), f"{here}.evaluate"),
            split_words(entry.get("evaluate_args"), f"{here}.evaluate_args"),
            per,
        )
    return found


def _per(value: Any, where: str) -> tuple[str, ...]:
    axes = value if isinstance(value, list) else [value] if value else []
    return tuple(_text(axis, where) for axis in axes)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where} is {value!r}, but must be a text")
    return value


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{where} is {value!r}, but must map names to values")
    return {str(key): one for key, one in value.items()}


def _name(name: Any, where: str) -> str:
    text = str(name)
    if not _NAME.fullmatch(text) or text in RESERVED:
        raise InputError(
            f"{where}: {text!r} cannot be a name. Use letters, digits and . _ + = - (it names a "
            f"folder), but none of {', '.join(RESERVED)}."
        )
    return text


def _sweep_dir(value: Any) -> Path:
    if not value:
        raise InputError("A sweep needs a folder: --sweep_dir runs/sweeps/NAME.")
    return Path(_text(value, "sweep_dir"))


def _seeds(value: Any) -> tuple[int, ...]:
    given = value if isinstance(value, list) else [value]
    whole = all(isinstance(seed, int) and not isinstance(seed, bool) for seed in given)
    if not given or not whole or min(given) < 0 or len(set(given)) < len(given):
        raise InputError(f"seeds is {value!r}, but must be distinct integers, 0 or more")
    return tuple(given)


def _stages(value: Any, where: str) -> tuple[str, ...]:
    given = value if isinstance(value, list) else [value]
    stages = tuple(stage for stage in given if stage not in (None, "none"))
    if repeated := [stage for stage in stages if stages.count(stage) > 1]:
        raise InputError(f"{where} names {repeated[0]!r} twice. Remove one of them.")
    if unknown := [stage for stage in stages if stage not in STAGES]:
        raise InputError(f"{where} is {unknown[0]!r}, but must be validate, test, both or none")
    return stages


def _count(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{where} is {value!r}, but must be an integer, 1 or more")
    return value


def _refuse_other_keys(where: str, value: Mapping[str, Any], known: tuple[str, ...]) -> None:
    if unknown := [key for key in value if key not in known]:
        raise InputError(f"{where} has no {unknown[0]!r}. It can have {', '.join(known)}.")
