"""fsvae-tcja score: scores of a checkpoint, a folder, an array or a data set."""

from ..core.memory import keep_freed_memory
from ..utils.options import parse
from ..utils.program import check_not_hidden


def main(args: list[str]) -> int:
    """What `python -m eval score` does, and checkpoints."""
    if "--while-training" in args:
        raise ValueError("scores while training are asked of `fsvae-tcja train PRESET --score-every EPOCHS ...`")
    check_not_hidden("eval")
    from ..scoring import ScoreCheckpoint

    keep_freed_memory()
    parse(ScoreCheckpoint, "fsvae-tcja score", args).run()
    return 0
