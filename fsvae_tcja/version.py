"""The version of the installed package; it is written in pyproject.toml only."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("fsvae-tcja")
except PackageNotFoundError:  # imported from a checkout that is not installed
    __version__ = "unknown"
