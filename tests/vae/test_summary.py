"""The table of a model's layers."""

from dataclasses import replace

import pytest
import torch

from fsvae_tcja import FSVAE, Bernoulli, Escape, FSVAEConfig, TCJAConfig, summary
from fsvae_tcja.vae import Gaussian, Hierarchical, Poisson
from fsvae_tcja.vae.energy import draw, energy
from fsvae_tcja.vae.sample import noise_of

CONFIG = FSVAEConfig(T=3, L=6, latent=Bernoulli(k=2), channels=(3, 4, 5, 6), tcja=TCJAConfig((1,), ()), readout="tcja")


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")


def rows(text):
    lines = [line.replace(" + ", "+").split() for line in text.splitlines()]
    return {cells[0]: cells[1:] for cells in lines}


def test_layers_with_shape_parameters_and_firing_rule():
    torch.manual_seed(0)
    model = FSVAE(CONFIG)
    found = rows(summary(model))
    conv, norm = 3 * 4 * 9 + 4, 2 * 4
    gate = 4 * 3**2 + 4 * 4**2  # K_C T^2 + K_T C^2
    assert found["encoder.blocks.1"][:5] == ["4x8x8", str(conv + norm + gate), "fsvae2022+TCJA", "0.2", "0.25"]
    assert found["encoder.to_latent"][:2] == ["6", str(4 * 6 * 6 + 6 + 12)]
    assert found["latent.prior.layers.2"][0] == "12"
    assert found["decoder.blocks.3"][0] == "3x32x32"
    assert found["decoder.readout.conv"][:2] == ["1x32x32", str(3 * 9 + 1)]
    assert found["decoder.readout.attention"][:3] == ["1x32x32", str(3**2 + 4), "TCJA"]
    assert found["total"][0] == f"{sum(p.numel() for p in model.parameters()):,}"


@pytest.mark.parametrize(
    "changes",
    [
        {"latent": Escape(groups=2, hidden=8, joint_groups=2, joint_hidden=8, clusters=2)},
        {"latent": Hierarchical(groups=2, hidden=8, joint_groups=2, joint_hidden=8, base=2, detail_groups=9)},
        {"latent": Poisson(), "neuron": "tet"},
        {"latent": Gaussian(), "T": 1, "neuron": "leaky-relu", "tcja": TCJAConfig((), ())},
        {"input": "frames", "in_channels": 2},
    ],
)
def test_every_parameter_and_every_picojoule_is_in_a_row(changes):
    torch.manual_seed(0)
    model = FSVAE(replace(CONFIG, readout="membrane", **changes))
    found = rows(summary(model))
    layers = {name: cells for name, cells in found.items() if "." in name and name.split(".")[0] in dir(model)}
    assert sum(int(cells[1].replace(",", "")) for cells in layers.values()) == sum(
        p.numel() for p in model.parameters()
    )
    images = model.sample(8, 0)
    if model.config.input == "frames":
        images = ((images + 1) / 2).expand(3, *images.shape)
    report, here = energy(model, images), {one.name for one in draw(model, noise_of(model, 0, 0, 1))}
    prior = {name for name in here if "prior" in name}
    both = report.reconstructed.pj + sum(
        row.pj for row in report.drawn.layers if any(row.name.startswith(name) for name in prior)
    )
    assert float(found["total"][-1].replace(",", "")) == pytest.approx(both / 1000, abs=0.06)


def test_each_prior_of_two_levels_has_its_own_energy_and_output():
    torch.manual_seed(0)
    latent = Hierarchical(groups=2, hidden=8, joint_groups=2, joint_hidden=8, base=2, detail_groups=9)
    model = FSVAE(replace(CONFIG, latent=latent))
    found = rows(summary(model))
    parts = {"latent.prior": "prior", "latent.detail": "prior of details"}
    images = model.sample(8, 0)
    for name, part in parts.items():
        drawn = [row.pj for row in energy(model, images).drawn.layers if row.name.startswith(f"{part},")]
        assert len(drawn) == 5 and sum(drawn) > 200
        assert float(found[name][-1].replace(",", "")) == pytest.approx(sum(drawn) / 1000, abs=0.06)
    assert {name: found[name][0] for name in found if name.startswith("latent.")} == {
        **{"latent.joint": "6", "latent.joint_base": "2"},
        **{"latent.prior": "2", "latent.detail": "6"},
    }


def test_a_model_prints_as_its_table():
    model = FSVAE(CONFIG)
    assert str(model) == f"{model}" == summary(model)
    with torch.device("meta"):
        assert str(FSVAE(CONFIG)).startswith("FSVAE(\n")


def test_a_model_is_left_as_it_was():
    model = FSVAE(CONFIG).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    summary(model)
    assert model.training and all(torch.equal(before[name], x) for name, x in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_hooks for module in model.modules())
