"""Corrections to how jsonargparse merges options."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, get_args, get_origin

from jsonargparse import Namespace, _typehints
from jsonargparse._util import NestedArg

from lightning_seg.losses import WeightedLoss


@contextmanager
def faithful_parsing() -> Iterator[None]:
    """Parse options exactly as given.

    - When a later config or option replaces a class, the old class's options are dropped.
      jsonargparse keeps those that the new class accepts: AdamW's weight decay would silently
      become SGD's.
    - The losses of a file replace all earlier ones. jsonargparse merges terms of the same name, so
      a method would inherit the class weights of the experiment's cross entropy. An option
      (``--model.losses.line.weight 0.5``) still changes one setting of one term.
    - The value of a nested option (``--model.optimization.step_schedule null``) is passed on as
      JSON. jsonargparse passes on its Python form, None, and then rejects it.
    - ``null`` in a list of names is the name, such as of a class, and not YAML's nothing.
    """
    as_namespace, adapt = _typehints.subclass_spec_as_namespace, _typehints.adapt_typehints
    replaced: dict[str, Callable[..., Any]] = {
        "discard_init_args_on_class_path_change": _discard,
        "subclass_spec_as_namespace": lambda value, previous=None: as_namespace(
            _as_json(value), previous
        ),
        "adapt_typehints": partial(_adapt, adapt),
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


def _adapt(adapt: Callable[..., Any], value: Any, typehint: Any, *args: Any, **kwargs: Any) -> Any:
    is_losses = get_origin(typehint) is dict and WeightedLoss in get_args(get_args(typehint)[-1])
    if is_losses and isinstance(value, dict):
        kwargs["prev_val"] = None
    if get_origin(typehint) in (list, Sequence) and get_args(typehint) == (str,):
        value = ["null" if v is None else v for v in value] if isinstance(value, list) else value
    return adapt(value, typehint, *args, **kwargs)


def _as_json(value: Any) -> Any:
    if not isinstance(value, NestedArg) or isinstance(value.val, str):
        return value
    try:
        return NestedArg(value.key, json.dumps(value.val, allow_nan=False))
    except (TypeError, ValueError):  # not representable in JSON
        return value
