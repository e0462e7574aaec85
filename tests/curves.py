"""Trainings without their picture of curves: drawing it takes longer than to train a tiny network for an epoch."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock


@contextmanager
def undrawn() -> Iterator[None]:
    """No training draws its curves meanwhile, nor leaves their file."""
    with ExitStack() as stack:
        for place in ("fsvae_tcja.vae.train.save_curves", "classifiers.train.save_curves"):
            stack.enter_context(mock.patch(place, autospec=True))  # a wrong call is still an error
        yield
