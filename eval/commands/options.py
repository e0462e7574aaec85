"""Options that commands which look at images have in common."""

from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import tyro

from fsvae_tcja.utils.options import DataRoot, Device, Download, Whole

from ..images import ValueRange
from ..networks import NETWORKS
from ..protocols import PROTOCOLS

Range = Annotated[ValueRange | None, tyro.conf.arg(metavar=f"{{{','.join(get_args(ValueRange))}}}")]
NetworkFiles = make_dataclass(
    "NetworkFiles",
    [
        *(
            (one.option, Annotated[Path | None, tyro.conf.arg(metavar="FILE", help=one.about)], None)
            for one in NETWORKS.values()
        ),
        ("download", Annotated[bool, tyro.conf.arg(help="Fetch published weights that are nowhere.")], False),
    ],
    frozen=True,
)
"""Options --networks.*, one for each of NETWORKS."""


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """What commands that look at images have in common."""

    protocol: Annotated[str, tyro.conf.arg(help=f"What is fixed: {', '.join(PROTOCOLS)}; see `protocols`.")] = "strict"
    networks: NetworkFiles = field(default_factory=NetworkFiles)  # type: ignore[valid-type]
    """Weights."""
    value_range: Range = None
    """Range of floating point pixels, which have to state it; 8-bit pixels of 0 and 1 are in 0..1."""
    size: Whole = None
    """Size of data sets (None: 32) and folders (None: their own), compared with a run: its own; other images must have
    it. Part of the score."""
    data_root: DataRoot = None
    download: Download = False
    device: Device = "auto"

    @property
    def where(self) -> dict[str, Any]:
        """How images are opened."""
        return {"size": self.size, "root": self.data_root, "download": self.download}
