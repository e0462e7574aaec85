"""The spiking prior against its equations, written out."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from fsvae_tcja.core import CENTRED_LIF, Neuron
from fsvae_tcja.core.escape import BLOCK
from fsvae_tcja.vae.latent import escape_prior
from fsvae_tcja.vae.latent.escape_prior import EscapePrior

T, L, G, H, N, CLASSES = 3, 8, 4, 24, 9, 3


def awake(classes=CLASSES, T=T, L=L, G=G, H=H, neuron=CENTRED_LIF, strength=1.0):
    """A prior that has learned something: no weight is zero, statistics of codes that it was shown."""
    torch.manual_seed(0)
    prior = EscapePrior(T, L, G, H, neuron, classes)
    for parameter in prior.parameters():
        parameter.data += strength * 0.5 * torch.randn_like(parameter)
    prior.train()
    with torch.no_grad():
        for seed in range(60):
            z, labels = codes(32, seed, T, L)
            prior(z, labels % classes if classes else None)
    return prior.eval()


def codes(n=N, seed=0, T=T, L=L):
    generator = torch.Generator().manual_seed(seed)
    z = (torch.rand(T, n, L, generator=generator) < 0.4).float()
    return z, torch.randint(CLASSES + 1, (n,), generator=generator)


def naive(prior, z, labels=None):
    """Membranes u [M, N, B] by the equations of the class, one sum at a time; norm by the statistics of the batch."""
    M, B = prior.b.shape[0], prior.a.shape[1]
    bits = torch.stack([z[m // prior.groups][:, m % prior.groups * B : (m % prior.groups + 1) * B] for m in range(M)])
    current = []
    for m in range(M):
        c = prior.b[m].expand(z.shape[1], -1)
        c = c if labels is None else c + prior.Y[labels]
        for before in range(m):
            c = c + bits[before] @ prior.W[before]
        current.append(c)
    c, norm = torch.stack(current), prior.layer.norm
    mean, var = c.mean((0, 1)), c.var((0, 1), unbiased=False)
    c = norm.weight * norm.scale * (c - mean) / (var + norm.eps).sqrt() + norm.bias
    v, u = torch.zeros_like(c[0]), []
    for m in range(M):
        s, v = prior.layer.neuron.step(c[m], v)
        out = s @ prior.V[m] + prior.a[m]
        out = out if labels is None else out + prior.Yd[labels][:, m * B : (m + 1) * B]
        for before in range(m):
            out = out + bits[before] @ prior.D[before * B : (before + 1) * B, m * B : (m + 1) * B]
        u.append(out)
    return torch.stack(u), bits


@pytest.mark.parametrize("classes", [0, CLASSES])
@pytest.mark.parametrize("sizes", [(T, L, G, H), (1, 5, 1, 7), (2, 6, 6, 3)])
@pytest.mark.parametrize("long", [False, True])
def test_every_gradient_is_that_of_the_equations(classes, sizes, long, monkeypatch):
    T, L, G, H = sizes
    if long:  # as codes of thousands of bits are computed
        monkeypatch.setattr(escape_prior, "LONG", 0)
    prior = awake(classes, T, L, G, H).train()
    z, labels = codes(17, 5, T, L)
    labels = labels if classes else None
    found, expected = {}, {}
    for gradients, compute in ((found, lambda z: prior.nll(z, labels)), (expected, None)):
        prior.zero_grad()
        x = z.clone().requires_grad_()
        if compute is None:
            u, bits = naive(prior, x, labels)
            nats = (F.softplus(u) - u * bits).sum((0, 2))
        else:
            nats = compute(x)
        (nats * torch.linspace(0.5, 2, 17)).sum().backward()
        gradients |= {"nats": nats.detach(), "z": x.grad, **{name: p.grad for name, p in prior.named_parameters()}}
    assert found.keys() == expected.keys()
    last = {"W": -1, "D": -1}  # what the last micro-step fires goes nowhere
    for name, gradient in found.items():
        wanted = torch.zeros_like(gradient) if expected[name] is None else expected[name]
        torch.testing.assert_close(
            gradient, wanted, atol=2e-4, rtol=2e-4, msg=lambda text, name=name: f"{name}: {text}"
        )
        if T * G == 1 and not classes and name == "layer.norm.weight":
            continue  # one current for all images: its gradient is rounding, or zero
        silent = T * G == 1 and name in last
        assert bool(gradient.any()) != silent, name


@pytest.mark.parametrize("classes", [0, CLASSES])
def test_stepping_agrees_with_teacher_forcing(classes):
    prior = awake(classes)
    z, labels = codes(200)
    labels = labels if classes else None
    u = prior(z, labels)
    torch.testing.assert_close(u, prior.at_once(prior._micro_steps(z), labels), atol=1e-5, rtol=1e-5)
    assert u.std() > 0.5


def test_a_code_has_the_probability_that_it_is_drawn_with():
    """Bit for bit: the membranes in drawing are those that the likelihood is computed from."""
    prior = awake()
    noise = torch.rand(100, T * L, generator=torch.Generator().manual_seed(1))
    labels = torch.randint(CLASSES + 1, (100,))
    z = prior.sample(noise, labels)
    bits, drawn = prior._one_by_one(noise.view(100, T * G, L // G), labels)
    assert torch.equal(z, bits.view(100, T, L).transpose(0, 1))
    assert torch.equal(prior(z, labels), drawn.transpose(0, 1))
    assert torch.equal(bits, (noise.view_as(bits) < drawn.sigmoid()).float())
    assert 0.05 < z.mean() < 0.95


def test_gradients_in_eval_mode_are_those_of_all_micro_steps_at_once():
    prior, (z, labels) = awake(), codes()
    found, expected = {}, {}
    for gradients, compute in ((found, prior), (expected, prior.at_once)):
        prior.zero_grad()
        x = z.clone().requires_grad_()
        u = compute(x if compute is prior else prior._micro_steps(x), labels)
        (u * torch.linspace(-1, 1, u.numel()).view_as(u)).sum().backward()
        gradients |= {"z": x.grad, **{name: p.grad for name, p in prior.named_parameters()}}
    assert all(torch.equal(found[name], gradient) and gradient.any() for name, gradient in expected.items())


def test_a_code_holds_bits():
    prior, (z, labels) = awake(), codes()
    with pytest.raises(ValueError, match="a code in eval mode must hold bits, 0 or 1"):
        prior(z / 2, labels)


@pytest.mark.parametrize("shape", [(T + 1, N, L), (T - 1, N, L), (T, N, 2 * L), (T, L)])
@pytest.mark.parametrize("training", [True, False])
def test_codes_of_another_model_are_refused(shape, training):
    """Of codes that are longer the kernel would read beyond its weights."""
    with pytest.raises(ValueError, match=rf"z must be \[T={T}, N, L={L}\], found \["):
        awake(0).train(training).nll(torch.zeros(shape))


@pytest.mark.parametrize("labels", [torch.tensor([1]), torch.tensor(1), torch.zeros(N + 1, dtype=torch.int64)])
@pytest.mark.parametrize("training", [True, False])
def test_there_is_a_label_for_each_code(labels, training):
    prior, (z, _) = awake().train(training), codes()
    for run in (lambda: prior.nll(z, labels), lambda: prior.sample(torch.rand(N, T * L), labels)):
        with pytest.raises(ValueError, match=rf"labels must be int64 \[{N}\], one for each code, found \["):
            run()


def test_autocast_leaves_drawing_as_it_is(monkeypatch):
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")
    prior, noise = awake(), torch.rand(500, T * L, generator=torch.Generator().manual_seed(0))
    drawn = prior.sample(noise, labels := torch.arange(500) % CLASSES)
    with torch.autocast("cpu", torch.bfloat16):
        again = prior.sample(noise, labels)
    assert again.dtype == torch.float32 and torch.equal(again, drawn)


def test_a_prior_in_double_precision():
    prior, (z, labels) = awake(), codes()
    nats, noise = prior.nll(z, labels), torch.rand(N, T * L)
    drawn = prior.sample(noise, labels)
    torch.testing.assert_close(prior.double().nll(z.double(), labels).float(), nats, atol=1e-4, rtol=1e-5)
    assert torch.equal(prior.sample(noise, labels).float(), drawn)


@pytest.mark.parametrize("label", [None, 0, 2])
def test_the_probabilities_of_all_codes_sum_to_one(label):
    prior = awake(0 if label is None else CLASSES, 2, 4, 2, 10)
    every = torch.tensor(list(product((0.0, 1.0), repeat=8))).view(256, 2, 4).transpose(0, 1)
    nats = prior.nll(every, None if label is None else torch.full((256,), label))
    assert (-nats.double()).exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert nats.std() > 0.5


def test_codes_are_drawn_as_often_as_they_are_probable():
    prior = awake(0, 1, 3, 3, 10)
    every = torch.tensor(list(product((0.0, 1.0), repeat=3))).unsqueeze(0)
    n = 20000
    z = prior.sample(torch.rand(n, 3, generator=torch.Generator().manual_seed(2)))
    found = torch.bincount((z[0] @ torch.tensor([4.0, 2.0, 1.0])).long(), minlength=8) / n
    p = (-prior.nll(every)).exp()
    assert ((found - p).abs() < 4 * (p * (1 - p) / n).sqrt()).all()


def test_independent_bits_cost_their_entropy():
    torch.manual_seed(0)
    p = torch.tensor([0.02, 0.1, 0.3, 0.5, 0.7, 0.95]).repeat(2, 1)
    entropy = -(p * p.log() + (1 - p) * (1 - p).log()).sum().item()
    prior = EscapePrior(2, 6, 3, 8, CENTRED_LIF)
    optimizer = torch.optim.AdamW(prior.parameters(), lr=0.05)
    for step in range(400):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / 400)
        loss = prior.nll((torch.rand(2, 256, 6) < p[:, None]).float()).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    prior.eval()
    with torch.no_grad():
        found = prior.nll((torch.rand(2, 20000, 6) < p[:, None]).float()).mean().item()
    assert entropy - 0.05 < found < entropy + 0.1


def test_what_a_code_is_does_not_depend_on_the_others():
    prior = awake()
    noise = torch.rand(150, T * L, generator=torch.Generator().manual_seed(3))
    labels = torch.randint(CLASSES + 1, (150,), generator=torch.Generator().manual_seed(3))
    z = prior.sample(noise, labels)
    for n in (1, 2, BLOCK, BLOCK + 1):
        assert torch.equal(prior.sample(noise[:n], labels[:n]), z[:, :n])
        assert torch.equal(prior.sample(noise[150 - n :], labels[150 - n :]), z[:, 150 - n :])
        assert torch.equal(prior(z[:, :n], labels[:n]), prior(z, labels)[:, :n])


def test_micro_steps_see_what_was_fired_before_them_only():
    prior = awake()
    z, labels = codes()
    changed = z.clone()
    changed[1, :, 2:4] = 1 - changed[1, :, 2:4]  # micro-step G + 1
    before, after = prior(z, labels), prior(changed, labels)
    assert torch.equal(before[: G + 2], after[: G + 2])
    assert all((before[m] != after[m]).any() for m in range(G + 2, T * G))


def test_the_label_changes_the_code():
    prior = awake()
    noise = torch.rand(40, T * L)
    drawn = [prior.sample(noise, torch.full((40,), label)) for label in range(CLASSES + 1)]
    assert all(not torch.equal(drawn[0], other) for other in drawn[1:])


def naive_guided(prior, noise, labels, guidance):
    """Codes of noise [N, T L], each micro-step by the membranes of the bits before it with the label and without."""
    z = torch.zeros(prior.T, len(noise), prior.L)
    none = torch.full_like(labels, prior.classes)
    for m in range(prior.T * prior.groups):
        B = prior.L // prior.groups
        u = (1 + guidance) * prior(z, labels)[m] - guidance * prior(z, none)[m]
        bits = slice(m % prior.groups * B, (m % prior.groups + 1) * B)
        z[m // prior.groups, :, bits] = (noise[:, m * B : (m + 1) * B] < u.sigmoid()).float()
    return z


@pytest.mark.parametrize("guidance", [0.5, 3.0])
def test_guidance_by_its_equation(guidance):
    prior, n = awake(), BLOCK + 6
    noise = torch.rand(n, T * L, generator=torch.Generator().manual_seed(4))
    labels = torch.arange(n) % (CLASSES + 1)
    z = prior.sample(noise, labels, guidance)
    assert torch.equal(z, naive_guided(prior, noise, labels, guidance))
    plain, none = prior.sample(noise, labels), labels == CLASSES
    assert torch.equal(z[:, none], plain[:, none])  # without a label there is nothing to guide towards
    assert (z[:, ~none] != plain[:, ~none]).any()
    assert torch.equal(prior.sample(noise, labels, 0.0), plain)
    for part in (slice(0, 1), slice(n - 3, n)):
        assert torch.equal(prior.sample(noise[part], labels[part], guidance), z[:, part])


def test_guidance_makes_the_class_plainer():
    """The nats by which the label explains a code better than no label does rise with guidance."""
    prior, n = awake(), 600
    noise = torch.rand(n, T * L, generator=torch.Generator().manual_seed(5))
    labels, none = torch.arange(n) % CLASSES, torch.full((n,), CLASSES)
    gains = []
    for guidance in (0.0, 1.0, 4.0):
        z = prior.sample(noise, labels, guidance)
        gains.append((prior.nll(z, none) - prior.nll(z, labels)).mean().item())
    assert gains[0] < gains[1] < gains[2]


def test_guidance_needs_something_to_guide_towards():
    noise = torch.rand(2, T * L)
    for value in (-0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"guidance must be a number >= 0, found {value}"):
            awake().sample(noise, torch.zeros(2, dtype=torch.int64), value)
    with pytest.raises(ValueError, match=r"guidance needs labels to guide towards, found 1\.0 without"):
        awake().sample(noise, None, 1.0)
    with pytest.raises(ValueError, match="guidance needs a prior with classes"):
        awake(0).sample(noise, None, 1.0)


def test_groups_must_divide_the_bits():
    with pytest.raises(ValueError, match="groups must divide the 8 bits of a step, found 3"):
        EscapePrior(2, 8, 3, 4, Neuron.of("fsvae2022"))
