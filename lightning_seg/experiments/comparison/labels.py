"""Labels of runs, and the settings that define a method, from configurations."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from lightning_seg.experiments.comparison.runs import Run

Settings = dict[str, str]

# Folder with the configurations of methods.
_METHODS = "method"
# Trainer settings that define a method.
_TRAINER = (
    "max_epochs", "max_steps", "accumulate_grad_batches", "gradient_clip_val",
    "gradient_clip_algorithm", "limit_train_batches", "overfit_batches", "sync_batchnorm",
)  # fmt: skip
# Endings of callbacks that only watch.
_WATCHING = ("Checkpoint", "Monitor", "ProgressBar", "Summary", "Panels", "Metrics", "Record")
# Data settings that do not: paths, loading, and the choice of samples in the splits.
_DATA = re.compile(
    r"(root|num_workers|targets_cache|predict_root|eval_batch_size|folds?|group|split_seed|fractions"
    r"|(train|val|test)_(?!transforms)\w+)(\..*)?"
)
# Seed in the path of another run's file, such as the weights of a first stage.
_SEED = re.compile(r"seed_?\d+")
_PLAIN_HEADS = ("ClassificationHead", "PyramidPoolingHead")


def method_label(run: Run) -> str:
    """Return the names of the run's method files, or else of its losses and head."""
    overlays = [Path(path).stem for path in _configs(run) if Path(path).parent.name == _METHODS]
    return "+".join(dict.fromkeys(overlays)) or _losses(run.config) or run.folder.name


def network_label(run: Run) -> str:
    """Return the class of the network, and its encoder if it has one."""
    network = _model(run.config).get("network")
    if not isinstance(network, Mapping):
        return ""
    encoder = _arguments(network).get("encoder")
    parts = [_short(network), encoder if isinstance(encoder, str) else ""]
    return " ".join(filter(None, parts))


def seed(run: Run) -> int | None:
    """Return the seed of the run, or None if unknown."""
    for recorded in (run.config.get("seed_everything"), run.fit.get("seeds", {})):
        value = recorded.get("seed_everything") if isinstance(recorded, Mapping) else recorded
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def settings(run: Run) -> Settings:
    """Return the settings that define the run's method, by dotted name."""
    config = run.config
    trainer, data = config.get("trainer") or {}, config.get("data")
    parts = {
        "model": config.get("model"),
        "trainer": {key: trainer.get(key) for key in _TRAINER}
        | {"callbacks": _callbacks(trainer.get("callbacks"))}
        | {"precision": _precision(trainer.get("precision"))},
        "data": _arguments(data) if isinstance(data, Mapping) else None,
    }
    found = dict(_flat(parts))
    return {key: value for key, value in found.items() if not _is_split(key)}


def split_settings(run: Run) -> Settings:
    """Return the settings that choose the samples of the run's splits."""
    data = run.config.get("data")
    found = dict(_flat(_arguments(data))) if isinstance(data, Mapping) else {}
    chosen = ("fold", "group", "split_seed", "fractions", "train_", "val_", "test_")
    return {k: v for k, v in found.items() if _DATA.fullmatch(k) and k.startswith(chosen)}


def distinctions(groups: Sequence[Settings]) -> list[str]:
    """Return a short text with the differing settings for each of several groups."""
    keys = sorted({key for group in groups for key in group})
    differing = [key for key in keys if len({group.get(key) for group in groups}) > 1]
    return [
        ", ".join(f"{_last(key, differing)} {group.get(key, 'null')}" for key in differing)
        for group in groups
    ]


def _callbacks(given: Any) -> str | None:
    """Return the names and arguments of the trainer's callbacks that may affect training."""
    texts = []
    for one in given if isinstance(given, list) else [given]:
        name = _short(one) if isinstance(one, Mapping) else str(one).rsplit(".", 1)[-1]
        if name.endswith(_WATCHING):
            continue
        arguments = one.get("init_args") if isinstance(one, Mapping) else None
        texts.append(f"{name} {json.dumps(arguments, sort_keys=True)}" if arguments else name)
    return " + ".join(texts) if given and texts else None


def _precision(given: Any) -> str:
    """Return the precision by its long name."""
    name = str(given or 32)
    return f"{name}-{'true' if name in ('32', '64') else 'mixed'}" if "-" not in name else name


def _configs(run: Run) -> list[str]:
    words = [str(word) for word in run.fit.get("command", [])]
    paths = [after for word, after in pairwise(words) if word == "--config"]
    return paths + [w.removeprefix("--config=") for w in words if w.startswith("--config=")]


def _losses(config: Mapping[str, Any]) -> str:
    model = _model(config)
    terms = [text for name, term in _terms(model.get("losses")) if (text := _term(name, term))]
    head = model.get("head")
    shown = _short(head) if isinstance(head, Mapping) else ""
    label = " + ".join(terms)
    return f"{label} ({shown})" if label and shown and shown not in _PLAIN_HEADS else label


def _terms(losses: Any) -> Iterator[tuple[str, Any]]:
    """Yield loss terms by name; for old configurations with lists by prediction, by class."""
    for name, value in losses.items() if isinstance(losses, Mapping) else ():
        if isinstance(value, list):
            for one in value:
                loss = one.get("loss") if isinstance(one, Mapping) else None
                yield _short(loss) if isinstance(loss, Mapping) else name, one
        else:
            yield name, value


def _term(name: str, term: Any) -> str:
    weight = term.get("weight", 1.0) if isinstance(term, Mapping) else None
    if not weight:  # removed, or of weight 0
        return ""
    return name if weight == 1 else f"{weight:g} {name}"


def _model(config: Mapping[str, Any]) -> Mapping[str, Any]:
    model = config.get("model")
    return _arguments(model) if isinstance(model, Mapping) else {}


def _arguments(chosen: Mapping[str, Any]) -> Mapping[str, Any]:
    if "class_path" not in chosen:
        return chosen
    found = chosen.get("init_args")
    return found if isinstance(found, Mapping) else {}


def _short(chosen: Mapping[str, Any]) -> str:
    return str(chosen.get("class_path", "")).rsplit(".", 1)[-1]


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted names and values, without null and empty ones."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            inner = key if name == "init_args" else f"{key}.{name}".lstrip(".")
            yield from _flat(one, inner)
    elif value is not None and value != []:
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        text = _SEED.sub("seed*", text)
        yield key, text.rsplit(".", 1)[-1] if key.endswith("class_path") else text


def _is_split(key: str) -> bool:
    part, _, name = key.partition(".")
    return part == "data" and _DATA.fullmatch(name) is not None


def _last(key: str, among: Sequence[str]) -> str:
    """Return the shortest end of a dotted name that is unique among the names."""
    key = key.removesuffix(".class_path")
    others = [one.removesuffix(".class_path") for one in among]
    parts = key.split(".")
    for count in range(1, len(parts)):
        short = ".".join(parts[-count:])
        if sum(one == short or one.endswith(f".{short}") for one in others) == 1:
            return short
    return key
