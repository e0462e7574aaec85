"""The commands of fsvae-tcja eval, which `python -m eval` runs too."""

from fsvae_tcja.utils.program import Command, Program

PROGRAM = Program(
    "fsvae-tcja eval",
    {
        "score": Command("eval.commands.score:main", "Score a checkpoint, a folder, an array or a data set."),
        "compare": Command("eval.commands.compare:main", "Compare the scores in files, such as of several generators."),
        "reference": Command("eval.commands.reference:main", "Make statistics of reference images, to score against."),
        "protocols": Command("eval.commands.protocols:main", "Show what each protocol fixes."),
        "train-fad": Command("eval.commands.train:fad", "Train the autoencoder of the FAD."),
        "train-classifier": Command("eval.commands.train:classifier", "Train the classifier of the domain scores."),
    },
)


def main(args: list[str]) -> int:
    """`fsvae-tcja eval COMMAND`, `python -m eval COMMAND`; returns the exit status, 2 for wrong input."""
    return PROGRAM.main(args)
