import sys

from .cli import PROGRAM

if __name__ == "__main__":
    sys.exit(PROGRAM.main())
