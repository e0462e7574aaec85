"""From a description to layers."""

from math import prod

from torch import nn

from fsvae_tcja.core import TCJA, Linear, NeuronModule, SpikingLayer, TDBatchNorm
from fsvae_tcja.runtime.memory import Counting, fitting
from fsvae_tcja.utils.foreign import brief

from .config import ClassifierConfig
from .description import Token, parse
from .layers import Dense, Fire, Folded, TimeDropout, Vote
from .residual import Current, ResidualBlock

SPATIAL = ("C", "S", "R", "MP", "AP", "AP->", "GAP")


class Builder:
    """From tokens to layers, following the shape [C, H, W] or [features] of what travels between them.

    Attributes:
        sizes: numbers that each layer hands on for one input, in all steps.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        self.config = config
        self.sizes: list[int] = []
        self.shape: tuple[int, ...] = tuple(config.shape)

    def build(self) -> nn.ModuleList:
        """The layers of the network.

        Raises:
            ValueError: they do not fit one another, the input, the number of classes, or the memory.
        """
        with fitting("a network of this description") as counting:
            layers = self._layers(counting)
        if self.shape != (self.config.classes,):
            raise ValueError(
                f"the network ends in {list(self.shape)} values, expected one for each of {self.config.classes} "
                f"classes: {brief(self.config.layers)}"
            )
        return nn.ModuleList(layers)

    def _layers(self, counting: Counting) -> list[nn.Module]:
        tokens = parse(self.config.layers)
        layers: list[nn.Module] = []
        for i, token in enumerate(tokens):
            spiking = i + 1 < len(tokens) and tokens[i + 1].kind == "LIF"
            if token.kind == "LIF" and tokens[i - 1].kind == "FC":
                continue  # part of Dense
            if token.kind in ("FC", "Vote") and len(self.shape) > 1:
                layers.append(nn.Flatten(2))
                self._become(self.shape[0] * self.shape[1] * self.shape[2])
            layers.append(self._layer(token, spiking))
            self.sizes.append(self.config.T * prod(self.shape))
            counting.check(self.sizes[-1])
        return layers

    def _layer(self, token: Token, spiking: bool) -> nn.Module:
        number = token.numbers[0] if token.numbers else 0
        if token.kind in SPATIAL and len(self.shape) != 3:
            raise ValueError(f"{token.kind} needs [C, H, W], found {list(self.shape)} in {brief(self.config.layers)}")
        match token.kind:
            case "C":
                return self._spiking(token)
            case "S":
                return self._current(int(number))
            case "R":
                return self._residual(token)
            case "MP" | "AP":
                return self._pool(token.kind, int(number))
            case "AP->":
                self._become(self.shape[0], int(number), int(number))
                return Folded(nn.AdaptiveAvgPool2d(int(number)))
            case "GAP":
                self._become(self.shape[0])
                return Folded(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
            case "DP":
                return TimeDropout(number)
            case "FC":
                inputs = self.shape[0]
                self._become(int(number))
                if spiking:
                    return Dense(inputs, int(number), self._neuron(int(number)))
                return Folded(Linear(inputs, int(number)))
            case "LIF":
                return Fire(self._neuron(self.shape[0]))
            case "Vote":
                if self.shape[0] % number:
                    raise ValueError(f"Vote{number} needs a multiple of {number} neurons, found {self.shape[0]}")
                self._become(self.shape[0] // int(number))
                return Vote(int(number))
        raise AssertionError(token)

    def _neuron(self, channels: int) -> NeuronModule:
        return self.config.neuron.build(channels)

    def _become(self, *shape: int) -> None:
        self.shape = shape

    def _conv(self, channels: int, stride: int = 1) -> nn.Conv2d:
        inputs, h, w = self.shape
        self._become(channels, -(-h // stride), -(-w // stride))
        return nn.Conv2d(inputs, channels, 3, stride, 1, bias=self.config.bias)

    def _attention(self, token: Token) -> TCJA | None:
        if token.kernels is None or self.config.attention == "none":
            return None
        return TCJA(self.config.T, int(token.numbers[0]), *token.kernels, self.config.attention)

    def _norm(self, channels: int) -> TDBatchNorm:
        return TDBatchNorm(channels, self.config.neuron.v_th)

    def _spiking(self, token: Token, stride: int = 1) -> SpikingLayer:
        conv = self._conv(int(token.numbers[0]), stride)
        norm = self._norm(conv.out_channels)
        return SpikingLayer(conv, norm, self._neuron(conv.out_channels), self._attention(token), self.config.placement)

    def _current(self, channels: int) -> Current:
        return Current(self._conv(channels), self._norm(channels))

    def _residual(self, token: Token) -> ResidualBlock:
        channels, stride = (*map(int, token.numbers), 1)[:2]
        inputs = self.shape[0]
        inner, end = self._spiking(token, stride), self._current(channels)
        shortcut = None
        if stride > 1 or inputs != channels:
            conv = nn.Conv2d(inputs, channels, 1, stride, bias=self.config.bias)
            shortcut = Current(conv, self._norm(channels))
        return ResidualBlock(self._neuron(inputs), inner, end, shortcut)

    def _pool(self, kind: str, size: int) -> Folded:
        channels, h, w = self.shape
        if min(h, w) < size:
            raise ValueError(f"{kind}{size} needs at least {size}x{size} pixels, found {h}x{w}")
        self._become(channels, h // size, w // size)
        return Folded(nn.MaxPool2d(size) if kind == "MP" else nn.AvgPool2d(size))
