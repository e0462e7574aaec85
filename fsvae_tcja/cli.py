"""The program fsvae-tcja: a table of its commands, each looked up when it is called, so that the list costs nothing.

This is the roof: it may name every package, and nothing below it may.
"""

from collections.abc import Sequence

from .utils.program import Command, Program

PROGRAM = Program(
    "fsvae-tcja",
    {
        "train": Command(
            "fsvae_tcja.commands.train:main",
            "Train an FSVAE: `train PRESET [options]`, or `train --resume RUN`.",
            "fsvae_tcja.vae.presets:PRESETS",
        ),
        "sample": Command(
            "fsvae_tcja.commands.sample:main",
            "Draw images from a checkpoint: a grid, an .npz, or a folder of PNG files.",
            "fsvae_tcja.commands.inputs:PRETRAINED",
        ),
        "reconstruct": Command(
            "fsvae_tcja.commands.reconstruct:main",
            "Reconstruct images of a data set or folder, and print the error.",
            "fsvae_tcja.commands.inputs:PRETRAINED",
        ),
        "energy": Command(
            "fsvae_tcja.commands.energy:main",
            "Energy and firing, per image drawn and reconstructed, against the ANN VAE.",
            "fsvae_tcja.commands.inputs:PRETRAINED",
        ),
        "ablate": Command(
            "fsvae_tcja.commands.ablate:main", "A study: settings x seeds on one budget, and one table of them all."
        ),
        "interpolate": Command(
            "fsvae_tcja.commands.interpolate:main",
            "Draw images on the way from one code to another.",
            "fsvae_tcja.commands.inputs:PRETRAINED",
        ),
        "complete": Command(
            "fsvae_tcja.commands.complete:main",
            "Keep the first part of the codes of images and draw the rest.",
            "fsvae_tcja.commands.inputs:PRETRAINED",
        ),
        "publish": Command(
            "fsvae_tcja.commands.publish:main", "The model of a run and a card, in a folder to hand on."
        ),
        "report": Command("fsvae_tcja.commands.report:main", "A run as one HTML page, or several side by side."),
        "score": Command("eval.commands.score:main", "Score a checkpoint, a folder, an array or a data set."),
        "eval": Command("eval.cli:main", "Scores, their references, comparisons and networks.", "eval.cli:PROGRAM"),
        "classify": Command(
            "classifiers.cli:main", "Spiking classifiers: classify train, evaluate, predict.", "classifiers.cli:PROGRAM"
        ),
        "import": Command(
            "fsvae_tcja.commands.importing:main",
            "Files of the FSVAE authors as ours: models, autoencoders, statistics.",
        ),
        "export": Command(
            "fsvae_tcja.commands.exporting:main",
            "A checkpoint of ours for another program.",
            "fsvae_tcja.commands.inputs:PRETRAINED",
        ),
        "info": Command(
            "fsvae_tcja.commands.info:main",
            "What is in a checkpoint: configuration, parameters, training.",
            "fsvae_tcja.commands.inputs:PRETRAINED",
        ),
        "doctor": Command("fsvae_tcja.commands.doctor:main", "Versions, devices, backends and why, data found."),
        "completion": Command(
            "fsvae_tcja.cli:completion",
            "Print a script that completes commands in bash or zsh.",
            "fsvae_tcja.utils.completion:SHELLS",
        ),
    },
)


def completion(args: list[str]) -> int:
    """`fsvae-tcja completion SHELL`."""
    from .utils.completion import CompletionOptions, script
    from .utils.options import parse

    print(script(PROGRAM, parse(CompletionOptions, "fsvae-tcja completion", args).shell), end="")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit status, see utils/program.py."""
    return PROGRAM.main(argv)
