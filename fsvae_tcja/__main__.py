"""`python -m fsvae_tcja`, for `torchrun -m fsvae_tcja`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
