"""Options as they were given: what jsonargparse does to them on the way is undone."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jsonargparse import Namespace, _typehints
from jsonargparse._util import NestedArg


@contextmanager
def faithful_parsing() -> Iterator[None]:
    """Parses what was said, and nothing else.

    - No option of a class is carried over to the class that replaces it, in a later config or
      option. jsonargparse keeps those that the new class happens to accept: AdamW's weight decay
      would silently become SGD's.
    - The value of an option inside another (``--model.optimization.step_schedule null``) is handed
      on as it is. jsonargparse hands on how Python prints it: None, which it then refuses.
    """
    as_namespace = _typehints.subclass_spec_as_namespace
    replaced: dict[str, Callable[..., Any]] = {
        "discard_init_args_on_class_path_change": _discard,
        "subclass_spec_as_namespace": lambda value, previous=None: as_namespace(
            _as_json(value), previous
        ),
    }
    originals = {name: getattr(_typehints, name) for name in replaced}
    try:
        for name, function in replaced.items():
            setattr(_typehints, name, function)
        yield
    finally:
        for name, function in originals.items():
            setattr(_typehints, name, function)


def _discard(parser: Any, previous: Any, value: Any) -> None:
    if previous and "init_args" in previous and previous["class_path"] != value["class_path"]:
        previous["init_args"] = Namespace()


def _as_json(value: Any) -> Any:
    if not isinstance(value, NestedArg) or isinstance(value.val, str):
        return value
    try:
        return NestedArg(value.key, json.dumps(value.val, allow_nan=False))
    except (TypeError, ValueError):  # JSON has no such value
        return value
