"""Switch for loading pretrained weights when a model is built."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_wanted: ContextVar[bool] = ContextVar("pretrained_weights_wanted", default=True)


@contextmanager
def no_pretrained_weights() -> Iterator[None]:
    """Skip pretrained weights within this context, because a checkpoint will be loaded."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


def pretrained_weights_wanted() -> bool:
    """Return False within `no_pretrained_weights`, else True."""
    return _wanted.get()
