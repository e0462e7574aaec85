"""Scores as objects: JSON, comparison, protocols."""

import dataclasses
import json

import pytest

from eval.protocols import PROTOCOLS, STRICT, get_protocol
from eval.result import Score, load_scores, save_scores


def score(**changes) -> Score:
    recipe = STRICT.recipe("FAD")
    content = {
        "name": "FAD",
        "value": 3.25,
        "std": None,
        "protocol": "strict",
        "n": 5000,
        "seed": 1,
        "images": "a folder",
        "pixels": "28 x 28",
        "value_range": None,
        "extractor": "a" * 64,
        "extractor_description": "autoencoder of mnist",
        "reference": "b" * 64,
        "reference_description": "mnist test, 10000 images",
        "reference_pixels": "28 to 32, PIL bilinear",
        "recipe": recipe.as_dict(),
        "notes": ("a note",),
    }
    return Score(**content | changes)


def test_lists_of_scores(tmp_path):
    scores = [score(), score(name="FID", std=0.5)]
    save_scores(tmp_path / "scores.json", scores)
    assert load_scores(tmp_path / "scores.json") == scores
    assert scores[0].versions["torch"]


def test_whole_numbers_of_other_programs_are_read(tmp_path):
    """They may write 1.0 as 1, which JSON takes for the same."""
    written = score(value=1.0, std=0.0)
    rewritten = dataclasses.asdict(written) | {"value": 1, "std": 0}
    (tmp_path / "rewritten.json").write_text(json.dumps([rewritten]))
    (read,) = load_scores(tmp_path / "rewritten.json")
    assert read == written and read.sha256 == written.sha256


def test_scores_under_a_former_name_are_read_and_compared(tmp_path):
    recipe = STRICT.recipe("Domain-sure")
    assert STRICT.recipe("sure") == recipe
    new = score(name="Domain-sure", recipe=recipe.as_dict())
    old = dataclasses.asdict(new) | {"name": "sure", "recipe": recipe.as_dict() | {"score": "sure"}, "value": 3.0}
    (tmp_path / "old.json").write_text(json.dumps([old]))
    (read,) = load_scores(tmp_path / "old.json")
    assert read == dataclasses.replace(new, value=3.0) and new - read == 0.25


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "Expecting value"),
        ("3", "expected a JSON object with the keys"),
        ('{"value": 3}', "expected a JSON object with the keys"),
        ('[{"value": 3}]', "expected a JSON object with the keys"),
    ],
)
def test_what_is_no_score_is_refused(tmp_path, text, message):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ValueError, match=f"bad.json holds no scores.*{message}"):
        load_scores(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [("value", "3"), ("value", True), ("n", 3.5), ("notes", "one"), ("recipe", []), ("seed", "0"), ("name", None)],
)
def test_fields_of_another_type_are_refused(tmp_path, field, value):
    (tmp_path / "scores.json").write_text(json.dumps([dataclasses.asdict(score()) | {field: value}]))
    with pytest.raises(ValueError, match=f"not a score: {field} is "):
        load_scores(tmp_path / "scores.json")


@pytest.mark.parametrize("field", ["value", "std"])
def test_a_score_is_finite(field):
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"FAD is .* expected finite numbers"):
            score(**{field: number})


def test_every_bit_of_a_value_survives(tmp_path):
    scores = [score(value=v, std=v / 3) for v in (0.1 + 0.2, 5e-324, 1.7976931348623157e308, 0.0)]
    save_scores(tmp_path / "scores.json", scores)
    assert load_scores(tmp_path / "scores.json") == scores


def test_like_is_compared_with_like():
    assert score(value=3.0, seed=7) < score(value=4.0)
    assert score(value=3.0) - score(value=4.0) == -1.0


@pytest.mark.parametrize("field", ["name", "protocol", "n", "pixels", "extractor", "reference", "recipe"])
def test_unlike_scores_refuse_to_be_compared(field):
    recipe = STRICT.recipe("FAD").as_dict() | {"batch_norm": "batch"}
    other = score(**{field: recipe if field == "recipe" else "other"})
    named = "recipe.batch_norm: running and batch$" if field == "recipe" else f"{field}: .* and .*other.?$"
    with pytest.raises(ValueError, match=f"cannot be compared; they differ in {named}"):
        assert score() < other
    with pytest.raises(ValueError, match="cannot be compared"):
        score() - other


def test_a_score_says_everything():
    assert str(score()) == (
        "FAD 3.25 (strict, n = 5000, seed 1, autoencoder of mnist aaaaaaaa, against mnist test, 10000 images)"
    )
    assert "n = 5000, autoencoder" in str(score(seed=None))
    assert str(score(std=0.125)).startswith("FAD 3.25 +/- 0.125 (")


def test_protocols_are_data():
    for name, protocol in PROTOCOLS.items():
        assert get_protocol(name) is protocol and protocol.name == name
        for recipe in protocol.recipes:
            assert recipe.protocol == name
            with pytest.raises(dataclasses.FrozenInstanceError):
                recipe.n = 3
    with pytest.raises(ValueError, match="unknown protocol 'loose': choose one of"):
        get_protocol("loose")
    with pytest.raises(ValueError, match=r"unknown protocol 'stritc' \(did you mean 'strict'\?\): choose one of"):
        get_protocol("stritc")
    with pytest.raises(ValueError, match="protocol strict defines no FID; it defines"):
        STRICT.recipe("FID")
