"""Short error messages for configuration mistakes, from jsonargparse 4.53's nested ones."""

import difflib
import inspect
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from os.path import isfile
from pathlib import Path

import torch.optim
import yaml
from jsonargparse._util import import_object

from lightning_seg import data, heads, inference, losses, networks, tasks
from lightning_seg.errors import InputError

_MARK = re.compile(r"Parser key \"([^\"]+)\":|Problem with given class_path '([^']+)':")
_MODULES = (data, heads, inference, losses, networks, tasks, torch.optim)
_SECTIONS = {"data": "--data"} | {
    name: f"--model.{name}" for name in ("network", "auxiliary", "optimization", "inference")
}
# Names that other programs give to settings.
_ADVICE = {
    "--lr": "--model.optimization.lr 0.01",
    "--learning_rate": "--model.optimization.lr 0.01",
    "--optimizer": "--model.optimization.optimizer SGD",
    "--weight_decay": "--model.optimization.optimizer.weight_decay 0.01",
    "--scheduler": "--model.optimization.step_schedule PolynomialLR",
    "--epochs": "--trainer.max_epochs 10",
    "--max_epochs": "--trainer.max_epochs 10",
    "--batch_size": "--data.batch_size 8",
    "--gpus": "--trainer.devices 2",
    "--devices": "--trainer.devices 2",
    "--seed": "--seed_everything 1",
    "--resume": "--ckpt_path last",
    "--output_dir": "--run_dir runs/NAME",
}
_LONGEST = 100  # characters of a value that a message repeats
_FORM_OF_LOSSES = "Name each term: losses: {distance: {prediction: distance, loss: MapL1Loss}}."


def explain(message: str, args: Sequence[str], options: Iterable[str] = ()) -> str:
    """Return one sentence with the option, its value, its place (file:line) and what is expected.

    ``message`` is jsonargparse's, ``args`` the command line, ``options`` all that it could hold.
    """
    if wrong_file := _unreadable_config(args) or _section_as_config(args):
        return wrong_file
    return _short(_explain(message, args, options), 5 * _LONGEST)


def _explain(message: str, args: Sequence[str], options: Iterable[str]) -> str:
    if unknown := re.search(r"unrecognized arguments: ([^\s=]+)", message, re.IGNORECASE):
        if advice := _ADVICE.get(unknown[1]):
            return f"there is no option {unknown[1]}. Use {advice}, for example."
        near = _nearest(unknown[1], options)
        return f"there is no option {_short(unknown[1])}.{near}"
    if unknown := re.search(r"Subcommand '\w+' does not accept option '([^']+)'", message):
        near = _nearest(unknown[1], (option.removeprefix("--") for option in options))
        return f"there is no setting {unknown[1]}{_line_of(unknown[1], args)}.{near}"
    keys, owner, text = _innermost(message)
    options_given = {arg.partition("=")[0] for arg in args}
    if keys[:1] == ["data"] and not options_given & {"--config", "-c", "--data"}:
        return (
            "no configuration is given, so the settings of data belong to no class. Add "
            "--config FILE.yaml, such as --config folder/unet, or --data data/NAME."
        )
    path = f"{'.'.join(keys)}: " if keys else ""
    if refused := re.search(
        r"(?:Option|[Kk]ey) '([^'.]+)[^']*' is not (?:accepted|expected)", text
    ):
        name, made = refused[1], re.search(r"class_path='([^']+)'", text)
        owner = made[1] if made else owner
        known = inspect.signature(import_object(owner)).parameters if owner else {}
        place = f"{owner.rpartition('.')[2]}{_line_of(name, args)}"
        if "step_schedule" in keys and name in known:
            return (
                f"{path}{place} cannot be a step_schedule, which is called with (optimizer, number "
                f"of steps): its second argument is {list(known)[1]}. Use it as epoch_schedule, "
                "with settings in epochs."
            )
        if name in known:
            return f"{path}{name!r} of {place} is not a setting: the program passes it. Remove it."
        near = _nearest(name, known)
        return f"{path}{name!r} is not a setting of {place}.{near}"
    if missing := re.search(r"the following arguments are required: (.+)", text):
        if keys:
            return f"{path}{owner.rpartition('.')[2]} needs {missing[1]}."
        names = re.sub(r"\w+\.", "", missing[1]).replace(", ", " and ")
        return f"{names} must be given, in a file (--config FILE.yaml) or as options."
    if owner.endswith((".yaml", ".yml")):
        return f"{path}there is no file {owner}."
    given = re.search(r"(?:Got|Given|string)(?: value)?: (.+?)(?:\. Got value: .*)?$", text, re.M)
    if not keys or not given:
        return path + " ".join(text.split())
    if keys[-1] == "losses" and given[1].startswith("[{'loss'"):
        return f"{path}lists by prediction are the form before 0.2. {_FORM_OF_LOSSES}"
    if named := re.search(r"class_path(?:['\"]?[=:] ?|', val=)['\"]([^'\"]+)", given[1]):
        return (
            f"{path}{_short(named[1])} cannot be used here"
            f"{_line_of(keys[-1], args)}. Give the class path of another."
        )
    classes = [name for module in _MODULES for name in module.__all__ if name[0].isupper()]
    near = _nearest(given[1], classes) if "import path string" in text else ""
    got = "null" if given[1] == "None" else _short(given[1])
    return f"{path}expected {_expected(text)}, but got {got!r}{_line_of(keys[-1], args)}.{near}"


def first_cause(error: BaseException) -> str:
    """Return the message of the original error, without jsonargparse's additions."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    ours: list[BaseException] = [e for e in chain if isinstance(e, InputError)]
    return str((ours or [e for e in chain if isinstance(e, ValueError)])[-1])


def _short(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[:longest]} ..."


def _innermost(message: str) -> tuple[list[str], str, str]:
    """Return keys, class and text of the most deeply nested problem.

    Of several types that a setting admits, the intended one is parsed furthest.
    """
    stack: list[tuple[int, str, str]] = []
    problems: dict[tuple[tuple[int, str, str], ...], list[str]] = {(): []}
    for line in filter(str.strip, message.splitlines()):
        indent, rest = len(line) - len(line.lstrip()), line.strip()
        stack = [mark for mark in stack if mark[0] < indent]
        while mark := _MARK.search(rest):
            stack.append((indent, mark[1] or "", mark[2] or ""))
            rest = rest[mark.end() :].strip()
        if rest:
            problems.setdefault(tuple(stack), []).append(rest)
    place = max(problems, key=len)
    owners = [owner for _, _, owner in place if owner]
    keys = [key for _, key, _ in place if key]
    return keys, owners[-1] if owners else "", "\n".join(dict.fromkeys(problems[place]))


def _expected(text: str) -> str:
    kinds: list[str] = []
    for kind in re.findall(r"Expected an? (?!path but)(.+?)(?:\. Got value.*)?$", text, re.M):
        if literal := re.fullmatch(r"typing\.Literal\[(.*)\]", kind):
            kinds += literal[1].replace("'", "").split(", ")
        elif "import path" in kind:
            kinds.append("a class")
        else:
            kinds.append(re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", kind))
    return " or ".join(dict.fromkeys(kinds)).replace("NoneType", "null") or "something else"


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(dict.fromkeys(known)), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _line_of(path: str, args: Sequence[str]) -> str:
    """Return `` (file:line)`` of a key that occurs once in the files, and not in the options."""
    key = path.rpartition(".")[2]
    if any(re.split(r"[=+]", arg)[0].endswith((f".{key}", f"--{key}")) for arg in args):
        return ""
    pattern = re.compile(rf"\s*(- )?['\"]?{re.escape(key)}['\"]?\s*:")
    places = [
        f" ({file}:{number})"
        for file in _config_files(args)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
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


def _section_as_config(args: Sequence[str]) -> str | None:
    words = [word for arg in args for word in arg.split("=", 1)]
    for option, word in pairwise(words):
        path = Path(word)
        if option not in ("--config", "-c") or not isfile(path):
            continue
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and "class_path" in content:
            right = _SECTIONS.get(path.parent.name, "the option of its section, such as --data")
            return (
                f"{path} holds one section of a configuration, not a whole one. Give it as "
                f"{right} {path}."
            )
    return None


def _config_files(args: Sequence[str]) -> list[Path]:
    """Return the YAML files named on the command line, and those they include."""
    words = [word for arg in args for word in arg.split("=")]
    queue = [Path(word) for word in words if word.endswith((".yaml", ".yml"))]
    queue += [Path(word) for option, word in pairwise(words) if option in ("--config", "-c")]
    files: list[Path] = []
    for path in queue:
        if isfile(path) and path not in files:
            files.append(path)
            text = path.read_text(encoding="utf-8", errors="replace")
            queue += [Path(path.parent, m) for m in re.findall(r":\s*['\"]?(\S+\.ya?ml)\b", text)]
    return files
