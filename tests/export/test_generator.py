"""The generator in the files of other programs draws the same images."""

import shlex

import numpy as np
import pytest
import torch

from fsvae_tcja import FSVAE, Bernoulli, Escape, FSVAEConfig
from fsvae_tcja.data.pixels import to_uint8
from fsvae_tcja.export.fidelity import export_fidelity
from fsvae_tcja.export.generator import FromNoise, Given, described, noise_width
from fsvae_tcja.export.onnx import export_onnx
from fsvae_tcja.export.torch import export_torch
from fsvae_tcja.vae import Gaussian, Hierarchical, Poisson

from .conftest import ESCAPE, of

TWO = Hierarchical(groups=2, hidden=8, rate=0, base=2, base_rate=0, detail_groups=4, detail_hidden=8)
LATENTS = [Bernoulli(k=3), Escape(groups=2, hidden=8, rate=0), ESCAPE, TWO, Poisson(), Gaussian()]
WIDTHS = [8, 8, 9, 8, 16, 16]  # T L = 8; a label; two numbers for each normal one, of [1, L] and of [T, L]


def numbers(n, width):
    return torch.rand(n, width, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("latent", "width"), list(zip(LATENTS, WIDTHS, strict=True)))
def test_uniform_numbers_are_the_noise_of_every_latent(latent, width):
    model = of(latent)
    assert noise_width(model) == width
    given = numbers(16, width)
    noise = model.latent.noise(Given(given))
    assert torch.equal(model.latent.check_noise(noise, 16), noise)
    with torch.no_grad():
        drawn = FromNoise(model)(given)
    assert torch.equal(drawn, model.sample(16, noise=noise))
    assert drawn.std(0).max() > 0.01, "all images are alike"


@pytest.mark.parametrize(("latent", "values"), [(Bernoulli(k=3), ", of 0 and 1"), (Gaussian(), "")])
def test_what_a_code_consists_of_is_told(latent, values):
    about = f"z [T, N, L] = [2, N, 4]{values} -> images [N, 1, 4, 4] in [-1, 1]"
    assert described(of(latent), "z") == about


def test_what_is_given_has_the_laws_that_are_asked_for():
    given = Given(numbers(40000, 5))
    picks, normal = given.integers(4, 1, 1), given.normal(1, 2)
    assert torch.bincount(picks.flatten()).tolist() == pytest.approx([10000] * 4, abs=350)  # 4 standard deviations
    assert normal.mean() == pytest.approx(0, abs=0.02) and normal.std() == pytest.approx(1, abs=0.02)
    edge = Given(torch.ones(1, 3))
    assert edge.integers(4, 1, 1).item() == 3 and edge.normal(1, 1).isfinite().all()


@pytest.mark.parametrize(
    "latent", [Bernoulli(k=3), ESCAPE, TWO], ids=["bernoulli", "escape with classes", "hierarchical"]
)
def test_onnx_draws_the_same_images(latent, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = of(latent)
    about = export_onnx(model, tmp_path / "g.onnx")
    assert about == f"noise [N, {noise_width(model)}], uniform in [0, 1) -> images [N, 1, 4, 4] in [-1, 1]"
    session = onnxruntime.InferenceSession(tmp_path / "g.onnx")
    for n in (1, 37):
        given = numbers(n, noise_width(model))
        (drawn,) = session.run(["images"], {"noise": given.numpy()})
        np.testing.assert_allclose(drawn, model.sample(n, noise=model.latent.noise(Given(given))), atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["g.onnx"]


def test_torch_fidelity_gets_pixels_in_three_colours_and_the_command_that_scores_them(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = of(Bernoulli(k=3))
    about = export_fidelity(model, tmp_path / "my g.onnx")
    assert shlex.split(about)[4:8] == ["--fid", "--input1", str(tmp_path / "my g.onnx"), "--input1-model-z-type"]
    given = numbers(5, noise_width(model))
    (drawn,) = onnxruntime.InferenceSession(tmp_path / "my g.onnx").run(None, {"noise": given.numpy()})
    images = to_uint8(model.sample(5, noise=model.latent.noise(Given(given))))
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, images.expand(-1, 3, -1, -1))


@pytest.mark.filterwarnings("error::UserWarning")
def test_torch_export_decodes_codes(tmp_path):
    model = of(Poisson())
    assert export_torch(model, tmp_path / "z.pt2", "z").startswith("z [T, N, L] = [2, N, 4], of 0 and 1 -> images")
    decode = torch.export.load(tmp_path / "z.pt2").module()
    for n in (1, 37):
        z = (torch.rand(2, n, 4, generator=torch.Generator().manual_seed(n)) < 0.5).float()
        with torch.no_grad():
            torch.testing.assert_close(decode(z), model.decode(z), rtol=0, atol=1e-6)


def test_the_whole_model_goes_through_torch_export():
    """Checks of ranges depend on values, which a graph has not; shapes are still checked."""
    model = of(Bernoulli(k=3))
    images, noise = torch.zeros(2, 1, 4, 4), torch.zeros(2, 2, 4, dtype=torch.int64)
    with torch.no_grad():
        program = torch.export.export(model, (images,), {"noise": noise})
        torch.testing.assert_close(program.module()(images, noise=noise)[0], model(images, noise=noise).recon)
        with pytest.raises(ValueError, match="images must be"):
            torch.export.export(model, (images[..., :3],), {"noise": noise})


def test_a_model_is_left_as_it_was(tmp_path):
    model = of(Poisson()).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export_torch(model, tmp_path / "z.pt2", "z")
    assert model.training and all(torch.equal(before[name], x) for name, x in model.state_dict().items())
    assert {module.backend for module in model.modules() if hasattr(module, "backend")} == {"auto"}


def test_wrong_input(tmp_path):
    model = FSVAE(FSVAEConfig(image_size=4, T=2, L=4, channels=(3,)))
    with pytest.raises(ValueError, match=r"unknown input 'image': choose one of \['noise', 'z'\]"):
        export_torch(model, tmp_path / "g.pt2", "image")
    with pytest.raises(ValueError, match=r"its name must end in \.onnx"):
        export_onnx(model, tmp_path / "g.pt2", "z")
    assert not list(tmp_path.iterdir())
