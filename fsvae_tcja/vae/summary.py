"""An FSVAE as a table of its layers."""

from collections import defaultdict
from collections.abc import Mapping

from torch import Tensor, nn

from ..runtime.energy import LayerEnergy
from ..runtime.modes import evaluated
from ..runtime.summary import Shape, as_table, layers_of, shapes_of
from .energy import draw, energy, reconstruct
from .latent.escape_prior import EscapePrior
from .model import FSVAE
from .sample import noise_of

IMAGES, SEED = 8, 0
NOTE = f"""\
output: of one image at one of T = {{T}} steps. nJ: an estimate over {IMAGES} images that the model draws itself (seed \
{SEED})
and reconstructs; `fsvae-tcja energy` measures it on data"""


def summary(model: FSVAE) -> str:
    """Layers with output shape, parameters, neurons with threshold and decay, and energy an image.

    Args:
        model: it is left as it was.
    """
    layers = dict(layers_of(model))
    drawn = model.sample(IMAGES, SEED).to(next(model.parameters()).device)
    if model.config.input == "frames":
        drawn = ((drawn + 1) / 2).expand(model.config.T, *drawn.shape)
    noise = noise_of(model, SEED, 0, IMAGES)
    shapes = shapes_of(layers, model, lambda: model.decode(model.latent.sample(noise)))
    shapes |= shapes_of(layers, model, lambda: model(drawn, noise=noise))
    shapes = {name: shapes.get(name) or _uncalled(model, name) for name in layers}
    return f"{as_table(layers, shapes, _picojoules(model, layers, drawn))}\n{NOTE.format(T=model.config.T)}"


def _uncalled(model: FSVAE, name: str) -> Shape:
    """What comes out of layers whose weights are used without a call: priors, and the convolution of a read-out."""
    c, layer = model.config, model.get_submodule(name)
    if isinstance(layer, EscapePrior):
        return (layer.T * layer.L // c.T,)
    return (c.in_channels, c.image_size, c.image_size) if name.startswith("decoder.readout") else (c.L,)


def _picojoules(model: FSVAE, layers: Mapping[str, nn.Module], images: Tensor) -> dict[str, float]:
    """Of each layer in a reconstruction, or in drawing if it works only there."""
    noise = noise_of(model, SEED, 0, 1)
    report = energy(model, images, seed=SEED)
    owners = {}
    with evaluated(model):
        for one in (*reconstruct(model, images[..., :1, :, :, :], noise), *draw(model, noise)):
            owner = one.weights if one.owner is None else one.owner
            inside = (name for name, layer in layers.items() if owner in list(layer.modules()))
            owners[one.name] = next(inside, "latent.prior") if isinstance(owner, nn.Module) else "latent.prior"
    rows: dict[str, LayerEnergy] = {row.name: row for e in (report.drawn, report.reconstructed) for row in e.layers}
    found: dict[str, float] = defaultdict(float)
    for name, row in rows.items():
        found[owners[name.removesuffix(" neurons").removesuffix(" TCJA")]] += row.pj
    return dict(found)
