"""Warnings that are worth one line in a process, however often their cause occurs."""

import logging
from functools import cache


@cache
def warn_once(log: logging.Logger, message: str) -> None:
    """Log the warning, unless the same one was logged before."""
    log.warning(message)
