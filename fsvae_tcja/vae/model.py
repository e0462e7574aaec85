"""The fully-spiking VAE: encoder, latent, decoder, and the loss."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core import TCJA, Doubling, Halving, Linear, SpikingLayer, TDBatchNorm
from ..core.norm import tracking
from ..runtime.memory import fitting
from ..runtime.pretrained import fetched
from ..runtime.run import MODEL
from ..utils.atomic import replacing
from ..utils.shares import Share, known_share
from .activity import Passing, gives_binary, passing
from .config import FSVAEConfig
from .latent.label_counts import LabelCounts
from .noise import Generated
from .pretrained import expanded, training_parts
from .sample import classes_of, sample
from .upgrade import upgrade_tensors

CARD = "README.md"
EVERY = 4  # of so many images of a batch, the first is drawn of a part of its code too


class FSVAEOutput(NamedTuple):
    """What `FSVAE.losses` needs: recon [N, C, H, W] in [-1, 1], z [T, N, L], and q of the latent.

    q is what the latent's divergence needs besides z; the Bernoulli latent's are the posterior's spikes [T, N, L, k].
    """

    recon: Tensor
    z: Tensor
    q: Any


def _layer(transform: nn.Module, channels: int, config: FSVAEConfig, attended: bool) -> SpikingLayer:
    tcja, neuron = config.tcja, config.neuron.build(channels)
    attention = TCJA(config.T, channels, tcja.kernel_c, tcja.kernel_t, tcja.fusion) if attended else None
    return SpikingLayer(transform, TDBatchNorm(channels, neuron.v_th), neuron, attention, tcja.placement)


def _mse(recon: Tensor, images: Tensor) -> Tensor:
    """The mean squared error in float32."""
    with torch.autocast(images.device.type, enabled=False):
        return F.mse_loss(recon.float(), images)


def _dense(inputs: int, outputs: int, config: FSVAEConfig) -> nn.Module:
    """A linear layer on one side of the code, with norm and neurons if that is of spikes."""
    if config.latent.analog:
        return nn.Linear(inputs, outputs)
    return _layer(Linear(inputs, outputs), outputs, config, False)


class Encoder(nn.Module):
    """Image or frames -> spikes. Blocks of Conv3x3 stride 2, then a linear layer to L."""

    def __init__(self, config: FSVAEConfig) -> None:
        super().__init__()
        self.T = config.T
        self.gives_current = config.latent.takes_current
        widths = (config.in_channels, *config.channels)
        self.blocks = nn.ModuleList(
            _layer(Halving(widths[i], widths[i + 1]), widths[i + 1], config, i in config.tcja.encoder)
            for i in range(len(config.channels))
        )
        self.to_latent = _dense(4 * widths[-1], config.latent.features(config.L), config)

    def forward(self, images: Tensor) -> Tensor:
        """images [N, C, H, W], the same at each step, or frames [T, N, C, H, W] -> what the latent takes, [T, N, L]."""
        first, *rest = self.blocks
        assert isinstance(first, SpikingLayer)
        x = first(images) if images.dim() == 5 else first.forward_static(images, self.T)
        for block in rest:
            x = block(x)
        x = x.flatten(2)
        if self.gives_current:
            assert isinstance(self.to_latent, SpikingLayer)
            return self.to_latent.current(x)
        return self.to_latent(x)

    def passing(self, images: Tensor, code: Tensor) -> Iterator[Passing]:
        """The work of `forward`, layer by layer; the last neurons of a latent that takes their current fire `code`."""
        x, binary = images if images.dim() == 5 else images.unsqueeze(0), False
        for i, block in enumerate(self.blocks):
            assert isinstance(block, SpikingLayer)
            y = block.forward_static(x[0], self.T) if len(x) < self.T else block(x)
            yield passing(f"encoder {i}", block, x, y, binary)
            x, binary = y, gives_binary(block)
        x = x.flatten(2)
        yield passing("to latent", self.to_latent, x, code if self.gives_current else self.to_latent(x), binary)


class Decoder(nn.Module):
    """Code -> image. A linear layer, blocks of ConvTranspose3x3 stride 2, the read-out."""

    def __init__(self, config: FSVAEConfig) -> None:
        super().__init__()
        widths = (*reversed(config.channels), config.channels[0])
        self.from_latent = _dense(config.L, 4 * widths[0], config)
        self.blocks = nn.ModuleList(
            _layer(Doubling(widths[i], widths[i + 1]), widths[i + 1], config, i in config.tcja.decoder)
            for i in range(len(config.channels))
        )
        self.readout = config.readout.build(config.T, config.channels[0], config.in_channels)

    def forward(self, z: Tensor) -> Tensor:
        """z [T, N, L] -> images [N, C, H, W] in [-1, 1]."""
        *blocks, last = self.blocks
        x = self.from_latent(z).unflatten(2, (-1, 2, 2))  # [T, N, C, 2, 2]
        for block in blocks:
            x = block(x)
        return self.readout(last, x)

    def passing(self, z: Tensor, binary: bool) -> Iterator[Passing]:
        """The work of `forward`, layer by layer; `binary`: z holds spikes."""
        y = self.from_latent(z)
        yield passing("from latent", self.from_latent, z, y, binary)
        x, binary = y.unflatten(2, (-1, 2, 2)), gives_binary(self.from_latent)
        for i, block in enumerate(self.blocks):
            y = block(x)
            yield passing(f"decoder {i}", block, x, y, binary)
            x, binary = y, gives_binary(block)
        attention = next((part for part in self.readout.modules() if isinstance(part, TCJA)), None)
        for conv in self.readout.modules():  # one, in every read-out of ours
            if isinstance(conv, nn.ConvTranspose2d | nn.Conv2d):
                pixels = conv.out_channels * x.shape[-2] * x.shape[-1]
                yield Passing("read-out", conv, x, len(x), pixels, None, attention, binary)


class FSVAE(nn.Module):
    """Fully-spiking variational autoencoder with temporal-channel joint attention.

    Args:
        config: sizes and settings; `FSVAEConfig()` is the published 1x32x32 model.

    Attributes:
        class_names: of the training images, in the order of their labels; (): not known.

    Raises:
        ValueError: the memory does not hold it, or one image on its way through.
    """

    class_names: tuple[str, ...] = ()

    def __init__(self, config: FSVAEConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FSVAEConfig()
        with fitting("a model of this configuration") as counting:
            counting.check(max(config.sizes))  # one image on its way
            self.encoder = Encoder(config)
            self.latent = config.latent.build(config.T, config.L, config.neuron)
            self.decoder = Decoder(config)

    def __str__(self) -> str:
        """The table of `summary`; of a model without numbers, or with other layers than ours, PyTorch's description."""
        from .summary import summary

        try:
            return summary(self)
        except Exception:  # whatever is wrong with a model, it can be printed
            return repr(self)

    @property
    def sizes(self) -> list[int]:
        """Numbers that the layers hand on for one image, in all steps."""
        return self.config.sizes

    def forward(
        self,
        images: Tensor,
        *,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        check_range: bool = True,
    ) -> FSVAEOutput:
        """Reconstruct.

        Args:
            images: [N, C, H, W] in [-1, 1]; with `input="frames"` frames [T, N, C, H, W] in [0, 1].
            noise: replays a run, [..., N, ...]; for the Bernoulli latent whole numbers [T, N, L] in 0..k-1, which of
                the k spikes to take. None draws it.
            generator: to draw with; None takes torch's global one.
            check_range: whether to look at the values of the images too, for which a GPU has to be waited for.

        Raises:
            ValueError: images or noise of another shape or range than the model was made for.
        """
        z, q = self._infer(images, noise, generator, check_range)
        return FSVAEOutput(self.decoder(z), z, q)

    def losses(
        self,
        images: Tensor,
        out: FSVAEOutput,
        *,
        progress: float | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """What training minimises, and its parts, in float32.

        Args:
            images: what `forward` was given.
            out: what it gave.
            progress: how far the training is, 0..1; without it nothing changes during training.
            generator: for what the latent draws in training only (scheduled sampling).

        Returns:
            {"loss", "mse", and the terms of the latent}: loss = mse + sum of weight * term.
        """
        target = self.target(images)
        mse = _mse(out.recon, target)
        terms = self.latent.divergence(out.z, out.q, progress=progress, generator=generator)
        if "base_mse" in self.latent.terms:
            self.check_share(known_share(generator))
            with tracking(self.decoder, False):  # the running statistics are those of whole codes
                terms["base_mse"] = _mse(self.decoder(self.latent.partial(out.z[:, ::EVERY])), target[::EVERY])
        weighted = (self.latent.terms[name].weight * value for name, value in terms.items())
        return {"loss": sum(weighted, start=mse), "mse": mse, **terms}

    def check_share(self, share: Share | None) -> None:
        """Raise a ValueError unless the terms of the latent can be computed of this share of a batch by itself: of
        those that take every `EVERY`th image, each of the share's has to be one of the whole batch's."""
        if share and "base_mse" in self.latent.terms and (share.first % EVERY or share.n % EVERY):
            raise ValueError(
                f"the latent's base_mse is of every {EVERY}th image: each process must have a multiple of {EVERY} "
                f"images of what is computed at once, found {share.n} of {share.whole}; choose another batch_size, "
                "accumulate or number of processes"
            )

    @property
    def units(self) -> dict[str, str]:
        """The unit of each loss, also in a stage of the latent's own, for curves."""
        terms = self.latent.terms
        parts = ["MSE", *(name if term.weight == 1 else f"weighted {name}" for name, term in terms.items())]
        later = ";\nlater stages: their own losses" if self.config.latent.stages() else ""
        return {
            "loss": " + ".join(parts) + later,
            "mse": "MSE, images in [-1, 1]",
            **{name: term.unit for name, term in terms.items()},
            "prior_nats": "nats",
            "base_nats": "nats",
            "drawn_logit": "discriminator of drawn images; > 0: real",
            "hinge": "hinge loss of the discriminator",
        }

    def target(self, images: Tensor) -> Tensor:
        """What the reconstruction is compared with, [N, C, H, W] in [-1, 1]: the images, or 2 (mean of frames) - 1."""
        return 2 * images.mean(0) - 1 if self.config.input == "frames" else images

    def encode(
        self, images: Tensor, *, noise: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """The code z [T, N, L] of images, drawn from the posterior.

        Args:
            images: [N, C, H, W] in [-1, 1]; with `input="frames"` frames [T, N, C, H, W] in [0, 1].
            noise: replays a run, as in `forward`; None draws it.
            generator: to draw with; None takes torch's global one.

        Raises:
            ValueError: images or noise of another shape or range than the model was made for.
        """
        return self._infer(images, noise, generator)[0]

    def decode(self, z: Tensor) -> Tensor:
        """Code z [T, N, L] -> images [N, C, H, W] in [-1, 1].

        The latent gives spikes in {0, 1}; other numbers, as between two codes, enter the first linear layer as they
        are.

        Raises:
            ValueError: z is not floating point, or of another T or L.
        """
        c = self.config
        if not z.is_floating_point():
            raise ValueError(f"z must be floating point, found {z.dtype}; convert it with z.float()")
        if z.dim() != 3 or (z.shape[0], z.shape[2]) != (c.T, c.L):
            raise ValueError(f"z must be [T={c.T}, N, L={c.L}], found {list(z.shape)}")
        return self.decoder(z.to(next(self.parameters()).dtype))

    def sample(
        self,
        n: int,
        seed: int = 0,
        *,
        batch_size: int = 64,
        noise: Tensor | None = None,
        labels: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draw n images [n, C, H, W] in [-1, 1] from the prior, in eval mode; image i depends on (seed, i) alone.

        Args:
            n: how many.
            seed: random seed, 0..2^63 - 1.
            batch_size: images per pass; changes memory and speed only.
            noise: of n images, instead of the seed's: replays a run.
            labels: int64 [n], the class of each image, with a latent that knows classes or counted them in its clusters
                (then some images are of others: `latent.label_counts.purity`); None: as often as in training.
            temperature: > 0; below 1 likelier codes, above 1 more various ones. With the latent `Escape`.

        Raises:
            ValueError: n, batch_size, seed or temperature out of range, noise or labels of another shape or range, or
                labels for a latent that knows none.
        """
        return sample(self, n, seed, batch_size=batch_size, noise=noise, labels=labels, temperature=temperature)

    def upgraded(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights that an earlier version saved, under today's names."""
        return expanded(self, upgrade_tensors(tensors))

    @property
    def remembered(self) -> dict[str, Any]:
        """What a checkpoint's metadata hold of the model besides its configuration."""
        counted = self.latent.label_counts
        named = {"classes": list(self.class_names)} if self.class_names and classes_of(self.latent) else {}
        return named | ({"label_counts": counted.counts.tolist()} if counted else {})

    def remember(self, metadata: Mapping[str, Any]) -> None:
        """Take `remembered` from the metadata of a checkpoint; those of earlier versions hold nothing of it.

        Raises:
            ValueError: it does not fit the latent.
        """
        self.class_names = tuple(map(str, metadata.get("classes", self.class_names)))
        self.latent.label_counts = None  # not those of clusters that a resumed stage has just found anew
        if "label_counts" in metadata:
            counted = LabelCounts(torch.tensor(metadata["label_counts"]))
            if len(counted.counts) != self.latent.kinds:
                raise ValueError(f"label_counts are of {len(counted.counts)} clusters, expected {self.latent.kinds}")
            self.latent.label_counts = counted

    @property
    def training_parts(self) -> list[str]:
        """Parts that published models leave out: only training needs them."""
        return training_parts(self)

    @classmethod
    def from_pretrained(cls, name: str | Path, device: str | torch.device = "cpu") -> "FSVAE":
        """A trained model, in eval mode.

        Args:
            name: of a model that comes with the package ("mnist", "fashion-mnist"), a run folder or a folder of
                `save_pretrained`, a checkpoint, or "owner/model" on the Hugging Face hub, which is then fetched.
            device: where it goes.

        Raises:
            FileNotFoundError: no such model.
            ValueError: one that is damaged or of another kind.
        """
        from .checkpoint import load

        if not Path(name).exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(name)):
            name = fetched(str(name))
        return load(name, device)

    def save_pretrained(self, folder: str | Path, *, half: bool = False, card: str | None = None) -> None:
        """Write what `from_pretrained` reads: model.safetensors and a card, README.md.

        Args:
            folder: made if absent.
            half: in half precision, without what only training needs.
            card: text of the card; None: what the configuration says.

        Raises:
            ValueError: the model holds a part that its configuration does not build, and that would be lost.
        """
        from .card import card_of
        from .checkpoint import save

        save(self, Path(folder) / MODEL, half=half)
        with replacing(Path(folder) / CARD) as temporary:
            temporary.write_text(card or card_of(self), encoding="utf-8")

    def _infer(
        self, images: Tensor, noise: Tensor | None, generator: torch.Generator | None, check_range: bool = True
    ) -> tuple[Tensor, Any]:
        check_images(images, self.config, check_range)
        n = images.shape[-4]
        if noise is None:
            noise = self.latent.noise(Generated(n, generator, images.device))
        else:
            noise = self.latent.check_noise(noise, n)
        return self.latent.infer(self.encoder(images), noise.to(images.device))


def check_images(images: Tensor, config: FSVAEConfig, check_range: bool = True) -> None:
    """Raise a ValueError unless images are float [N, C, H, W] in [-1, 1] (frames [T, N, C, H, W] in [0, 1]).

    Without `check_range`, and while the model is compiled or exported, nothing is asked that depends on values.
    """
    size, frames = config.image_size, config.input == "frames"
    name, low, remedy = "images", -1, "from [0, 1] take 2x - 1, from 0..255 take x / 127.5 - 1"
    if frames:
        name, low, remedy = "frames", 0, "divide counts of events by the largest that there may be, or clamp them"
    n = images.shape[-4] if images.dim() >= 4 else 0
    before, after = [config.T] if frames else [], [config.in_channels, size, size]
    if list(images.shape) != [*before, n, *after] or n == 0:
        wanted = ", ".join(map(str, [*before, "N", *after]))
        raise ValueError(
            f"{name} must be [{wanted}] with N >= 1, found {list(images.shape)}; resize them, or build a model of "
            "their size"
        )
    if not images.is_floating_point():
        raise ValueError(f"{name} must be floating point in [{low}, 1], found {images.dtype}; {remedy}")
    if torch.compiler.is_compiling() or not check_range:
        return
    least, most = images.aminmax()
    if not (least >= low and most <= 1):
        raise ValueError(f"{name} must lie in [{low}, 1], found {least.item():.4g} to {most.item():.4g}; {remedy}")
