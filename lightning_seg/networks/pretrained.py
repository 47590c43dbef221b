"""Whether weights are read from elsewhere when a model is built."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_wanted: ContextVar[bool] = ContextVar("pretrained_weights_wanted", default=True)


@contextmanager
def no_pretrained_weights() -> Iterator[None]:
    """Within it nothing reads pretrained weights: a checkpoint is about to fill them anyway."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


def pretrained_weights_wanted() -> bool:
    """False within `no_pretrained_weights`."""
    return _wanted.get()
