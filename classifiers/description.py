"""The language in which networks are written: a line of tokens, one per layer.

| token     | layer                                                                     |
|-----------|---------------------------------------------------------------------------|
| 128C      | Conv3x3 pad 1, batch norm, LIF                                            |
| 64S       | Conv3x3 pad 1, batch norm: the stem of a residual network, no neuron      |
| 128R, 128R/2 | residual block of two Conv3x3 with membrane shortcut; /2 halves H and W |
| TCJA(a,b) | attention in the layer before it, K_C = a, K_T = b                        |
| MP2, AP2  | max, average pooling over 2x2                                             |
| AP->48    | average pooling to 48x48                                                  |
| GAP       | average over space                                                        |
| DP.5      | dropout with p = .5, the same mask at every time step                     |
| FC512     | linear layer; followed by LIF without a bias, else with one               |
| LIF       | neurons: of the linear layer before it, or of a residual network's end    |
| Vote10    | average over groups of 10 neurons                                         |
"""

import re
from typing import NamedTuple

from fsvae_tcja.utils.foreign import brief

PATTERNS = {
    "C": r"(\d+)C",
    "S": r"(\d+)S",
    "R": r"(\d+)R(?:/(\d+))?",
    "TCJA": r"TCJA\((\d+),(\d+)\)",
    "MP": r"MP(\d+)",
    "AP->": r"AP->(\d+)",
    "AP": r"AP(\d+)",
    "GAP": r"GAP",
    "DP": r"DP(0?\.\d+)",
    "FC": r"FC(\d+)",
    "LIF": r"LIF",
    "Vote": r"Vote(\d+)",
}
MOST_DIGITS = 9
WITH_ATTENTION = ("C", "R")
WITH_NEURONS = ("FC", "S", "R")


class Token(NamedTuple):
    """One layer: its kind, a key of PATTERNS, and its numbers; of a layer with attention also (K_C, K_T)."""

    kind: str
    numbers: tuple[float, ...]
    kernels: tuple[int, int] | None = None


def parse(layers: str) -> list[Token]:
    """The tokens of a network; TCJA is joined to the layer before it.

    Raises:
        ValueError: an unknown token, a number below 1, or TCJA or LIF behind a layer that cannot have it.
    """
    tokens: list[Token] = []
    for text in layers.split():
        token = _token(text)
        last = tokens[-1] if tokens else Token("the start", ())
        if token.kind == "LIF" and last.kind not in WITH_NEURONS:
            raise ValueError(f"LIF must follow one of {WITH_NEURONS}, found {last.kind} before it in {brief(layers)}")
        if token.kind != "TCJA":
            tokens.append(token)
        elif last.kind not in WITH_ATTENTION or last.kernels:
            raise ValueError(f"{text} must follow a convolution or residual block without one, in {brief(layers)}")
        else:
            tokens[-1] = last._replace(kernels=(int(token.numbers[0]), int(token.numbers[1])))
    if not tokens:
        raise ValueError("a network needs at least one layer, found none")
    return tokens


def _token(text: str) -> Token:
    for kind, pattern in PATTERNS.items():
        if match := re.fullmatch(pattern, text):
            if any(len(n) > MOST_DIGITS for n in match.groups("") if "." not in n):
                raise ValueError(f"a layer's numbers must be below 10^{MOST_DIGITS}, found {brief(text)}")
            numbers = tuple(float(n) if "." in n else int(n) for n in match.groups() if n is not None)
            if any(n <= 0 for n in numbers):
                raise ValueError(f"a layer's numbers must be above 0, found {text!r}")
            return Token(kind, numbers)
    raise ValueError(
        f"unknown layer {brief(text)}: known are 64C, 64S, 64R, 64R/2, TCJA(4,4), MP2, AP2, AP->48, GAP, DP.5, FC10, "
        "LIF, Vote10; see classifiers/README.md"
    )
