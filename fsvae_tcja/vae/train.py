"""Training the FSVAE."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataset import LabelledDataset, limited
from ..data.names import short_name
from ..data.pixels import random_flip, to_float
from ..runtime.build import build
from ..runtime.config import Stage, TrainerConfig
from ..runtime.curves import save_curves
from ..runtime.distributed import shares
from ..runtime.modes import evaluated
from ..runtime.pictures import save_grid, save_pairs
from ..runtime.run import RunFolder
from ..utils.configuration import to_dict
from ..utils.one_copy import held, once_per_machine
from ..utils.processes import world
from .checkpoint import KIND, check_rebuildable
from .codes import Codes, codes_of
from .config import FSVAEConfig
from .discriminator import Tuner, Tuning
from .model import FSVAE
from .recalibrate import recalibrate
from .reconstruct import reconstruct
from .sample import sample
from .upgrade import upgrade_training

TEST_IMAGES = 1000  # images of the test split, the same in every run, for the reconstruction error of every epoch
SHOWN = 32  # of these, evenly spaced: a split may be sorted by class


@dataclass(frozen=True)
class TrainConfig(TrainerConfig):
    """A training run of the FSVAE. The defaults are the published recipe."""

    model: FSVAEConfig = field(default_factory=FSVAEConfig)
    """The model."""
    flip: bool = False
    """Flip training images left to right, each with probability 0.5; in the first stage only."""
    recalibrate: int = 0
    """Before every evaluation take the statistics of all batch norms anew, over so many training images; 0: they stay
    the moving averages of the training."""
    tuning: Tuning = field(default_factory=Tuning)
    """A last stage, of the decoder on codes of the prior."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.recalibrate < 0 or self.recalibrate == 1:
            raise ValueError(f"recalibrate must be 0 or at least 2 images, found {self.recalibrate}")
        if self.tuning.weight and self.model.image_size < 8:
            raise ValueError(
                f"the discriminator looks at images of at least 8 pixels, found {self.model.image_size}; set "
                "tuning.weight to 0"
            )
        if self.tuning.weight and self.model.latent.analog:
            raise ValueError(
                f"the last stage draws codes of spikes, found the latent {type(self.model.latent).__name__}; set "
                "tuning.weight to 0"
            )

    @staticmethod
    def upgrade(data: Mapping[str, Any]) -> dict[str, Any]:
        """Plain data of any version in today's form."""
        return upgrade_training(data)

    def stages(self) -> list[Stage]:
        return [*super().stages(), *self.model.latent.stages(), *([self.tuning.stage] if self.tuning.weight else [])]

    def check_images(self, images: int) -> None:
        """Raise a ValueError if so many training images do not fill a batch of every stage, or all clusters, or have
        no statistics to recalibrate by."""
        found = f"--limit leaves {images}" if images == self.limit else f"{self.data} has {images}"
        if self.recalibrate and images < 2:
            raise ValueError(
                f"{found} training image, and statistics to recalibrate by need two; take more images, or set "
                "--recalibrate 0"
            )
        stages, clusters = self.named_stages(), self.model.latent.clusters
        large = [f"{name}batch-size" for name, stage in stages if stage.batch_size > images]
        few = [f"one batch of {max(stage.batch_size for _, stage in stages)}"] if large else []
        if clusters > images:
            large.append("--model.latent.clusters")
            few.append(f"the {clusters} clusters of its codes")
        if few:
            raise ValueError(
                f"{found} training images, fewer than {' and than '.join(few)}; set {' and '.join(large)} to at most "
                f"{images}"
            )

    def named_stages(self) -> list[tuple[str, Stage]]:
        """The stages with what their options begin with, such as "--tuning.stage."."""
        tuning = ["--tuning.stage."] if self.tuning.weight else []
        names = ["--", *("--model.latent.prior." for _ in self.model.latent.stages()), *tuning]
        return list(zip(names, self.stages(), strict=True))

    def lasting_in_all(self, steps: int, images: int) -> "TrainConfig":
        """The same run with so many steps in all, which its stages share as they do now on so many images.

        Raises:
            ValueError: fewer steps than stages, or too few images for them.
        """
        self.check_images(images)
        return self.sharing(steps, [stage.total_steps(images // stage.batch_size) for stage in self.stages()])

    def sharing(self, steps: int, parts: Sequence[int]) -> "TrainConfig":
        """The same run with so many steps in all, of which its stages get these parts, of any sum.

        Raises:
            ValueError: fewer steps than stages.
        """
        if steps < len(parts):
            raise ValueError(f"{steps} steps are too few for {len(parts)} stages, each of one at least")
        own, *rest = _shares(steps, parts)
        latent, tuning = self.model.latent, self.tuning
        count = len(latent.stages())
        if self.tuning.weight:
            tuning = replace(tuning, stage=tuning.stage.lasting(rest[-1]))
        model = replace(self.model, latent=latent.lasting(rest[:count]))
        return replace(self.lasting(own), model=model, tuning=tuning)

    def tied_to_length(self) -> list[str]:
        return super().tied_to_length() + self.model.latent.tied_to_length()


def _shares(total: int, parts: Sequence[int]) -> list[int]:
    """Whole numbers of at least 1 that add up to `total`, in the proportion of the parts."""
    shares = [max(1, total * part // sum(parts)) for part in parts[1:]]
    while sum(shares) >= total:  # of few steps the first part gets one too
        shares[shares.index(max(shares))] -= 1
    return [total - sum(shares), *shares]


class FSVAETask:
    """The FSVAE as the training loop sees it.

    Args:
        config: the run.
        train: training images.
        test: images for the reconstruction error and its picture.
        score: called after each epoch with its number, from 1, and the model; what it returns is logged.
    """

    def __init__(
        self,
        config: TrainConfig,
        train: LabelledDataset,
        test: LabelledDataset,
        score: Callable[[int, FSVAE], dict[str, float]] | None = None,
    ) -> None:
        if config.model.input != "image":
            raise ValueError(
                f"this task trains on images, found a model with input={config.model.input!r}; train that one from "
                "Python: model.losses(frames, model(frames))"
            )
        for data in (train, test):
            if not isinstance(data, LabelledDataset):
                raise ValueError(
                    f"the data must be a LabelledDataset, found {type(data).__name__}; `load_images` gives one, and "
                    "MemoryImages makes one of tensors; a loop of your own takes any DataLoader (README)"
                )
        wanted = (config.model.in_channels, config.model.image_size)
        if (train.channels, train.size) != wanted:
            raise ValueError(
                f"the model takes {wanted[0]} channel(s) of {wanted[1]} pixels, {train.name} gives {train.channels} of "
                f"{train.size}; set --model.in-channels {train.channels} --model.image-size {train.size}"
            )
        self.images = len(limited(train, config.limit or None))
        config.check_images(self.images)
        self.config = config
        self.stage = 0
        self.tuner: Tuner | None = None
        self.data = train
        self.test = limited(test, TEST_IMAGES)
        self.score = score
        self.model = build(lambda: FSVAE(config.model), config)
        self.model.class_names = train.class_names
        if world() > 1:
            for share in shares(config.batch_size, config.accumulate):
                self.model.check_share(share)
        if self.model.latent.classes not in (0, train.classes):
            raise ValueError(
                f"the latent knows {self.model.latent.classes} classes, {train.name} has {train.classes or 'no labels'}"
                f"; set --model.latent.classes {train.classes or 0}"
            )
        if config.compile:  # the latent steps through time by itself
            self.model.encoder.compile()
            self.model.decoder.compile()

    def losses(self, images: Tensor, labels: Tensor, epoch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """images uint8 [B, C, H, W] -> {"loss", "mse", the terms of the latent}; epoch counted from 0.

        In a stage of the latent's own: codes uint8 [B, T, L] -> what the latent gives.
        """
        if self.tuner:
            return self.tuner.losses(to_float(images), labels, generator)
        if self.stage:
            return self.model.latent.stage_losses(images.transpose(0, 1).float(), labels, generator)
        if self.config.flip:
            images = random_flip(images, generator)
        x = to_float(images)
        out = self.model(x, generator=generator, check_range=False)  # it is what `to_float` gives
        return self.model.losses(x, out, progress=epoch / self.config.total_epochs(self.images), generator=generator)

    @property
    def beside(self) -> nn.Module | None:
        """The discriminator, in the stage that has one."""
        return self.tuner.discriminator if self.tuner else None

    def start_stage(self, number: int, data: LabelledDataset) -> LabelledDataset:
        """For the latent the codes of the images, as the encoder gives them now; for the decoder the images."""
        self.stage = number
        if number > len(self.config.model.latent.stages()):
            self.tuner = Tuner(self.model, self.config.tuning.weight, self.config.seed)
            return data
        with once_per_machine():
            codes = held("codes", lambda: {"codes": codes_of(self.model, data, self.config.seed).codes})["codes"]
        self.model.latent.start_stage(codes, data.labels)
        return Codes(codes, data)

    @torch.no_grad()
    def end_of_epoch(self, epoch: int, run: RunFolder) -> dict[str, float]:
        """Reconstruction error on the test images; a grid of samples and one of reconstructions.

        Samples and scores come with the last stage, the code length of the prior with its own.
        """
        if self.config.recalibrate:
            images, n = limited(self.data, self.config.limit or None), min(self.config.recalibrate, self.images)
            drawn = self.tuner.codes if self.tuner else None
            recalibrate(self.model, images, n, seed=self.config.seed, drawn=drawn)
        mse, shown = self._reconstruct()
        found = {"test_mse": mse} | self._test_codes()
        title = f"epoch {epoch}, {short_name(self.config.data)}"
        save_pairs(
            *shown,
            run.pictures / f"epoch-{epoch:03d}-reconstructions.png",
            title=f"{title} {self.test.split}: originals above their reconstructions",
        )
        if self.stage == len(self.config.stages()) - 1:
            drawn = sample(self.model, 64, self.config.seed)
            path = run.pictures / f"epoch-{epoch:03d}-samples.png"
            save_grid(drawn, path, columns=8, title=f"{title}: drawn, seed {self.config.seed}")
            found |= self.score(epoch, self.model) if self.score else {}
        rows = run.read_metrics()
        curves = [*first_losses(rows), {"step": rows[-1]["step"], **found}]
        save_curves(curves, run.pictures / "curves.png", units=self.model.units)
        return found

    def _test_codes(self) -> dict[str, float]:
        """In a stage of the latent's own its losses on the codes of the test images."""
        if not self.stage or self.tuner:
            return {}
        codes, labels = codes_of(self.model, self.test, self.config.seed).read(range(len(self.test)))
        device = next(self.model.parameters()).device
        z = codes.transpose(0, 1).float().to(device)
        with evaluated(self.model):
            losses = self.model.latent.stage_losses(z, labels.to(device), torch.Generator())
        return {f"test_{name}": float(value) for name, value in losses.items() if name != "loss"}

    def _reconstruct(self) -> tuple[float, tuple[Tensor, Tensor]]:
        n = len(self.test)
        x, recon = map(torch.cat, zip(*reconstruct(self.model, self.test, n, self.config.seed), strict=True))
        some = torch.linspace(0, n - 1, min(SHOWN, n)).long()
        return F.mse_loss(recon, x).item(), (x[some], recon[some])

    def metadata(self) -> dict[str, Any]:
        """Kind and configuration, for the checkpoint; a ValueError if they do not describe the model."""
        check_rebuildable(self.model)
        made = {"kind": KIND, "config": to_dict(self.config.model), "data": self.config.data}
        return made | self.data.told | self.model.remembered


def first_losses(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of metrics for curves: the "loss" of later stages, which is another quantity, is left out."""
    return [{k: v for k, v in row.items() if k != "loss" or ("mse" in row and "hinge" not in row)} for row in rows]
