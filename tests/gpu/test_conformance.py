"""What a GPU computes against the reference on the CPU: every operation, a training, drawing, scores, recorded runs.

Run on a real GPU by `make test-gpu`; nothing here has passed on one yet (docs/GPU.md). Without one the CPU takes its
place, with its own kernels, which shows that what is asked for can be kept: in the quick tests, and with
FSVAE_TCJA_GPU_TESTS=cpu in all.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import nn

from eval import Networks, evaluate
from fsvae_tcja.cli import main
from fsvae_tcja.core import CENTRED_LIF, FSVAE_LIF, LIF, TDBatchNorm, backend
from fsvae_tcja.core.escape import escape_draw
from fsvae_tcja.core.kernels.escape.inputs import Inputs as Network
from fsvae_tcja.core.kernels.lif import reference, register
from fsvae_tcja.core.kernels.lif.inputs import Inputs
from fsvae_tcja.core.kernels.philox.reference import words
from fsvae_tcja.core.precision import float32_products
from fsvae_tcja.core.statistics import by_own_statistics
from fsvae_tcja.data.load import load_images
from fsvae_tcja.runtime import seeding
from fsvae_tcja.runtime.callbacks import Callback
from fsvae_tcja.runtime.config import Stage
from fsvae_tcja.runtime.run import RunFolder
from fsvae_tcja.runtime.trainer import Trainer
from fsvae_tcja.vae import FSVAE, Bernoulli, Escape, FSVAEConfig, philox
from fsvae_tcja.vae.config import TCJAConfig
from fsvae_tcja.vae.discriminator import RISE, Tuner
from fsvae_tcja.vae.latent.bernoulli import SCHEDULED_FROM
from fsvae_tcja.vae.train import FSVAETask, TrainConfig

from ..core.conftest import FAMILIES, name
from ..core.test_escape import network
from .conftest import DEVICE, conformance, slow_without_gpu

pytestmark = conformance
close = torch.testing.assert_close
SMALL = FSVAEConfig(T=4, L=16, latent=Bernoulli(k=4), channels=(4, 8, 16, 32), tcja=TCJAConfig(decoder=(2, 3)))
ESCAPE = Escape(groups=2, hidden=32, clusters=4, guidance=0.5, prior=Stage(steps=100, batch_size=32))
ESCAPE_MODEL = replace(SMALL, neuron=CENTRED_LIF, latent=ESCAPE)
MODELS = {
    "stream": SMALL,
    "prefix": replace(SMALL, T=8, latent=Bernoulli(k=4, sampling="prefix")),
    "current": replace(SMALL, readout="tcja", tcja=TCJAConfig(encoder=(1,), decoder=(2, 3), placement="current")),
    "escape": ESCAPE_MODEL,
}
QUICK = ["stream", "prefix", "current"]
SLOW = [pytest.param("escape", marks=slow_without_gpu)]


@pytest.fixture(autouse=True)
def exact():
    """Numbers of one seed, and float32 products on both sides."""
    torch.manual_seed(0)
    with float32_products("ieee"):
        yield


def results(function, tensors, upstream, device: str) -> dict[str, torch.Tensor]:
    """Outputs and the gradient of every input, by name, on the CPU."""
    leaves = {k: x.to(device).requires_grad_(x.is_floating_point()) for k, x in tensors.items() if x is not None}
    outputs = function(leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    grads = torch.autograd.grad(
        outputs, list(leaves.values()), [u.to(device).to(o) for u, o in zip(upstream, outputs, strict=True)]
    )
    found = {f"output {i}": x for i, x in enumerate(outputs)} | {f"d{k}": g for k, g in zip(leaves, grads, strict=True)}
    return {k: x.detach().float().cpu() for k, x in found.items()}


def drawn(steps, shape, static, affine, current, spikes, membrane, dtype) -> dict[str, torch.Tensor | None]:
    """Exact currents, so that the spikes must be equal."""
    gates = lambda: 2.0 ** -torch.randint(0, 2, (steps, *shape[:2])).float()  # noqa: E731
    return {
        "y": (torch.randint(-64, 65, (1 if static else steps, *shape)) / 32).to(dtype),
        "scale": 2.0 ** torch.randint(-1, 2, shape[1:2]) if affine else None,
        "shift": torch.randint(-4, 5, shape[1:2]) / 8 if affine else None,
        "current_gate": gates() if current else None,
        "spike_gate": gates() if spikes else None,
        "v": torch.randn(shape) if membrane else None,
    }


def agree(found, expected, dtype=torch.float32) -> None:
    tolerance = {"rtol": 1e-4, "atol": 5e-5} if dtype == torch.float32 else {"rtol": 2**-7, "atol": 2e-3}
    assert found.keys() == expected.keys()
    for key in expected:
        close(found[key], expected[key], **tolerance, msg=lambda text, key=key: f"{key}: {text}")


def slow(*cases) -> list:
    """Cases that only a GPU makes quickly: the CPU compiles for each type and neuron."""
    return [pytest.param(*case, marks=slow_without_gpu) for case in cases]


SHAPES = [(2, 5, 3, 2), *slow([(3, 33, 16, 16)], [(4, 300)], [(2, 128, 4, 4)])]
DTYPES = [torch.float32, *slow([torch.bfloat16], [torch.float16])]
NEURONS = [(FSVAE_LIF, 1), (FSVAE_LIF, 16), *slow((CENTRED_LIF, 18))]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("params", "steps"), NEURONS, ids=str)
@pytest.mark.parametrize("flags", list(product((False, True), repeat=4)), ids=str)
def test_fire(shape, flags, params, steps, dtype):
    """Static input, current gate, spike gate, membrane: with and without each."""
    static, current, spikes, membrane = flags
    tensors = drawn(steps, shape, static, True, current, spikes, membrane, dtype)
    upstream, constants = (torch.randn(steps, *shape).to(dtype), torch.randn(shape)), params.fused_constants
    expected = results(lambda x: reference.fire(Inputs(**x), steps, params), tensors, upstream, "cpu")
    found = results(lambda x: register.fire(*Inputs(**x), steps, *constants), tensors, upstream, DEVICE)
    assert torch.equal(found["output 0"], expected["output 0"])
    agree(found, expected, dtype)


@slow_without_gpu
@pytest.mark.parametrize("params", FAMILIES, ids=name)
def test_every_family(params):
    tensors = drawn(5, (2, 5, 3, 2), False, True, True, True, True, torch.float32)
    upstream = torch.randn(5, 2, 5, 3, 2), torch.randn(2, 5, 3, 2)
    expected = results(lambda x: reference.fire(Inputs(**x), 5, params), tensors, upstream, "cpu")
    found = results(lambda x: register.fire(*Inputs(**x), 5, *params.fused_constants), tensors, upstream, DEVICE)
    agree(found, expected)


@slow_without_gpu
@pytest.mark.parametrize("static", [False, True])
def test_sum_and_rate(static):
    tensors = drawn(16, (3, 33, 8, 8), static, True, True, True, False, torch.float32)
    constants, upstream = FSVAE_LIF.fused_constants, [torch.randn(3, 33, 8, 8)]
    expected = results(lambda x: reference.spike_sum(Inputs(**x), 16, FSVAE_LIF), tensors, upstream, "cpu")
    found = results(lambda x: register.spike_sum(*Inputs(**x)[:5], 16, *constants), tensors, upstream, DEVICE)
    agree(found, expected)
    tensors, upstream = {k: tensors[k] for k in ("y", "scale", "shift")}, [torch.randn(16, 3, 33)]
    expected = results(lambda x: reference.spike_rate(Inputs(**x), 16, FSVAE_LIF), tensors, upstream, "cpu")
    found = results(lambda x: register.spike_rate_op(*Inputs(**x)[:3], 16, *constants), tensors, upstream, DEVICE)
    agree(found, expected)


@pytest.mark.parametrize("shape", [(5, 3, 2, 2), (2100, 32, 4, 4), (3, 300, 250), (4, 128, 40, 40)], ids=str)
def test_statistics(shape):
    y, upstream = torch.randn(shape) * 2 + 3, None
    found = {}
    for device in ("cpu", DEVICE):
        norm = TDBatchNorm(shape[1], 0.2, 2.0).to(device)
        leaf = y.to(device).requires_grad_()
        normed = by_own_statistics(leaf, norm)
        used = normed.y, normed.space, normed.scale, normed.shift
        upstream = upstream or [torch.randn(x.shape) for x in used]
        grads = torch.autograd.grad(used, (leaf, norm.weight, norm.bias), [u.to(device) for u in upstream])
        norm.track(normed.mean, normed.var, y.numel() // shape[1])
        parts = (*normed[1:], *grads, *norm.buffers())
        names = (*normed._fields[1:], "dy", "dweight", "dbias", *dict(norm.named_buffers()))
        found[device] = {k: x.detach().float().cpu() for k, x in zip(names, parts, strict=True)}
    agree(found[DEVICE], found["cpu"])


@slow_without_gpu
@pytest.mark.parametrize("guidance", [0.0, 0.5])
def test_the_draw_of_a_prior(guidance):
    inputs, neuron = network(65, 8, 4, 300, K=2 if guidance else 1, exact=True), LIF(FSVAE_LIF)
    expected = escape_draw(inputs, neuron, guidance)
    for a, b in zip(escape_draw(Network(*(x.to(DEVICE) for x in inputs)), neuron, guidance), expected, strict=True):
        assert torch.equal(a.cpu(), b)


def test_philox():
    for arguments in ((7, 3, 5, 99), (2**40 + 3, 2**33, 65, 2048, 3)):
        assert torch.equal(philox.words(*arguments, device=DEVICE).cpu(), words(*arguments))


def batch(n: int = 16) -> torch.Tensor:
    return torch.rand(n, 1, 32, 32) * 2 - 1


@contextmanager
def by_reference() -> Iterator[None]:
    """Inside, no fused kernel runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(backend.ENVIRONMENT, "reference")
        yield


def step(config: FSVAEConfig, device: str) -> dict[str, torch.Tensor]:
    """Losses, gradients and buffers after a training step; the CPU's random numbers on both sides."""
    torch.manual_seed(1)
    model, random = FSVAE(config).train().to(device), torch.Generator().manual_seed(2)
    x = batch().to(device)
    losses = model.losses(x, model(x, generator=random), progress=0.5, generator=random)
    losses["loss"].backward()
    found = dict(losses) | {f"d{k}": p.grad for k, p in model.named_parameters() if p.grad is not None}
    return {k: x.detach().double().cpu() for k, x in (found | dict(model.named_buffers())).items()}


@pytest.mark.parametrize("model", QUICK + SLOW)
def test_a_training_step(model):
    """To rounding, but for the spikes that it moves: a few thousandths of every gradient's length."""
    found = step(MODELS[model], DEVICE)
    with by_reference():
        expected = step(MODELS[model], "cpu")
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        distance = (found[key] - value).norm() / value.norm().clamp(min=1e-8)
        assert distance < (1e-3 if key in ("loss", "mse") else 0.05), f"{key}: {distance}"


class Curve(Callback):
    def __init__(self) -> None:
        self.losses: list[torch.Tensor] = []

    def step(self, trainer, losses) -> None:
        self.losses.append(losses.get("mse", losses["loss"]).detach().clone())


def curve(folder, device: str, model: FSVAEConfig = SMALL, **changes) -> torch.Tensor:
    """The reconstruction errors of 200 steps, on the CPU's random numbers; then the losses of a stage of the latent."""
    config = TrainConfig(data="digits", steps=200, batch_size=32, lr=5e-3, model=model, **changes)
    data, curve = load_images("digits"), Curve()

    def loss(task, batch):
        return task.losses(*batch[:3], seeding.on_host(batch.generator))

    run = RunFolder(folder / f"{device}-{len(list(folder.iterdir()))}")
    own = None if config.graph else loss
    Trainer(FSVAETask(config, data, data), config, run, device=device, callbacks=[curve], loss=own).fit()
    return torch.stack(curve.losses).cpu()


@slow_without_gpu
def test_200_steps_learn_as_on_the_cpu(tmp_path):
    expected, found = curve(tmp_path, "cpu"), curve(tmp_path, DEVICE)
    close(found[:3], expected[:3], rtol=1e-3, atol=0)  # then a spike moves, and the curves part
    assert expected[-50:].mean() < 0.7 * expected[:10].mean()
    close(found[-50:].mean(), expected[-50:].mean(), rtol=0.05, atol=0)


@slow_without_gpu
@pytest.mark.parametrize("model", ["stream", "prefix", "escape"])
def test_a_step_as_one_graph_learns_as_one_that_is_launched(model, tmp_path):
    plain, graph = (curve(tmp_path, DEVICE, MODELS[model], graph=graph) for graph in (False, True))
    for steps in (slice(150, 200), slice(-50, None)):  # of the first stage, and of the last
        close(graph[steps].mean(), plain[steps].mean(), rtol=0.05, atol=0)


@slow_without_gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_halves_learn(precision, tmp_path):
    close(
        curve(tmp_path, DEVICE, precision=precision)[-50:].mean(),
        curve(tmp_path, DEVICE)[-50:].mean(),
        rtol=0.1,
        atol=0,
    )


def awake(config: FSVAEConfig) -> FSVAE:
    """A model whose norms know their own activity, so that its neurons fire, and not all."""
    torch.manual_seed(1)
    model = FSVAE(config).train()
    for norm in (m for m in model.modules() if isinstance(m, TDBatchNorm)):
        norm.momentum = None
        nn.init.uniform_(norm.weight, 0.8, 1.5)
        nn.init.normal_(norm.bias, 0.15, 0.2)
    with torch.no_grad():
        for _ in range(4):
            model.losses(x := batch(), model(x))
    return model.eval()


@pytest.mark.parametrize("model", QUICK + SLOW)
def test_drawing(model):
    """Recorded at the second pass: the same as before; and the CPU's images but for spikes that rounding moves."""
    cpu = awake(MODELS[model])
    with by_reference():
        expected = cpu.sample(16, seed=3)
    on_gpu = FSVAE(MODELS[model]).to(DEVICE)
    on_gpu.load_state_dict(cpu.state_dict())
    images = [on_gpu.sample(16, seed=3) for _ in range(6)]
    assert expected.std() > 0.01
    assert all(torch.equal(images[0], one) for one in images[1:])
    assert ((images[0] - expected).abs() > 1e-3).float().mean() < 0.02
    with torch.no_grad():
        noise = on_gpu.latent.noise(philox_source(16))
        close(on_gpu.eval().decode(on_gpu.latent.sample(noise)).cpu(), images[0])


def philox_source(n: int):
    from fsvae_tcja.vae.noise import Streams

    return Streams(3, 0, n, DEVICE)


def tuned(device: str) -> dict[str, torch.Tensor]:
    """Losses and gradients of a step of the decoder with its discriminator; the CPU's random numbers on both sides."""
    torch.manual_seed(1)
    model = FSVAE(ESCAPE_MODEL).train().to(device)
    tuner, random = Tuner(model, 0.5, 0), torch.Generator().manual_seed(2)
    tuner.discriminator.steps.fill_(RISE)
    losses = tuner.losses(batch().to(device), torch.zeros(16, dtype=torch.int64), random)
    losses["loss"].backward()
    named = [*model.decoder.named_parameters(), *tuner.discriminator.named_parameters()]
    found = losses | {f"d{k}": p.grad for k, p in named}
    return {k: x.detach().double().cpu() for k, x in found.items()}


@slow_without_gpu
def test_a_step_of_the_decoder_with_its_discriminator():
    """The discriminator's weights are normalised once on a GPU, three times on the CPU: nearly the same after 15."""
    found = tuned(DEVICE)
    with by_reference():
        expected = tuned("cpu")
    for key, value in expected.items():
        assert (found[key] - value).norm() < 0.1 * value.norm().clamp(min=1e-3), key


def test_prefixes_that_the_host_does_not_know(monkeypatch):
    torch.manual_seed(1)
    prior = FSVAE(MODELS["prefix"]).latent.prior.to(DEVICE).train()
    twin = FSVAE(MODELS["prefix"]).latent.prior.to(DEVICE).train()
    twin.load_state_dict(prior.state_dict())
    z, noise = torch.rand(8, 16, 16, device=DEVICE).round(), torch.randn(8, 16, 16, device=DEVICE)
    where = torch.zeros(8, dtype=torch.bool)
    where[SCHEDULED_FROM] = True
    assert torch.equal(prior.replace(z, where, noise, "prefix"), twin.replace(z, where.to(DEVICE), noise, "prefix"))
    for a, b in zip(prior.buffers(), twin.buffers(), strict=True):
        close(a, b)


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> Networks:
    """Both networks of our own, of an epoch on the digits."""
    folder = tmp_path_factory.mktemp("networks")
    for kind in ("fad", "classifier"):
        assert (
            main(["eval", f"train-{kind}", "digits", "--epochs", "1", "--out", str(folder / f"{kind}.safetensors")])
            == 0
        )
    return Networks(autoencoder=folder / "fad.safetensors", classifier=folder / "classifier.safetensors")


@slow_without_gpu
@pytest.mark.parametrize("score", ["FAD", "Domain-Frechet", "Domain-IS", "Domain-sure"])
def test_scores(score, networks):
    images, other = (load_images("digits", split) for split in ("train", "test"))
    options = {"reference": other, "networks": networks, "n": 256}
    cpu, gpu = (evaluate(images, "strict", [score], device=device, **options) for device in ("cpu", DEVICE))
    for a, b in zip(gpu, cpu, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-3)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two GPUs")
def test_the_second_gpu():
    torch.manual_seed(1)
    first = FSVAE(SMALL).to("cuda:0")
    second = FSVAE(SMALL).to("cuda:1")
    second.load_state_dict(first.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(first.sample(64), second.sample(64))
