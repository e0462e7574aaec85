"""Models that come with the package, by name, and models of a hub.

fsvae_tcja/pretrained/NAME/: model.safetensors, a card README.md, and, if any come with it, networks of scores.
"""

import logging
from pathlib import Path

from ..utils.once import warn_once

FOLDER = Path(__file__).resolve().parent.parent / "pretrained"
log = logging.getLogger(__name__)


def names() -> list[str]:
    """Those that come with the package."""
    return sorted(path.name for path in FOLDER.glob("*") if path.is_dir())


def located(path: str | Path, file: str) -> Path:
    """`path` itself where something lies there, else `file` of the pretrained model that is called so.

    Args:
        path: of a file or folder, or the name of a pretrained model.
        file: of that model, such as "model.safetensors".
    """
    given = Path(path)
    if str(path) not in names():
        return given
    packaged = FOLDER / str(path) / file
    if given.exists():
        warn_once(log, f"{path} is the one in this folder, not the pretrained model; rename it to get that")
        return given
    return packaged if packaged.is_file() else given


def fetched(name: str) -> Path:
    """The folder of a model on the Hugging Face hub, "owner/name", downloaded on its first use.

    Raises:
        ModuleNotFoundError: without huggingface_hub, which the extra `hub` installs.
        ValueError: no such model there, or no connection.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"there is no {name} here; a model of that name on the Hugging Face hub needs {error.name}: "
            "pip install 'fsvae-tcja[hub]'",
            name=error.name,
        ) from error
    try:
        return Path(snapshot_download(name, allow_patterns=["*.safetensors", "*.md"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ValueError(f"cannot fetch {name} from the hub: {str(error).splitlines()[0]}") from error
