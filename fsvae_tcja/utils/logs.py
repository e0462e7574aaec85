"""Warnings that are given once."""

import logging
from functools import cache


@cache
def warn_once(logger: logging.Logger, message: str) -> None:
    """Log a warning; the same message to the same logger is not repeated in this process."""
    logger.warning(message)
