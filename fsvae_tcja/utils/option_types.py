"""Options that several commands have, described once."""

from pathlib import Path
from typing import Annotated

import tyro

Device = Annotated[str, tyro.conf.arg(help="auto, cpu, cuda or mps; auto takes a GPU if there is one.")]
DataRoot = Annotated[
    Path | None, tyro.conf.arg(help="Folder of the data sets; by default $FSVAE_TCJA_DATA, else ./data.")
]
Download = Annotated[bool, tyro.conf.arg(help="Fetch missing sets of images; recordings of events are never fetched.")]
BatchSize = Annotated[int, tyro.conf.arg(help="Inputs per pass; changes memory and speed only.")]
