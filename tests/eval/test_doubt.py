"""Spread and interval of scores, floors, parts of a model, and what poor networks say: through the public functions."""

import dataclasses
import math
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from eval import (
    Autoencoder,
    Classifier,
    Extractor,
    Networks,
    Protocol,
    evaluate,
    load_reference,
    load_scores,
    make_references,
    save_scores,
)
from eval.cli import main
from eval.doubt import Doubt, difference, of_seeds
from eval.protocols import STRICT
from fsvae_tcja import FSVAE, FSVAEConfig, load, save
from fsvae_tcja.data.load import load_images
from fsvae_tcja.vae.latent.escape import Escape
from fsvae_tcja.vae.noise import Streams

ONE = torch.tensor([1.0, 0.0])  # a bright image is of the first class, a dark one of either


@pytest.fixture(scope="module")
def networks():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Networks(autoencoder=Autoencoder().eval(), classifier=Classifier().eval())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained model whose latent gives the probability of a code."""
    path = saved(tmp_path_factory.mktemp("run") / "model.safetensors", Escape())
    assert len(load(path).sample(16, 3).flatten(1).unique(dim=0)) > 8
    return path


def saved(path, latent):
    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSVAE_TCJA_BACKEND", "reference")
        torch.manual_seed(0)
        network = FSVAE(FSVAEConfig(T=2, L=16, latent=latent, channels=(4, 4, 4, 4)))
        for name, parameter in network.named_parameters():
            if "norm.weight" in name:
                parameter.data.uniform_(0.8, 1.5)
            if "norm.bias" in name:
                parameter.data.normal_(0.15, 0.2)
        with torch.no_grad():
            for _ in range(3):
                network(torch.rand(16, 1, 32, 32) * 2 - 1)
        save(network, path)
    return path


def test_seeds_closed_form():
    values = [3.0, 5.0, 4.0, 8.0]
    doubt = of_seeds(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (doubt.mean, doubt.spread) == pytest.approx((5.0, np.std(values, ddof=1)))
    assert (doubt.low, doubt.high) == pytest.approx((low, high), rel=1e-9)


def test_a_difference_is_welchs():
    a, b = [3.0, 5.0, 4.0, 8.0], [9.0, 7.0, 7.5, 8.0, 8.8]
    interval = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    mean, width = difference(of_seeds(a), of_seeds(b))
    assert (mean - width, mean + width) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_a_difference_is_that_of_the_values_that_are_shown(networks, tmp_path, capsys):
    """Of the mean over seeds from a single value there is no interval."""
    images = load_images("digits", "train").images[:200]
    (single,) = evaluate(images, "strict", ("FAD",), reference="digits", networks=networks)
    repeated = dataclasses.replace(single, doubt=of_seeds([single.value, single.value + 1, single.value + 2]))
    for name, score in (("single", single), ("repeated", repeated)):
        save_scores(tmp_path / f"{name}.json", [score])
    assert repeated.difference(single) == (pytest.approx(-1), None)
    assert main(["compare", str(tmp_path / "single.json"), str(tmp_path / "repeated.json")]) == 0
    out = capsys.readouterr().out
    assert f"{single.value + 1:.5g} +/- 1 " in out and "+1 " in out and " to " not in out


def test_the_bootstrap_of_a_share_is_binomial():
    """`Domain-sure` is a mean over independent images: its spread is sqrt(p (1 - p) / n)."""
    images = torch.zeros(400, 1, 32, 32, dtype=torch.uint8)
    images[:100] = 255
    bright = Extractor(
        "bright", "0" * 64, {"logits": 2}, torch.device("cpu"), lambda x: {"logits": x[:, 0, :2, 0] * ONE}
    )
    protocol = Protocol("strict", "", ("Domain-sure",), (STRICT.recipe("Domain-sure"),))
    (score,) = evaluate(images, protocol, bootstrap=400, networks=Networks(classifier=bright))
    assert score.value == 0.25 and score.doubt.mean == 0.25 and score.doubt.how == "bootstrap"
    assert score.doubt.spread == pytest.approx(math.sqrt(0.25 * 0.75 / 400), rel=0.1)
    assert score.doubt.high - 0.25 == pytest.approx(1.96 * score.doubt.spread, rel=0.01)


@pytest.mark.parametrize("bright", [2, 399])
def test_the_interval_of_a_share_ends_where_shares_end(bright):
    """Student's t alone would go on below 0 and above 1."""
    images = torch.zeros(400, 1, 32, 32, dtype=torch.uint8)
    images[:bright] = 255
    sees = Extractor("bright", "0" * 64, {"logits": 2}, torch.device("cpu"), lambda x: {"logits": x[:, 0, :2, 0] * ONE})
    (score,) = evaluate(images, "strict", ("Domain-sure",), bootstrap=100, networks=Networks(classifier=sees))
    low, high = score.value - 1.9 * score.doubt.spread, score.value + 1.9 * score.doubt.spread
    assert low < 0 or high > 1
    assert (score.doubt.low, score.doubt.high) == pytest.approx((max(low, 0), min(high, 1)), abs=1e-3)
    assert 0 <= score.doubt.low < score.value < score.doubt.high <= 1


def test_repeats_are_scores_of_the_seeds_that_follow(networks, model):
    given = {"reference": "digits", "networks": networks, "n": 60}
    single = [evaluate(model, "strict", ("FAD",), seed=seed, **given)[0] for seed in (3, 4)]
    (score,) = evaluate(model, "strict", ("FAD",), seed=3, repeats=2, **given)
    assert score.value == single[0].value and single[0].value != single[1].value
    assert score.doubt == of_seeds([one.value for one in single]).within(0, math.inf)
    assert single[1] - score == single[1].value - score.value


def test_repeats_of_images_that_know_no_seed_are_told(networks):
    """An interval without width would be taken for certainty."""
    images = load_images("digits", "train").images
    given = {"reference": "digits", "networks": networks, "n": 20}
    fixed, follows = (
        evaluate(draw, "strict", ("FAD", "DC-AE"), repeats=3, **given)
        for draw in (
            lambda start, count: images[start : start + count],
            lambda start, count: images[torch.randint(len(images), (count,))],
        )
    )
    for one in fixed:
        assert any("a generator: the scores on 3 seeds are equal" in note for note in one.notes)
    assert not any("seeds are equal" in note for one in follows for note in one.notes)
    assert follows[0].doubt.spread > 0


def test_floor_and_parts_of_a_checkpoint(networks, model):
    names = "FAD", "Domain-IS", "AuthPct-AE"
    given = {"reference": "digits", "networks": networks, "n": 60, "seed": 1}
    scores = evaluate(model, "strict", names, floor=True, parts=True, **given)
    assert [score.name for score in scores] == list(names)
    fad, _, auth = scores
    for score, split in ((fad, "train"), (auth, "test")):
        real = score.beside["real images"]
        (alone,) = evaluate(f"digits:{split}", "strict", (score.name,), **given)
        assert real == {"value": alone.value, "images": f"digits {split}"}
    assert auth.reference_description == "digits train, 1500 images"
    assert fad.beside["reconstructions"]["images"] == "reconstructions of digits train"
    assert fad.beside["reconstructions"]["value"] > fad.beside["real images"]["value"]
    code = {score.beside["code length"]["value"] for score in scores}
    network, images = load(model), load_images("digits", "test").images
    streams = Streams(1, 0, len(images), torch.device("cpu"))
    with torch.no_grad():
        x = images.float() / 127.5 - 1
        expected = network.latent.nll(network.encode(x, noise=network.latent.noise(streams))).mean().item()
    assert code == {code_nats := fad.beside["code length"]["value"]} and code_nats == pytest.approx(expected, rel=1e-5)
    assert expected > 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with train/ and test/, 20 digits in each."""
    place = tmp_path_factory.mktemp("folders") / "mine"
    for split in ("train", "test"):
        (place / split).mkdir(parents=True)
        for i, image in enumerate(load_images("digits", split).images[:20]):
            Image.fromarray(image[0].numpy()).save(place / split / f"{i:02d}.png")
    return place


@pytest.mark.parametrize(
    ("reference", "floor", "score", "real"),
    [
        ("mine:train", True, "FAD", "mine test"),
        ("mine:test", True, "FAD", "mine train"),
        ("mine:test", True, "AuthPct-AE", "mine train"),
        ("mine", True, "AuthPct-AE", "mine test"),
        ("mine", "mine", "FAD", "mine train"),
        ("digits", "digits", "FAD", "digits train"),
        ("digits", "digits:test", "FAD", "digits test"),
    ],
)
def test_the_floor_is_not_of_the_split_that_is_compared_with(networks, folder, reference, floor, score, real):
    """Unless that is asked for by its name: images compared with themselves are no floor."""
    given = {"reference": reference, "floor": floor}
    given = {name: what.replace("mine", str(folder)) if isinstance(what, str) else what for name, what in given.items()}
    (one,) = evaluate(load_images("digits", "train").images[:20], "strict", (score,), networks=networks, **given)
    assert one.beside["real images"]["images"] == real


def test_a_floor_that_cannot_be_had_stops_no_score(networks, folder, tmp_path):
    shutil.copytree(folder / "test", tmp_path / "mine" / "test")
    images = load_images("digits", "train").images[:20]
    for reference in ("mine", "mine:test"):
        given = {"reference": f"{tmp_path}/{reference}", "networks": networks}
        (score,) = evaluate(images, "strict", ("FAD",), floor=True, **given)
        assert score == dataclasses.replace(evaluate(images, "strict", ("FAD",), **given)[0], notes=score.notes)
        (told,) = [note for note in score.notes if note.startswith("no floor")]
        assert "no image for the split 'train'" in told
    with pytest.raises(ValueError, match="no 10 real images beside mine test for FAD: no image for the split 'train'"):
        make_references(f"{tmp_path}/mine", "strict", ("FAD",), networks=networks, floors=(10,))


def test_the_code_length_of_a_stochastic_code_is_less_its_entropy(networks, tmp_path):
    model = saved(tmp_path / "model.safetensors", Escape(stochastic=0.2))
    given = {"reference": "digits", "networks": networks, "n": 60, "seed": 1}
    (score,) = evaluate(model, "strict", ("FAD",), floor=True, parts=True, **given)
    network, images = load(model), load_images("digits", "test").images
    noise = network.latent.noise(Streams(1, 0, len(images), torch.device("cpu")))
    with torch.no_grad():
        z, a = network.latent.infer(network.encoder(images.float() / 127.5 - 1), noise)
        nll = network.latent.nll(z).mean().item()
    p = torch.sigmoid(a.double())
    entropy = -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).sum().item() / len(images)
    assert entropy > 0.1
    assert score.beside["code length"]["value"] == pytest.approx(nll - entropy, rel=1e-4)


def test_parts_need_as_many_real_images(networks, model):
    statistics = make_references("digits", "strict", ("FAD",), networks=networks)
    for reference, n in ((statistics, 60), ("digits", 5000)):
        with pytest.raises(ValueError, match="beside as many real images, and there are none"):
            evaluate(model, "strict", ("FAD",), reference=reference, networks=networks, n=n, floor=True, parts=True)


def test_floors_are_kept_with_statistics(networks, tmp_path):
    reference = make_references("digits", "strict", ("FAD",), networks=networks, floors=(100,))["FAD"]
    reference.save(tmp_path / "fad.safetensors")
    assert load_reference(tmp_path / "fad.safetensors").floors == reference.floors
    images = load_images("digits", "train").images[:100]
    for stored in (reference, tmp_path / "fad.safetensors"):
        (score,) = evaluate(images, "strict", reference=stored, scores=("FAD",), networks=networks)
        (real,) = evaluate("digits:train", "strict", ("FAD",), n=100, reference=stored, networks=networks)
        assert score.beside["real images"]["value"] == real.value
        (other,) = evaluate(images[:90], "strict", reference=stored, scores=("FAD",), networks=networks)
        assert other.beside == {}


@pytest.mark.parametrize(
    ("reference", "floor", "n", "why"),
    [
        ("digits", True, 1550, "digits train has 1,500 images, 1,550 are scored"),
        ("digits", "few", 60, "few has 20 images, 60 are scored"),
        ("tensor", True, 60, "the reference a tensor has no other split to take real images of"),
        ("statistics", True, 60, "the statistics of the reference keep none of 60 images"),
        (None, True, 60, "no reference was given whose data set has real images"),
    ],
)
def test_a_note_says_why_there_is_no_floor(networks, tmp_path, reference, floor, n, why):
    images = load_images("digits", "train").images
    images = torch.cat([images, images])[:n]
    name = "FAD" if reference else "Domain-sure"
    given = {"tensor": images[:50]}.get(reference, reference)
    if reference == "statistics":
        given = make_references("digits", "strict", ("FAD",), networks=networks)
    if floor == "few":
        np.save(tmp_path / "few.npy", images[:20].numpy())
        floor = tmp_path / "few.npy"
    (score,) = evaluate(images, "strict", (name,), reference=given, floor=floor, networks=networks)
    (told,) = [note for note in score.notes if note.startswith("no floor")]
    assert why.replace("few has", "few.npy has") in told and score.beside == {}
    assert "real images (floor, --floor IMAGES)" in told and "mnist" not in told
    (silent,) = evaluate(images, "strict", (name,), reference=given, networks=networks)
    assert "no floor" not in " ".join(silent.notes)
    save_scores(tmp_path / "scores.json", [score])
    assert told in load_scores(tmp_path / "scores.json")[0].notes


def test_records_keep_doubt_and_what_stands_beside(networks, tmp_path, capsys):
    given = {"reference": "digits", "networks": networks, "n": 200, "floor": True, "bootstrap": 20}
    a, b = (evaluate(f"digits:{split}", "strict", ("FAD",), **given) for split in ("train", "test"))
    for name, scores in (("a", a), ("b_1", b)):
        save_scores(tmp_path / f"{name}.json", scores)
        assert load_scores(tmp_path / f"{name}.json") == scores
    mean, width = difference(a[0].doubt, b[0].doubt)
    notes = [*dict.fromkeys(note for score in (*a, *b) for note in score.notes)]
    assert "digits test: the images are compared with themselves" in notes
    own = "digits test: the images are compared with themselves"
    files = [str(tmp_path / f"{name}.json") for name in ("a", "b_1", "a")]
    assert main(["compare", *files[:2]]) == 0
    shown = capsys.readouterr().out
    assert f"{mean:+.5g} ({mean - width:.4g} to {mean + width:.4g})" in shown
    assert re.search(r"FAD +│ lower +│ strict", shown) and f"note, B (FAD): {own}" in shown.splitlines()
    assert main(["compare", *files]) == 0 and "C - A" in capsys.readouterr().out
    assert main(["compare", *files[:2], "--format", "latex"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 3 + len(notes) and rows[2].startswith(r"b\_1 & FAD & lower & ") and r"$\pm$" in rows[2]
    assert all(row.endswith(rf"{score[0].sha256[:12]} \\") for row, score in zip(rows[1:3], (a, b), strict=True))
    assert f"% b_1 (FAD): {own}" in rows[3:]
    assert main(["compare", *files[:2], "--format", "markdown"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[1] == "| --- | --- | --- | --- | --- | --- | --- | --- |" and len(rows) == 5 + len(notes)
    assert rows[3].startswith("| b_1 | FAD | lower | ") and rows[4] == "" and f"- b_1 (FAD): {own}" in rows[5:]
    save_scores(tmp_path / "two.json", [*b, dataclasses.replace(b[0], name="KID")])
    assert main(["compare", str(tmp_path / "two.json"), files[1]]) == 0
    assert f"note, A (FAD, KID), B (FAD): {own}" in capsys.readouterr().out.splitlines()
    (tmp_path / "other").mkdir()
    save_scores(tmp_path / "other" / "a.json", b)
    assert main(["compare", files[0], str(tmp_path / "other" / "a.json"), "--format", "markdown"]) == 0
    called = [row.split(" | ")[0] for row in capsys.readouterr().out.splitlines()[2:4]]
    assert called == [f"| {tmp_path / 'a'}", f"| {tmp_path / 'other' / 'a'}"]
    save_scores(tmp_path / "a~b^c.json", b)
    assert main(["compare", files[0], str(tmp_path / "a~b^c.json"), "--format", "latex"]) == 0
    assert r"a\textasciitilde{}b\textasciicircum{}c & FAD" in capsys.readouterr().out
    save_scores(tmp_path / "none.json", [])
    assert main(["compare", files[0], str(tmp_path / "none.json")]) == 2
    assert "there is nothing to compare" in capsys.readouterr().err
    assert main(["compare", files[0], "absent.json"]) == 2
    assert "there is no file of scores absent.json" in capsys.readouterr().err
    assert main(["compare", files[0]]) == 2 and "two files of scores or more" in capsys.readouterr().err
    assert main(["protocols"]) == 0 and "by name alone: MIND-AE, " in capsys.readouterr().out


def test_poor_networks_say_so():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        autoencoder, classifier = Autoencoder().eval(), Classifier().eval()
    autoencoder.provenance = {"data": "mnist", "test_mse": 0.3, "images": 500}
    classifier.provenance = {"data": "mnist", "test_accuracy": 0.62, "images": 60_000}
    networks = Networks(autoencoder=autoencoder, classifier=classifier)
    fad, domain = evaluate("digits:train", "strict", ("FAD", "Domain-IS"), reference="digits", networks=networks)
    assert any("reconstruction error on test images is 0.3" in note and "500 images" in note for note in fad.notes)
    assert any("right about 62.0% of the test images" in note for note in domain.notes)
    autoencoder.provenance = {"data": "mnist", "test_mse": 0.03, "images": 60_000}
    (fad,) = evaluate(
        "digits:train", "strict", ("FAD",), reference="digits", networks=Networks(autoencoder=autoencoder)
    )
    assert not any("judge" in note for note in fad.notes)


def test_bad_input(networks, model):
    images, given = load_images("digits", "train").images[:40], {"networks": networks, "reference": "digits"}
    for options, message in (
        ({"repeats": 3}, "there already and cannot be drawn on other seeds"),
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"bootstrap": 1}, "bootstrap 0 or at least 2, found 1 and 1"),
        ({"parts": True, "floor": True}, "draws from no checkpoint"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(images, "strict", ("FAD",), **given, **options)
    with pytest.raises(ValueError, match="give floor=True or real images"):
        evaluate(model, "strict", ("FAD",), n=20, parts=True, **given)
    with pytest.raises(ValueError, match="not both"):
        evaluate(model, "strict", ("FAD",), n=20, repeats=2, bootstrap=9, **given)
    with pytest.raises(ValueError, match="FD-inf-AE needs at least 150 images"):
        evaluate(images, "strict", ("FD-inf-AE",), **given)
    halves = "scores halves of the 10 images: DC-AE needs at least 6 images on either side, found 5"
    with pytest.raises(ValueError, match=halves):
        evaluate(images, "strict", ("DC-AE",), n=10, bootstrap=4, **given)
    with pytest.raises(ValueError, match="the split train, found digits test"):
        evaluate(images, "strict", ("AuthPct-AE",), networks=networks, reference="digits:test")
    content = dataclasses.asdict(of_seeds([1.0, 2.0]))
    assert Doubt.from_dict(content) == of_seeds([1.0, 2.0])
    for wrong in (
        {"times": 1},
        {"times": 0},
        {"how": "guess"},
        {"spread": -1.0},
        {"mean": math.nan},
        {"low": -math.inf},
    ):
        with pytest.raises(ValueError, match="not a score: its doubt is"):
            Doubt.from_dict(content | wrong)
    with pytest.raises(ValueError, match="doubt is of another form"):
        Doubt.from_dict(content | {"times": "2"})
