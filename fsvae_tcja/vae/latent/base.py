"""What a latent is: settings that a configuration holds, and the module that they build."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ...core import Neuron
from ...runtime.config import Stage
from ...utils.configuration import Part
from ..activity import Passing
from ..noise import Source
from .label_counts import LabelCounts


class Term(NamedTuple):
    """A summand of the loss: `weight` times a value measured in `unit`."""

    unit: str
    weight: float = 1.0


class Latent(Part):
    """The settings of a latent: a frozen dataclass, chosen by its name in LATENTS."""

    clusters: int = 0
    """Clusters that the codes of the training images are put into; 0: none are. A latent that has some has a field of
    this name."""
    analog: ClassVar[bool] = False
    """Whether the code is of other numbers than 0 and 1: the linear layers around it then have no norm and neurons."""
    of_spikes: ClassVar[bool] = False
    """Whether the code is what the neurons of the model fire, so that they have to spike."""

    @property
    def takes_current(self) -> bool:
        """Whether `infer` takes the current of the encoder's last neurons, and fires for them, in place of spikes."""
        return False

    def features(self, L: int) -> int:
        """How many the encoder gives for L latent neurons."""
        return L

    def build(self, T: int, L: int, neuron: Neuron) -> "LatentModule":
        """The module for codes z [T, N, L], made of such neurons."""
        raise NotImplementedError

    def tied_to_length(self) -> list[str]:
        """What of it changes over the training by a curve that the length of the run stretches."""
        return []

    def stages(self) -> list[Stage]:
        """Stages of a training after that of the whole model: of the latent alone, on the codes of the images."""
        return []

    def lasting(self, steps: Sequence[int]) -> "Latent":
        """The same with so many steps in each of these stages."""
        return self


class LatentModule(ABC, nn.Module):
    """From the spikes of the encoder to the code z [T, N, L] that the decoder reads, and from noise to a new z.

    All that is random about an image comes in as one tensor of noise, with the images on axis 1: the same noise gives
    the same z. How z depends on it, and what the loss compares, is the latent's own matter.

    Args:
        params: the settings that it is built from.
        T: steps.
        L: width of the code.
        terms: what `divergence` gives, by name.

    Attributes:
        classes: of the images, whose labels it learns from; 0: it needs none.
        kinds: of codes, by label or cluster: `sample(noise, labels)` takes them in 0..kinds - 1; 0: it takes none.
        label_counts: of the training images in each kind, where these are clusters and the images had labels; for
            `kinds_for`.
        micro_steps: parts of a code that are drawn one after the other, for `complete`; 0: it cannot.
    """

    classes = 0
    kinds = 0
    label_counts: LabelCounts | None = None
    micro_steps = 0

    def __init__(self, params: Latent, T: int, L: int, terms: Mapping[str, Term]) -> None:
        super().__init__()
        self.params = params
        self.T = T
        self.L = L
        self.terms = dict(terms)

    @abstractmethod
    def noise(self, source: Source) -> Tensor:
        """The noise of source.n images, [..., N, ...] with the images on axis 1; one for `infer` and for `sample`."""

    @abstractmethod
    def infer(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Any]:
        """The posterior.

        Args:
            x: spikes of the encoder [T, N, L]; with `takes_current` the current of its last neurons.
            noise: as `noise` gives it.

        Returns:
            z [T, N, L], through which the decoder's gradient flows, and what `divergence` needs besides.
        """

    @abstractmethod
    def divergence(
        self, z: Tensor, q: Any, *, progress: float | None = None, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """What training adds to the reconstruction error, times the weights in `terms`.

        Args:
            z: code [T, N, L] of `infer`.
            q: the other thing that `infer` gave.
            progress: how far the training is, 0..1, for what changes on the way; None: no training.
            generator: for what training alone draws; None takes torch's global one.

        Returns:
            a float32 scalar for each name in `terms` but "base_mse".
        """

    def partial(self, z: Tensor) -> Tensor:
        """Codes z [T, N, L] without a part, from which the decoder is to draw the images too.

        Asked for where `terms` has "base_mse", the reconstruction error from them, of every fourth image of a batch.
        """
        raise NotImplementedError

    @abstractmethod
    def sample(self, noise: Tensor) -> Tensor:
        """A code z [T, N, L] from the prior, without gradient; in eval mode image i depends on noise[:, i] alone."""

    def passing(self, x: Tensor | None, z: Tensor, noise: Tensor) -> Iterator[Passing]:
        """The work that a code costs, layer by layer, in eval mode.

        Args:
            x: what z was inferred of, as `infer` takes it; None: z was drawn.
            z: [T, N, L].
            noise: that it was inferred or drawn with.
        """
        yield from ()

    def complete(self, z: Tensor, given: int, noise: Tensor) -> Tensor:
        """Codes [T, N, L] from the prior whose first `given` micro-steps are those of codes z [T, N, L]."""
        raise NotImplementedError

    def tempered(self, noise: Tensor, temperature: float) -> Tensor:
        """The noise with which `sample` draws at a temperature: below 1 likelier codes, above 1 more various ones.

        Raises:
            ValueError: it draws at temperature 1 alone.
        """
        if temperature != 1:
            raise ValueError(
                f"the latent {type(self.params).__name__} draws at temperature 1 alone, found {temperature}; "
                "Escape takes others"
            )
        return noise

    def calibrate(self, x: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        """Show a batch to every norm of the latent, in training mode, without gradient: it then knows its statistics.

        Args:
            x: as `infer` takes it, and the next.
            noise: of these images.
            labels: int64 [N], -1 where there is none.

        Returns:
            z [T, N, L], which depends on no running statistics.
        """
        z, q = self.infer(x, noise)
        self.divergence(z, q)
        return z

    def draw_kinds(self, noise: Tensor) -> Tensor | None:
        """The kind of each code that `sample` draws of this noise, int64 [N]; None if there are no kinds."""
        return None

    def kinds_for(self, labels: Tensor, noise: Tensor) -> Tensor:
        """The kind of which an image of each label is drawn, int64 [N]: the label itself, unless kinds are clusters.

        Args:
            labels: int64 [N], of which each image is to be; some training image had each.
            noise: of these images, as `noise` gives it.
        """
        return labels

    def kinds_of(self, z: Tensor, labels: Tensor | None = None) -> Tensor | None:
        """The kind of codes z [T, N, L] of images with these labels, int64 [N]; None if there are no kinds."""
        return None

    def start_stage(self, codes: Tensor, labels: Tensor) -> None:
        """Before the first step of a stage of its own.

        Args:
            codes: of all training images, uint8 [n, T, L].
            labels: theirs, int64 [n], -1 where none.
        """

    def stage_losses(self, z: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """What is minimised in a stage of its own, "loss", and what is logged besides.

        Args:
            z: codes [T, N, L].
            labels: int64 [N], -1 where there is none.
            generator: for what training draws.
        """
        raise NotImplementedError

    def check_noise(self, noise: Tensor, n: int) -> Tensor:
        """The noise of n images that a caller brings, as `infer` and `sample` take it; a ValueError if it cannot be."""
        if noise.dim() < 2 or noise.shape[1] != n:
            raise ValueError(f"noise must have the {n} images on axis 1, found {list(noise.shape)}")
        return noise
