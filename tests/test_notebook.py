"""The notebook runs from the first cell to the last, and its stored outputs are small."""

import re
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

NOTEBOOK = Path(__file__).parents[1] / "docs" / "pretrained.ipynb"


def printed(notebook) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


def fads(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(drawn|real): FAD ([\d.]+)", text, re.MULTILINE)}


def test_it_draws_and_scores(tmp_path, monkeypatch):
    monkeypatch.setenv("FSVAE_TCJA_BACKEND", "reference")  # a new process would compile the kernels first
    stored = nbformat.read(NOTEBOOK, 4)
    assert NOTEBOOK.stat().st_size < 100_000
    fresh = nbformat.read(NOTEBOOK, 4)
    nbclient.NotebookClient(fresh, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert fads(printed(fresh)) == pytest.approx(fads(printed(stored)), rel=0.05)  # of another processor
    assert 0 < fads(printed(fresh))["real"] < fads(printed(fresh))["drawn"]
    assert any("image/png" in output.get("data", {}) for cell in fresh.cells for output in cell.get("outputs", []))
