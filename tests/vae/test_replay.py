"""Recorded runs. Without a GPU: the same buffers and the same book-keeping, with a recording that runs again."""

import copy
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fsvae_tcja.utils.once import warn_once
from fsvae_tcja.vae import FSVAE, replay
from fsvae_tcja.vae.latent.bernoulli import draw_prefix, draw_stream
from fsvae_tcja.vae.replay import KINDS, WARM, Replay

from .conftest import SMALL, K, awake


def picks(n):
    return torch.randint(K, (SMALL.T, n, SMALL.L), generator=torch.Generator().manual_seed(n))


def plain(prior, choice):
    """What drawing gives without a recording."""
    with torch.no_grad():
        return draw_stream.__wrapped__(prior, None, choice)


def run_again(run, device):
    output = run()
    return lambda: output.copy_(run()), output


def fails(run, device):
    raise RuntimeError("operation not permitted when stream is capturing\nmore")


@pytest.fixture
def prior():
    return awake(SMALL).latent.prior


@pytest.fixture
def recordings(prior, monkeypatch):
    """Pretend that the CPU is a GPU; grows by one with each recording."""
    made = []
    monkeypatch.setattr(replay, "record", lambda run, device: made.append(device.type) or run_again(run, device))
    monkeypatch.setattr(replay, "RECORDED", ("cpu",))
    warn_once.cache_clear()
    return made


def test_same_results_and_no_shared_memory(monkeypatch):
    monkeypatch.setattr(replay, "record", run_again)
    model, choices = awake(SMALL), torch.randint(K, (3, SMALL.T, 16, SMALL.L))
    with torch.no_grad():
        drawn = Replay(model.latent.prior.sample, (choices[0],))
        results = [drawn(choice) for choice in choices]
        for choice, z in zip(choices, results, strict=True):
            assert torch.equal(z, model.latent.prior.sample(choice))
    assert 0.05 < results[0].mean() < 0.95
    assert not torch.equal(results[0], results[1])
    pointers = {t.untyped_storage().data_ptr() for t in (*results, *drawn.inputs, drawn.output, choices)}
    assert len(pointers) == 6


def test_inputs_are_copied_into_the_same_memory_and_none_stays_none(monkeypatch):
    monkeypatch.setattr(replay, "record", run_again)
    seen = []
    double = Replay(lambda x, nothing: seen.append((x.data_ptr(), nothing)) or 2 * x, (torch.zeros(3), None))
    x = torch.arange(3.0)
    assert double(x, None).tolist() == [0, 2, 4]
    x += 1
    assert double(x, None).tolist() == [2, 4, 6]
    assert set(seen) == {(double.inputs[0].data_ptr(), None)} and double.inputs[0].data_ptr() != x.data_ptr()


def losses_and_images(model):
    """Of a training run with scheduled sampling."""
    random, losses = torch.Generator().manual_seed(0), []
    optimizer = torch.optim.SGD(model.parameters(), 0.1)  # changes the weights in place
    images = torch.rand(5, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    for _ in range(WARM + 3):
        out = model.train()(images, generator=random)
        # beyond the end of a training: 0.7 of the steps are replaced
        loss = model.losses(images, out, progress=3.0, generator=random)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model.sample(41, batch_size=8)


def test_training_with_scheduled_sampling_and_drawing_are_the_same_when_recorded(request):
    recorded, other = awake(SMALL), awake(SMALL)
    expected_losses, expected_images = losses_and_images(other)
    made = request.getfixturevalue("recordings")
    losses, images = losses_and_images(recorded)
    assert len(made) == 4  # the posterior's draw, the prior's own steps, the drawing of a batch, in which the prior's
    assert losses == expected_losses and len(set(losses)) == len(losses)
    assert torch.equal(images, expected_images)


def test_only_what_comes_again_is_recorded(prior, recordings):
    for n in range(1, 5):
        prior.sample(picks(n))
    assert not recordings
    for _ in range(WARM + 2):
        prior.sample(picks(4))
    assert len(recordings) == 1


def test_a_module_that_moved_is_recorded_anew(prior, recordings):
    choice = picks(4)
    for _ in range(WARM + 1):
        prior.sample(choice)
    assert len(recordings) == 1
    prior.layers[0].transform.weight = torch.nn.Parameter(-prior.layers[0].transform.weight)
    for _ in range(WARM + 1):
        found = prior.sample(choice)
    assert len(recordings) == 2
    assert torch.equal(found, plain(prior, choice))


def test_the_recordings_last_used_are_kept_and_go_with_their_module(prior, recordings, monkeypatch):
    monkeypatch.setattr(replay, "record", lambda run, device: recordings.append(1) or (lambda: None, run()))
    for n in [*range(1, KINDS + 1), 1, KINDS + 1]:  # 1 is used again, so 2 gives way
        for _ in range(WARM + 1):
            prior.sample(picks(n))
    kept = replay._recordings[prior].runs
    assert len(recordings) == KINDS + 1 and len(kept) == KINDS
    prior.sample(picks(1))
    assert len(recordings) == KINDS + 1
    for _ in range(WARM):
        prior.sample(picks(2))
    assert len(recordings) == KINDS + 1, "a kind that gave way has to come as often as a new one"
    prior.sample(picks(2))
    assert len(recordings) == KINDS + 2 and len(kept) == KINDS
    recordings.clear()
    twin = copy.deepcopy(prior)
    assert prior in replay._recordings and twin not in replay._recordings
    for _ in range(WARM + 1):
        twin.sample(picks(4))
    assert len(recordings) == 1
    gone = weakref.ref(twin)
    del twin
    gc.collect()
    assert gone() is None


def test_drawing_records_a_size_of_passes_when_it_comes_again(recordings):
    """Sizes double up to that of the batch, and no image depends on them."""
    model = awake(SMALL)
    twin = copy.deepcopy(model)
    expected = twin.sample(70, seed=3, batch_size=70)
    shapes = []
    handle = twin.decoder.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape[1]))
    for n in (1, 16, 17, 33, 48, 60, 70):
        assert torch.equal(twin.sample(n, seed=3, batch_size=70), expected[:n])
    handle.remove()
    assert shapes == [16, 16, 32, 64, 64, 64, 80]
    recordings.clear()  # of the prior's steps, as there is no GPU that says that a pass is recorded
    model.sample(40, batch_size=64)
    assert not recordings
    model.sample(61, batch_size=64)
    assert len(recordings) == 1
    for n in range(33, 65, 5):
        model.sample(n, batch_size=64)
    assert len(recordings) == 2  # the prior's steps again


def test_the_cpu_pads_to_whole_blocks_alone():
    model, shapes = FSVAE(SMALL), []
    model.decoder.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape[1]))
    model.sample(33, batch_size=64)
    assert shapes == [48]


def recorded(prior, choice):
    """Call until a recording would have been made."""
    for _ in range(WARM + 2):
        found = prior.sample(choice)
    return found


def test_who_looks_inside_sees_every_operation(prior, recordings):
    seen = []
    handle = prior.layers[1].transform.register_forward_hook(lambda *_: seen.append(1))
    recorded(prior, picks(4))
    assert len(seen) == (WARM + 2) * SMALL.T and not recordings
    handle.remove()
    with FlopCounterMode(display=False) as counter:
        recorded(prior, picks(4))
    assert counter.get_total_flops() % (WARM + 2) == 0 and counter.get_total_flops() > 0 and not recordings
    recorded(prior, picks(4))
    assert len(recordings) == 1


def test_other_settings_are_recorded_by_themselves(prior, recordings):
    expected = recorded(prior, picks(4))
    with torch.inference_mode():
        assert torch.equal(recorded(prior, picks(4)), expected)
    assert torch.equal(prior.sample(picks(4)), expected)
    with torch.autocast("cpu", torch.bfloat16):
        recorded(prior, picks(4))
    for layer in prior.layers:
        layer.neuron.backend = "reference"
    recorded(prior, picks(4))
    assert len(recordings) == 4


def test_the_precision_of_products_may_be_set_by_the_newer_interface(prior, recordings):
    expected, conv = recorded(prior, picks(4)), torch.backends.cudnn.conv
    before = conv.fp32_precision
    try:
        conv.fp32_precision = "ieee"  # cudnn.allow_tf32 raises now
        assert torch.equal(recorded(prior, picks(4)), expected)
    finally:
        conv.fp32_precision = before
        torch.backends.cudnn.allow_tf32 = before == "tf32"
    assert len(recordings) == 2


def test_a_run_in_training_tracks_its_batches_once_each(recordings, monkeypatch):
    posterior, twin = (awake(SMALL).latent.posterior.train() for _ in range(2))
    x, choice = torch.rand(SMALL.T, 4, SMALL.L).round(), picks(4)
    monkeypatch.setattr(replay, "record", lambda run, device: recordings.append(1) or made_once(run))
    for _ in range(WARM + 2):
        with torch.no_grad():
            expected = draw_prefix.__wrapped__(twin, x, choice)
        assert torch.equal(draw_prefix(posterior, x, choice), expected)
    assert recordings.count(1) == 1
    for a, b in zip(posterior.buffers(), twin.buffers(), strict=True):
        assert torch.equal(a, b)


def made_once(run):
    """A recording runs nothing by itself; the result appears with the first replay."""
    output = torch.empty(SMALL.T, 4, SMALL.L)
    return lambda: output.copy_(run()), output


def test_threads_do_not_share_memory(prior, recordings):
    choices = [picks(4), picks(4).flip(0)]
    expected = [plain(prior, choice) for choice in choices]
    assert not torch.equal(*expected)

    both = threading.Barrier(2)

    def draws(i):
        both.wait(60)
        return all(torch.equal(prior.sample(choices[i]), expected[i]) for _ in range(100))

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(draws, range(2)))
    assert len(recordings) == 2


def test_stepping_gives_no_gradient(prior):
    assert prior.layers[0].transform.weight.requires_grad and torch.is_grad_enabled()
    assert not draw_stream(prior, None, picks(4)).requires_grad


def test_what_cannot_be_recorded_runs_as_it_is_and_says_why_once(prior, recordings, monkeypatch, caplog):
    monkeypatch.setattr(replay, "record", fails)
    choice = picks(4)
    expected = prior.sample(choice)
    for _ in range(WARM + 3):
        assert torch.equal(prior.sample(choice), expected)
    assert len(caplog.messages) == 1
    assert "every operation is launched by itself: operation not permitted when stream is capturing" in caplog.text


def test_the_cpu_never_records(prior, monkeypatch):
    monkeypatch.setattr(replay, "record", fails)
    choice = picks(4)
    for _ in range(WARM + 2):
        prior.sample(choice)
    assert prior not in replay._recordings


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_cuda_graph_draws_the_same():
    model = awake(SMALL).cuda()
    choices = torch.randint(K, (WARM + 3, SMALL.T, 64, SMALL.L), device="cuda")
    for choice in choices:
        found = model.latent.prior.sample(choice)
        assert torch.equal(found, plain(model.latent.prior, choice))
    (recordings,) = [r for m, r in replay._recordings.items() if m is model.latent.prior]
    assert all(isinstance(run, Replay) for run in recordings.runs.values()) and recordings.runs
