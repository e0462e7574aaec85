"""What the samples below share: the model that they look at, and where a picture goes."""

import argparse
from pathlib import Path

from fsvae_tcja import FSVAE


def arguments(about: str, name: str, model: str = "fashion-mnist") -> tuple[FSVAE, Path]:
    """The model, and the picture to write: --model and OUT."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", nargs="?", type=Path, default=Path(name))
    parser.add_argument("--model", default=model, help="pretrained model by name, run folder or checkpoint")
    options = parser.parse_args()
    return FSVAE.from_pretrained(options.model), options.out
