"""Trainings without their picture of curves: drawing it takes longer than to train a tiny network for an epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock


@contextmanager
def undrawn() -> Iterator[None]:
    """No training draws its curves meanwhile, nor leaves their file."""
    with mock.patch("fsvae_tcja.vae.train.save_curves"), mock.patch("classifiers.train.save_curves"):
        yield
