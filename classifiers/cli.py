"""The commands of fsvae-tcja classify."""

from fsvae_tcja.utils.program import Command, Program

PROGRAM = Program(
    "fsvae-tcja classify",
    {
        "train": Command(
            "classifiers.commands.train:main",
            "Train a classifier: `train PRESET [options]`, or `train --resume RUN`.",
            "classifiers.presets:PRESETS",
        ),
        "evaluate": Command(
            "classifiers.commands.evaluate:main", "Accuracy, confusion, firing, energy and gates of a checkpoint."
        ),
        "predict": Command("classifiers.commands.predict:main", "Name the class of image files or event recordings."),
    },
)


def main(args: list[str]) -> int:
    """`fsvae-tcja classify COMMAND`; returns its exit status.

    Raises:
        ValueError: an unknown command, or what the command refuses.
    """
    return PROGRAM.run(args)
