"""Recorded functions. Without a GPU, the same buffers with a recording that runs again instead of replaying."""

import pytest
import torch

from fsvae_tcja.vae import replay, sample
from fsvae_tcja.vae.replay import Replay, pays, replayed

from .conftest import SMALL, awake


def run_again(run):
    output = run()
    return lambda: output.copy_(run()), output


def record_fails(run):
    raise RuntimeError("operation not permitted when stream is capturing\nmore")


def test_same_results_and_no_shared_memory():
    model, choices = awake(SMALL), torch.randint(SMALL.k, (3, SMALL.T, 16, SMALL.latent))
    with torch.no_grad():
        drawn = Replay(model.prior.sample, choices[0], run_again)
        results = [drawn(choice) for choice in choices]
        for choice, z in zip(choices, results, strict=True):
            assert torch.equal(z, model.prior.sample(choice))
    assert 0.05 < results[0].mean() < 0.95
    assert not torch.equal(results[0], results[1])
    pointers = {t.untyped_storage().data_ptr() for t in (*results, drawn.input, drawn.output, choices)}
    assert len(pointers) == 6


def test_the_input_is_copied_into_the_same_memory():
    seen = []
    double = Replay(lambda x: seen.append(x.data_ptr()) or 2 * x, torch.zeros(3), run_again)
    x = torch.arange(3.0)
    assert double(x).tolist() == [0, 2, 4]
    x += 1
    assert double(x).tolist() == [2, 4, 6]
    assert set(seen) == {double.input.data_ptr()} and double.input.data_ptr() != x.data_ptr()


def test_what_cannot_be_recorded_runs_as_it_is_and_says_why(caplog):
    function = torch.neg
    assert replayed(function, torch.zeros(2), record_fails) is function
    assert "every operation is launched by itself: operation not permitted when stream is capturing" in caplog.text


def test_only_a_gpu_and_enough_calls_pay():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert not pays(cpu, 1000) and not pays(cuda, replay.WARM + 1) and pays(cuda, replay.WARM + 2)


@pytest.mark.parametrize("capture", [run_again, record_fails])
def test_images_are_the_same_with_whole_batches_replayed(monkeypatch, capture):
    model, calls = awake(SMALL), []
    expected = model.sample(41, seed=3, batch_size=10)
    monkeypatch.setattr(sample, "pays", lambda device, passes: passes > 1)
    monkeypatch.setattr(sample, "replayed", lambda f, x: calls.append(x.shape[1]) or replayed(f, x, capture))
    assert torch.equal(model.sample(41, seed=3, batch_size=10), expected)
    assert calls == [16]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_cuda_graph_draws_the_same():
    model = awake(SMALL).cuda()
    choices = torch.randint(SMALL.k, (3, SMALL.T, 64, SMALL.latent), device="cuda")
    draw = lambda choice: model.decode(model.prior.sample(choice))  # noqa: E731
    with torch.no_grad():
        recorded = Replay(draw, choices[0], replay.record)
        for choice in choices:
            assert torch.equal(recorded(choice), draw(choice))
