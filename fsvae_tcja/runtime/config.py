"""What every training run has: data, length, optimiser."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Literal, Self

from ..utils.spelling import check_choice

Precision = Literal["fp32", "bf16", "fp16"]
Schedule = Literal["constant", "cosine"]


def check_least(config: object, **least: int) -> None:
    """Raise a ValueError unless each of these attributes is at least so large."""
    for name, value in least.items():
        if not getattr(config, name) >= value:
            raise ValueError(f"{name} must be >= {value}, found {getattr(config, name)}")


@dataclass(frozen=True)
class Stage:
    """A part of a training run, with an optimiser of its own: how long, and how fast."""

    epochs: int = 150
    """Passes over the training images."""
    steps: int = 0
    """Optimiser steps, instead of epochs; 0: as many as the epochs have. --steps of a preset with several stages is
    shared by all of them."""
    batch_size: int = 250
    """Images per step; a last smaller batch is left out."""
    lr: float = 1e-3
    """Learning rate of AdamW."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of AdamW's two moments."""
    weight_decay: float = 1e-3
    """Decoupled weight decay of AdamW."""
    schedule: Schedule = "constant"
    """Learning rate over the steps, after the warm-up: constant, or a cosine from lr down to 0 at the last step."""
    warmup: int = 0
    """First steps, over which the learning rate rises linearly to lr."""

    def __post_init__(self) -> None:
        check_least(self, epochs=1, batch_size=1, steps=0, warmup=0, weight_decay=0)
        check_choice("schedule", self.schedule, Schedule)
        if not self.lr > 0:
            raise ValueError(f"lr must be > 0, found {self.lr}")

    def lasting(self, steps: int) -> Self:
        """The same for so many steps; a warm-up takes a fifth of them at most."""
        return replace(self, steps=steps, warmup=min(self.warmup, steps // 5))

    def total_steps(self, steps_per_epoch: int) -> int:
        """Steps of the whole stage."""
        return self.steps or self.epochs * steps_per_epoch

    def total_epochs(self, images: int) -> int:
        """Epochs of the whole stage on so many training images, the last one perhaps not whole."""
        return ceil(self.steps / max(1, images // self.batch_size)) if self.steps else self.epochs


@dataclass(frozen=True)
class TrainerConfig(Stage):
    """What every training run has. What it says as a `Stage` is its first one, and mostly the only one."""

    data: str = "mnist"
    """Data set by name, one that `fsvae-tcja doctor` lists, or a folder of images."""
    limit: int = 0
    """Training images to use, chosen once at random, the same in every run; 0: all."""
    accumulate: int = 1
    """Parts that a batch is computed in, one after the other, for less memory; batch norm sees each part alone."""
    clip: float = 0.0
    """Largest norm of the gradient of all weights together; a longer one is scaled down to it. 0: none is."""
    ema: float = 0.0
    """Decay per step, such as 0.999, of an average of the weights, which is then evaluated and saved; 0: none."""
    seed: int = 0
    """Random seed of the weights, the order of the images and all noise."""
    log_every: int = 10
    """Steps per row of metrics; a row is their mean."""
    evaluate_every: int = 1
    """Epochs per evaluation on the test split; the last epoch of a stage is always evaluated."""
    precision: Precision = "fp32"
    """Type of activations in training; weights, statistics and membranes stay in fp32."""
    tf32: bool = False
    """On a GPU round the factors of float32 products, of convolutions and linear layers, to TF32: faster, 10 bits of
    mantissa. Without, they are float32."""
    graph: bool = False
    """On a GPU record a whole training step in a CUDA graph and launch it at once; not with fp16."""
    compile: bool = False
    """Compile what can be compiled of the model with torch.compile: of the FSVAE encoder and decoder."""
    save_memory: bool = False
    """Compute every spiking layer again in the backward pass instead of keeping what it needs: memory for time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, log_every=1, evaluate_every=1, accumulate=1, limit=0, clip=0)
        check_choice("precision", self.precision, Precision)
        if self.graph and self.precision == "fp16":
            raise ValueError("fp16 looks at every gradient before its step, which no graph can; take precision bf16")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in [0, 1), found {self.ema}; 0 keeps no average")
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate must be <= batch_size, one image per part, found {self.accumulate} > {self.batch_size}"
            )
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in 0..2^63 - 1, found {self.seed}")

    def stages(self) -> list[Stage]:
        """The stages of the run, one after the other: its own, and what a subclass has besides."""
        return [self]

    def tied_to_length(self) -> list[str]:
        """What changes over the steps by a curve that the length of the run stretches."""
        return ["the cosine of the learning rate"] if self.schedule == "cosine" else []
