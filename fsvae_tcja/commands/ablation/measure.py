"""What is measured of a model that a study has trained."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.dataset import LabelledDataset, some
from ...runtime.modes import evaluated
from ...runtime.run import RunFolder
from ...vae import FSVAE
from ...vae.code_length import code_nats
from ...vae.energy import energy
from ...vae.reconstruct import reconstruct
from ...vae.sample import noise_of, padded
from ...vae.train import first_losses
from ..scoring import ScoringOptions, planned
from .study import Study

SHOWN = 64  # images whose energy is counted
PART = 256  # images that are encoded at once


class Data(NamedTuple):
    """The images that a model is trained on, and those that it is measured on."""

    train: LabelledDataset
    test: LabelledDataset


def measure(
    model: FSVAE, run: RunFolder, study: Study, seed: int, data: Data, device: torch.device
) -> dict[str, float]:
    """Figures by the keys of table.COLUMNS; the scores in full go to scores.json of the run."""
    shown = some(data.test, study.n)
    pairs = reconstruct(model, shown, len(shown), seed)
    x, recon = (torch.cat(part) for part in zip(*pairs, strict=True))
    report = energy(model, x[:SHOWN], seed=seed)
    losses = [row["loss"] for row in first_losses(run.read_metrics()) if "loss" in row]
    figures = {
        "loss": losses[-1],
        "mse": F.mse_loss(recon, x).item(),
        "energy": report.drawn.pj / 1e6,
        "parameters": float(sum(p.numel() for p in model.parameters())),
    }
    figures |= {"nats": _nats(model, x, shown.labels, seed)} if hasattr(model.latent, "nll") else {}
    figures |= {"rate": report.rate} if model.config.neuron.spiking else {}
    return figures | _scores(model, recon, run, study, seed, data, device)


def check_networks(study: Study, setting: str, device: torch.device) -> None:
    """Try the networks of the scores on two images of a setting, before a training that they come after.

    Raises:
        FileNotFoundError: weights that are not there.
        ValueError: damaged weights, or images of a size, of colours or in a number that they do not take.
    """
    names, config = _names(study), study.settings[setting]
    options = ScoringOptions(
        config.evaluate_every, None, study.n, tuple(names), autoencoder=study.autoencoder, classifier=study.classifier
    )
    try:
        if names:
            planned(options, config, device)
    except ValueError as error:
        raise ValueError(f"settings.{setting}: {error}") from error


def _names(study: Study) -> list[str]:
    """The scores that the networks of a study give."""
    return (["FAD"] if study.autoencoder else []) + (["Domain-IS", "Domain-sure"] if study.classifier else [])


def _nats(model: FSVAE, x: Tensor, labels: Tensor, seed: int) -> float:
    """Mean length of the codes of images x [N, C, H, W] with labels [N], in nats an image."""
    device, total = next(model.parameters()).device, 0.0
    for first in range(0, len(x), PART):
        part = slice(first, min(first + PART, len(x)))
        noise = padded(noise_of(model, seed, first, len(x[part])), 1)
        with evaluated(model):
            z, q = model.latent.infer(model.encoder(padded(x[part], 0).to(device)), noise)
            total += code_nats(model.latent, z, q, padded(labels[part], 0))[: len(x[part])].sum().item()
    return total / len(x)


def _scores(
    model: FSVAE, recon: Tensor, run: RunFolder, study: Study, seed: int, data: Data, device: torch.device
) -> dict[str, float]:
    """By protocol strict: of images drawn; with an autoencoder also the FAD of reconstructions and of real images."""
    from eval import Networks, evaluate, make_references, save_scores
    from eval.checkpoints import drawn_from
    from eval.opening import open_images

    names = _names(study)
    if not names:
        return {}
    networks = Networks(autoencoder=study.autoencoder, classifier=study.classifier)
    drawn = drawn_from(model, seed, f"{run.path.parent.name}, seed {seed}")
    if not study.autoencoder:
        scores = evaluate(drawn, "strict", names, networks=networks, n=study.n, seed=seed, device=device)
        save_scores(run.path / "scores.json", scores)
        return {_key(one.name): one.value for one in scores}
    to = make_references(data.test, "strict", ["FAD"], networks=networks, device=device)
    scores = evaluate(drawn, "strict", names, reference=to, networks=networks, n=study.n, seed=seed, device=device)
    figures = {_key(one.name): one.value for one in scores}
    seen = open_images(recon, value_range="-1..1", name="reconstructions of test images")
    again = evaluate(seen, "strict", ["FAD"], reference=to, networks=networks, device=device)
    n = min(study.n, len(data.train))
    real = evaluate(data.train, "strict", ["FAD"], reference=to, networks=networks, n=n, device=device)
    save_scores(run.path / "scores.json", [*scores, *again, *real])
    return figures | {"FAD recon": again[0].value, "FAD floor": real[0].value}


def _key(score: str) -> str:
    """What a score is called among the figures: studies began before it was called after its space."""
    return "sure" if score == "Domain-sure" else score
