"""What ties checkpoints to their run: run.json holds its id, and the hash of the data that it is trained on.

The id is a hash of all that the weights come from: settings but for their length, data, first weights. Runs of one id
have one course, and their checkpoints are the same.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data import LabelledDataset
from ..utils.atomic import write_json
from ..utils.configuration import to_dict
from .config import TrainerConfig
from .lengthen import LENGTH

FILE = "run.json"
RUN, DATA = "run", "data_sha256"  # keys of run.json and of the metadata of checkpoints


def new(config: TrainerConfig, data: LabelledDataset, notes: Mapping[str, Any]) -> dict[str, str]:
    """The identity of a new run, of which `notes` say from which weights it starts."""
    settings = {name: value for name, value in to_dict(config).items() if name not in LENGTH}
    text = json.dumps([settings, _of_data(data), dict(notes)], sort_keys=True)
    return {RUN: hashlib.sha256(text.encode()).hexdigest()[:16]} | _of_data(data)


def _of_data(data: LabelledDataset) -> dict[str, str]:
    """The hash of all samples and labels, of data sets that have one."""
    found = getattr(data, "content_hash", None)
    return {} if found is None else {DATA: found}


def same_data(metadata: Mapping[str, Any], data: LabelledDataset) -> bool:
    """Whether a checkpoint was trained on just these samples and labels, wherever they lie; False if nobody knows."""
    return DATA in metadata and _of_data(data) == {DATA: metadata[DATA]}


def resumed(folder: Path, checkpoint: Path, metadata: Mapping[str, Any], data: LabelledDataset) -> dict[str, str]:
    """The identity of a run that goes on from a checkpoint; one of a version that knew no ids stays without.

    Raises:
        ValueError: the checkpoint is that of another run, or the data are not those that it was trained on.
    """
    here, there = _read(folder / FILE).get(RUN, metadata.get(RUN)), metadata.get(RUN)
    if here != there:
        raise ValueError(
            f"{checkpoint} belongs to another run ({there or 'of an older version'}, this one is {here}); put its own "
            "back, or start a new run --init-from that file"
        )
    now, before = _of_data(data), metadata.get(DATA)
    if now and before and now[DATA] != before:
        raise ValueError(
            f"{folder} was trained on other data: SHA-256 {before[:16]}..., {data.name} has {now[DATA][:16]}...; "
            "resume it on the same images and labels"
        )
    return ({RUN: there} if there else {}) | ({DATA: before} if before else now)


def _read(file: Path) -> dict[str, Any]:
    """What the file holds; nothing if it is lost or damaged, since the checkpoint knows it too."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write(folder: Path, identity: Mapping[str, str]) -> None:
    """Keep the identity in the run folder."""
    write_json(folder / FILE, dict(identity))
