"""Where the data sets lie."""

import os
from pathlib import Path

ROOT_VARIABLE = "FSVAE_TCJA_DATA"


def data_root(path: str | Path | None = None) -> Path:
    """The folder of the data sets: `path`, else $FSVAE_TCJA_DATA, else ./data."""
    return Path(path or os.environ.get(ROOT_VARIABLE) or "data").expanduser()
