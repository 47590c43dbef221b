"""Short error messages for configuration mistakes, from jsonargparse 4.53's nested ones."""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

_MARK = re.compile(r"Parser key \"([^\"]+)\":|Problem with given class_path '([^']+)':")
_REFUSED = re.compile(r"(?:Option|[Kk]ey) '([^']+)' is not (?:accepted|expected)")
_UNKNOWN = re.compile(r"unrecognized arguments: (\S+)", re.IGNORECASE)
_UNKNOWN_KEY = re.compile(r"Subcommand '\w+' does not accept option '([^']+)'")
_MISSING = re.compile(r"the following arguments are required: (.+)")
_GIVEN = (
    re.compile(r"Expected a dot import path string: (.*)"),
    re.compile(r"Given value: (.+?)(?:\. Got value: Namespace.*)?$", re.MULTILINE),
    re.compile(r"Got value: (.+?)(?:\. Got value: Namespace.*)?$", re.MULTILINE),
)
_CLASS_OF_FACTORY = re.compile(r"Got value: Namespace\(class_path='([^']+)'")
_NOISE = re.compile(
    r"^(Does not validate|Subtypes:|Errors:|- Expected a <class 'NoneType'>|Given value"
    r"|Type collections|- Expected a path but|- Expected a dot import path)"
)
_MODULES = re.compile(r"\b(?:\w+\.)+")
_MOST_NAMES = 12


@dataclass
class _Problem:
    """The messages about one setting: its path, and the class it belongs to."""

    keys: tuple[str, ...] = ()
    owner: str | None = None
    lines: list[str] = field(default_factory=list)

    @property
    def where(self) -> str:
        return f"{'.'.join(self.keys)}: " if self.keys else ""


def explain(message: str, args: Sequence[str], options: Mapping[str, Any] | None = None) -> str:
    """Return one sentence with the value, its place (option, class, file:line) and valid values.

    Covers unknown options and settings, wrong types and classes, missing values and unreadable
    YAML. Other messages are returned on one line.

    Args:
        message: jsonargparse's message.
        args: The command line, to find the configuration files.
        options: All options of the parsers, with their types or None.
    """
    options = options or {}
    if unknown := _UNKNOWN.search(message):
        option = unknown[1].split("=")[0]
        return f"there is no option {option}.{_nearest(option, options)}"
    if unknown := _UNKNOWN_KEY.search(message):
        path = unknown[1]
        near = _nearest(path, [option.removeprefix("--") for option in options])
        return f"there is no setting {path}{_line_of(path.rpartition('.')[2], args)}.{near}"
    if unreadable := _unreadable_config(args):
        return unreadable
    problem = _innermost(message)
    text = "\n".join(problem.lines)
    if refused := _REFUSED.search(text):
        factory = _CLASS_OF_FACTORY.search(text, refused.end())
        return _refusal(refused[1], factory[1] if factory else problem.owner, problem, args)
    if missing := _MISSING.search(text):
        return _omission(missing[1], problem)
    return _wrong_value(problem, text, args, options) or _plain(message)


def _refusal(key: str, owner: str | None, problem: _Problem, args: Sequence[str]) -> str:
    name = key.split(".")[0]
    place = f" of {_short(owner)}" if owner else ""
    hint = _nearest(name, _parameters(owner))
    return f"{problem.where}{name!r} is not a setting{place}{_line_of(name, args)}.{hint}"


def _omission(names: str, problem: _Problem) -> str:
    if problem.owner is not None:
        return f"{problem.where}{_short(problem.owner)} needs {names}."
    names = " and ".join(name.rpartition(".")[2] for name in names.split(", "))
    return f"{names} must be given, in a file (--config FILE.yaml) or as options."


def _wrong_value(
    problem: _Problem, text: str, args: Sequence[str], options: Mapping[str, Any]
) -> str | None:
    given = next((match[1] for form in _GIVEN if (match := form.search(text))), None)
    if given is None or not problem.keys:
        return None
    path = ".".join(problem.keys)
    key = path.rpartition(".")[2]
    hint = _hint(problem.owner, key) if problem.owner else options.get(f"--{path}")
    if hint is None:
        return None
    given = "null" if given == "None" else given
    if problem.keys[-1] == "losses" and given.startswith("[{'loss'"):
        return (
            f"{problem.where}lists of losses by prediction were the format before version 0.2. "
            "Name each term: losses: {distance: {prediction: distance, loss: MapL1Loss}}."
        )
    return (
        f"{problem.where}expected {_accepted(hint)}, but got {given!r}{_line_of(key, args)}."
        f"{_classes_like(given, hint)}"
    )


def _classes_like(given: str, hint: Any) -> str:
    """Suggest the closest class names that a type admits, or all if there are few."""
    roots = [root for root in _component_classes(hint) if root.__subclasses__()]
    names = sorted({c.__name__ for root in roots for c in _subclasses(root)})
    if near := _nearest(given, names):
        return near
    return f" Available: {', '.join(names)}." if 0 < len(names) <= _MOST_NAMES else ""


def _plain(message: str) -> str:
    lines = [_MARK.sub(r"\1\2:", line.strip()) for line in message.splitlines()]
    return " ".join(line for line in lines if line and not _NOISE.match(line))


def _innermost(message: str) -> _Problem:
    """Return the most deeply nested problem, the first of several.

    If a setting admits several types, jsonargparse reports an error for each. The intended type is
    the one it could parse furthest.
    """
    outermost = _Problem()
    stack, deepest, depth = [(-1, outermost)], outermost, 0
    for line in message.splitlines():
        indent = len(line) - len(line.lstrip())
        while stack[-1][0] >= indent and line.strip():
            stack.pop()
        rest = line.strip()
        while mark := _MARK.search(rest):
            above = stack[-1][1]
            key, owner = mark.groups()
            keys = (*above.keys, key) if key else above.keys
            factory = _CLASS_OF_FACTORY.search(message) if "expects a function" in rest else None
            inner = _Problem(keys, owner or (factory[1] if factory else above.owner))
            stack.append((indent, inner))
            rest = rest[mark.end() :].strip()
        if rest:
            stack[-1][1].lines.append(rest)
            if len(stack) > depth:
                deepest, depth = stack[-1][1], len(stack)
    return deepest


def _short(class_path: str | None) -> str:
    return (class_path or "").rpartition(".")[2]


def _class(class_path: str | None) -> Any:
    module, _, name = (class_path or "").rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None


def _parameters(class_path: str | None) -> list[str]:
    try:
        return list(inspect.signature(_class(class_path)).parameters)
    except (TypeError, ValueError):
        return []


def _hint(class_path: str, parameter: str) -> Any:
    try:
        return get_type_hints(_class(class_path).__init__).get(parameter)
    except (AttributeError, NameError, TypeError):
        return None


def _accepted(hint: Any) -> str:
    """Return the values that a type admits, in words."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        kinds = (kind for arg in args for kind in _accepted(arg).split(" or "))
        return " or ".join(dict.fromkeys(kinds))
    if origin is Literal:
        return " or ".join(map(str, args))
    if origin is Callable:
        return _accepted(args[-1])
    if hint in (None, NoneType):
        return "null"
    return hint.__name__ if inspect.isclass(hint) and not args else _MODULES.sub("", str(hint))


def _is_component(hint: Any) -> bool:
    return inspect.isclass(hint) and hint.__module__ not in ("builtins", "typing", "pathlib")


def _component_classes(hint: Any) -> Iterator[type]:
    """Yield the base classes in a type."""
    args = get_args(hint)
    if get_origin(hint) is Callable:
        args = args[-1:]
    for arg in args:
        yield from _component_classes(arg)
    if not args and _is_component(hint):
        yield hint


def _subclasses(root: type) -> Iterator[type]:
    """Yield all public, concrete subclasses."""
    derived: type
    for derived in root.__subclasses__():
        if not inspect.isabstract(derived) and not derived.__name__.startswith("_"):
            yield derived
        yield from _subclasses(derived)


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(dict.fromkeys(known)), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _line_of(key: str, args: Sequence[str]) -> str:
    """Return `` (file:line)`` of a key in the configuration files, if it is unambiguous.

    Return an empty string if several lines have the key, or if the command line sets it.
    """
    given = {re.split(r"[=+]", arg)[0].rpartition(".")[2] for arg in args if arg.startswith("--")}
    if key in given or f"--{key}" in given:
        return ""
    pattern = re.compile(rf"\s*(- )?['\"]?{re.escape(key)}['\"]?\s*:")
    places = [
        f" ({path}:{number})"
        for path in _config_files(args)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.match(line)
    ]
    return places[0] if len(places) == 1 else ""


def _unreadable_config(args: Sequence[str]) -> str | None:
    for path in _config_files(args):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            return f"{path} cannot be read as YAML: {' '.join(str(error).split())}."
        if not isinstance(content, dict):
            return f"{path} has no settings (KEY: VALUE)."
    return None


def _config_files(args: Sequence[str]) -> list[Path]:
    """Return the YAML files named on the command line, and those they include."""
    words = [word for arg in args for word in arg.split("=")]
    queue = [Path(word) for word in words if word.endswith((".yaml", ".yml"))]
    queue += [Path(word) for option, word in pairwise(words) if option in ("--config", "-c")]
    files: list[Path] = []
    while queue:
        path = queue.pop(0)
        if path.is_file() and path not in files:
            files.append(path)
            text = path.read_text(encoding="utf-8", errors="replace")
            included = re.findall(r":\s*['\"]?(\S+\.ya?ml)\b", text)
            queue += [Path(path.parent, name) for name in included]
    return files
