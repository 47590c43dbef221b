"""One clear sentence out of jsonargparse's nested error messages."""

import difflib
import inspect
import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path

_NOISE = re.compile(
    r"^(Does not validate|Subtypes:|Errors:|- Expected a <class 'NoneType'>|Given value"
    r"|- Expected a path but|- Expected a dot import path)"
)


def explain(message: str, args: Sequence[str], options: Iterable[str] = ()) -> str:
    """Says what was given, where (option, class, file and line) and what was expected.

    Args:
        message: jsonargparse's own message.
        args: The command line, to find the configuration files.
        options: Every option the parsers know, for the nearest one.
    """
    unknown = re.search(r"unrecognized arguments: (\S+)", message, re.IGNORECASE)
    if unknown:
        option = unknown[1].split("=")[0]
        return f"there is no option {option}.{_nearest(option, options)}"
    refused = re.search(r"(?:Option|[Kk]ey) '([^']+)' is not (?:accepted|expected)", message)
    where = _where(message if refused is None else message[: refused.end()])
    if refused:
        key = refused[1]
        owner = _owner(message, refused.end())
        place = f" of {owner.rsplit('.', 1)[-1]}" if owner else ""
        hint = _nearest(key, _parameters(owner))
        return f"{where}{key!r} is not a setting{place}{_line_of(key, args)}.{hint}"
    wanted = re.search(r"Expected an? <class '([^']+)'>\.? ?Got value: (.*)", message)
    if wanted is None:
        types = [t for t in re.findall(r"Expected a <class '([^']+)'>", message) if t != "NoneType"]
        given = re.search(r"Given value: (.+?)(?:\. Got value|$)", message, re.MULTILINE)
        wanted_text = (types[0], given[1]) if types and given else None
    else:
        wanted_text = (wanted[1], wanted[2])
    if wanted_text:
        kind, value = wanted_text
        key = where.rstrip(": ").rsplit(".", 1)[-1]
        return f"{where}expected {kind}, but got {value!r}{_line_of(key, args)}."
    lines = [line.strip() for line in message.splitlines()]
    kept = [line for line in lines if line and not _NOISE.match(line)]
    return " ".join(kept)


def _where(message: str) -> str:
    keys = re.findall(r'Parser key "([^"]+)":', message)
    return f"{'.'.join(keys)}: " if keys else ""


def _owner(message: str, end: int) -> str | None:
    """The class that refused an option: named right behind the refusal, else last before it."""
    behind = re.match(r"\.? Got value: Namespace\(class_path='([^']+)'", message[end:])
    before = re.findall(r"Problem with given class_path '([^']+)'", message[:end])
    return behind[1] if behind else before[-1] if before else None


def _parameters(class_path: str | None) -> list[str]:
    if class_path is None or "." not in class_path:
        return []
    module, name = class_path.rsplit(".", 1)
    try:
        return list(inspect.signature(getattr(import_module(module), name)).parameters)
    except (ImportError, AttributeError, TypeError, ValueError):
        return []


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _line_of(key: str, args: Sequence[str]) -> str:
    """`` (file:line)`` of the key in the configuration files; none if it stands at several."""
    pattern = re.compile(rf"\s*(- )?['\"]?{re.escape(key)}['\"]?\s*:")
    found = [
        f" ({path}:{number})"
        for path in _config_files(args)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.match(line)
    ]
    return found[0] if len(found) == 1 else ""


def _config_files(args: Sequence[str]) -> list[Path]:
    """The YAML files named in the command line, and those they include."""
    words = [word for arg in args for word in arg.split("=")]
    queue = [Path(word) for word in words if word.endswith((".yaml", ".yml"))]
    found: list[Path] = []
    while queue:
        path = queue.pop(0)
        if path.is_file() and path not in found:
            found.append(path)
            included = re.findall(r":\s*['\"]?(\S+\.ya?ml)\b", path.read_text(encoding="utf-8"))
            queue += [Path(path.parent, name) for name in included]
    return found
