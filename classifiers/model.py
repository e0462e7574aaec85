"""The spiking classifier, built from its description."""

from typing import Any

from torch import Tensor, nn

from .build import Builder
from .config import ClassifierConfig


class SpikingClassifier(nn.Module):
    """A spiking network with TCJA that names the class of an image or of a sequence of event frames.

    Args:
        config: its description; `NETS` holds those of the paper.

    Raises:
        ValueError: the layers do not fit one another, the input, the number of classes, or the memory.

    Attributes:
        sizes: numbers that each layer hands on for one input, in all steps.
    """

    def __init__(self, config: ClassifierConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ClassifierConfig()
        builder = Builder(config)
        self.layers = builder.build()
        self.sizes = builder.sizes

    def __str__(self) -> str:
        """The table of `summary`; of a model without numbers, or with other layers than ours, PyTorch's description."""
        from .report.summary import summary

        try:
            return summary(self)
        except Exception:  # whatever is wrong with a model, it can be printed
            return repr(self)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of every step; their mean over T names the class.

        Args:
            x: an image [N, C, H, W], shown at each of T steps, or a sequence [T, N, C, H, W]; floating point, finite.

        Returns:
            [T, N, classes]: rates of spiking outputs in [0, 1], or logits.

        Raises:
            ValueError: another shape, another T than the model's, or integers.
        """
        self._check(x)
        layers: list[Any] = list(self.layers)
        first, *rest = layers
        x = first.forward_static(x, self.config.T) if x.dim() == 4 else first(x)
        for layer in rest:
            x = layer(x)
        return x

    def _check(self, x: Tensor) -> None:
        c = self.config
        if not x.is_floating_point():
            raise ValueError(f"inputs must be floating point, found {x.dtype}; event counts: x.float()")
        if x.dim() not in (4, 5) or tuple(x.shape[-3:]) != tuple(c.shape):
            raise ValueError(
                f"inputs must be images [N, {', '.join(map(str, c.shape))}] or sequences with T={c.T} in front, found "
                f"{list(x.shape)}"
            )
        if x.dim() == 4 and not hasattr(self.layers[0], "forward_static"):
            raise ValueError("this network takes sequences [T, N, C, H, W]: its first layer is no convolution")
        if x.dim() == 5 and len(x) != c.T:
            raise ValueError(
                f"this model was made for T={c.T} steps, found a sequence of {len(x)}; cut the recordings into {c.T} "
                "frames, or train a model for the new T"
            )
        if x.numel() == 0:
            raise ValueError(f"an empty batch: found inputs of shape {list(x.shape)}, expected N >= 1")
