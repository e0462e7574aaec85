"""fsvae-tcja report: what the page holds, and how a browser shows it."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval import Score, load_scores, save_scores
from eval.doubt import of_seeds
from fsvae_tcja.cli import main
from fsvae_tcja.vae import FSVAE, FSVAEConfig, save

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


class Page(HTMLParser):
    """Headings, pictures, captions, text, flush right cells and addresses of a page."""

    def __init__(self, path):
        super().__init__()
        self.headings, self.pictures, self.captions, self.right, self.text, self.tag = [], [], [], [], "", ""
        self.addresses = []
        self.feed(Path(path).read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tag = f"{tag} {found['class']}" if tag in ("td", "th") and "class" in found else tag
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag == "img":
            self.pictures.append(found["alt"])

    def handle_data(self, data):
        self.text += data
        if self.tag == "h2" and data.strip():
            self.headings.append(data)
        if self.tag == "figcaption" and data.strip():
            self.captions.append(data)
        if self.tag.endswith(" number") and data.strip():
            self.right.append(data)


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    """The report of the tiny run, beside whose model a score lies."""
    folder = tmp_path_factory.mktemp("reported") / "tiny"
    shutil.copytree(run, folder)
    words = dict.fromkeys(("images", "pixels", "extractor", "extractor_description", "reference_description"), "x")
    rest = {"std": None, "seed": 0, "value_range": None, "reference": None, "reference_pixels": None}
    rest["recipe"] = {"measure": "frechet"}
    beside = {"real images": 1.25, "reconstructions": 7.75, "code length": 88.5}
    rest["beside"] = {name: {"value": value, "images": "digits test"} for name, value in beside.items()}
    rest["doubt"] = of_seeds([12.5, 13.5])
    words |= {"extractor": 64 * "a", "extractor_description": "autoencoder of digits"}
    fad = Score("FAD", 12.5, protocol="strict", n=321, notes=("<rank> deficient",), **words, **rest)
    save_scores(folder / "score.json", [fad])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSVAE_TCJA_BACKEND", "reference")
        assert main(["report", str(folder), "--device", "cpu"]) == 0
    return folder / "report.html"


def test_the_page_tells_the_run(page):
    found = Page(page)
    assert found.headings == [
        *("Summary", "Scores", "Curves", "Samples", "Reconstructions", "Latent"),
        *("Energy", "Firing", "Settings", "Environment"),
    ]
    assert {"mse", "loss", "epoch 1, seed 0", "epoch 2, seed 0"} < set(found.pictures)
    for text in ("FAD", "321", "<rank> deficient", "model.latent.k", "codes of images: mean rate"):
        assert text in found.text, text
    assert not found.captions  # the titles inside the pictures say it


def test_a_code_without_bits_has_no_rates_of_them(tmp_path):
    model = FSVAE(FSVAEConfig(T=1, L=3, channels=(2, 3, 4, 5), latent="gaussian", neuron="leaky-relu"))
    save(model, tmp_path / "ann" / "model.safetensors", data="digits")
    assert "nan nats" not in _reported(tmp_path / "ann")
    assert Page("r.html").headings == ["Summary", "Scores", "Energy", "Settings", "Environment"]


def test_numbers_are_flush_right(page):
    right = Page(page).right
    assert {"value", "13 ± 0.71", "1.25", "7.75", "321", "synaptic operations", "dead"} <= {*right}
    assert not {"score", "FAD", "tiny", "digits", "strict", "x", "option"} & {*right}


def test_an_error_by_statistics_that_lag_is_not_shown_in_silence(run, tmp_path):
    """The warning of the training, on either page."""
    assert "Warning" not in _reported(run)
    lagging = tmp_path / "lagging"
    shutil.copytree(run, lagging)
    with open(lagging / "metrics.jsonl", "a") as metrics:
        metrics.write('{"step": 60, "epoch": 2, "mse": 0.1}\n{"step": 60, "epoch": 2, "test_mse": 0.5}\n')
    told = "test_mse 0.5 is 5 times mse 0.1: the running statistics of the batch norms lag behind the weights"
    assert f"Warning: {told}" in _reported(lagging)
    assert f"Warning: lagging: {told}" in _reported(run, lagging)


def _reported(*runs):
    assert main(["report", *map(str, runs), "--out", "r.html", "--device", "cpu"]) == 0
    return Page("r.html").text


def test_a_score_stands_beside_its_floor_and_its_doubt(page):
    text = Page(page).text
    mean, spread, half = 13.0, 0.5**0.5, 12.706 * 0.5  # Student's t of one degree of freedom
    for cell in (
        "lower",
        "1.25",
        "7.75",
        f"{mean:.4g} ± {spread:.2g}",
        f"{mean - half:.4g} to {mean + half:.4g} (2 seeds)",
    ):
        assert cell in text, cell
    assert "Code length: 88.5 nats, digits test" in text
    assert "autoencoder of digits aaaaaaaa" in text  # the network, by the first digits of its hash


def test_the_same_score_of_several_images_says_of_which(page, tmp_path):
    """As a run of a study has it."""
    folder = shutil.copytree(page.parent, tmp_path / "tiny")
    (score,) = load_scores(folder / "score.json")
    named = [replace(score, images=images) for images in ("drawn ones", "rebuilt ones")]
    for scores, told in ((named, True), (named[:1], False)):
        save_scores(folder / "score.json", scores)
        assert ("drawn ones" in _reported(folder)) == told


def test_energy_and_firing_are_those_of_the_command(page, run, capsys):
    """Of the same images: the report's 64 come first in the permutation that the command takes, too."""
    capsys.readouterr()
    assert main(["energy", str(run), "--n", "64", "--device", "cpu", "--json"]) == 0
    told, text = json.loads(capsys.readouterr().out), Page(page).text
    for way in ("drawn", "reconstructed"):
        assert f"{told[way]['pj'] / 1e6:.3g}" in text and f"{told[way]['synops']:,.0f}" in text
    rates = [layer["rate"] for layer in told["firing"]["drawing"].values()]
    assert any(rates) and all(f"{rate:.4f}" in text for rate in rates)


def test_nothing_is_fetched(page):
    assert all(address.startswith(("#", "data:")) for address in Page(page).addresses)
    assert not re.search(r"@import|url\(", page.read_text())


def test_runs_side_by_side(run, page, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    capsys.readouterr()
    assert main(["report", str(page.parent), str(other), "--device", "cpu"]) == 0
    assert re.fullmatch(r"report\.html: \d\.\d MB\n", capsys.readouterr().out)
    found = Page("report.html")
    assert found.headings == ["Runs", "Scores", "Curves", "Samples"]
    assert "All settings are the same." in found.text and "option" not in found.text
    assert "12.5" not in found.text and "13 ± 0.71" in found.text
    assert found.pictures == ["test_mse", "tiny: epoch 2, seed 0", "other: epoch 2, seed 0"]
    assert found.captions == ["tiny", "other"]


def test_scores_that_cannot_be_compared_are_named(page, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(page.parent, other)
    (score,) = load_scores(other / "score.json")
    save_scores(other / "score.json", [replace(score, n=100)])
    assert main(["report", str(page.parent), str(other), "--device", "cpu"]) == 0
    assert (
        "FAD of tiny and other: these scores cannot be compared; they differ in n: 321 and 100."
        in Page("report.html").text
    )


def test_a_folder_with_a_model_alone(run, tmp_path):
    (tmp_path / "model" / "folder.json").mkdir(parents=True)  # by its name a file of scores
    shutil.copy(run / "model.safetensors", tmp_path / "model")
    assert main(["report", "model", "--device", "cpu"]) == 0
    assert Page("model/report.html").headings == [
        *("Summary", "Scores", "Latent", "Energy", "Firing", "Settings", "Environment")
    ]


def test_of_a_code_that_is_not_of_bits_none_are_counted(tmp_path):
    config = FSVAEConfig(T=1, L=3, channels=(2, 3, 2, 3), latent="gaussian", neuron="leaky-relu")
    save(FSVAE(config), tmp_path / "ann" / "model.safetensors", data="digits")
    assert main(["report", "ann", "--device", "cpu"]) == 0
    page = Page("ann/report.html")
    assert "Latent" not in page.headings and "Energy" in page.headings and "nan" not in page.text


def test_without_the_data_the_page_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setattr("fsvae_tcja.report.run.load_images", lambda *a, **k: (_ for _ in ()).throw(OSError("no data")))
    assert main(["report", str(run), "--out", "r.html", "--device", "cpu"]) == 0
    text = Page("r.html").text
    assert "Codes of images are not shown: no data" in text and "drawn codes: mean rate" in text
    assert "Energy and firing" in text and "Not shown: no data" in text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "name one run folder, or several"),
        (["nowhere"], "there is no folder nowhere"),
        (["."], "no checkpoint"),
    ],
)
def test_wrong_input(fails, args, message):
    assert message in fails("report", *args)


def test_a_page_ends_in_html(run, fails, tmp_path):
    assert "must end in .html" in fails("report", run, "--out", "r.pdf", "--device", "cpu")
    assert not list(tmp_path.iterdir())
    assert "is no folder that may be written to" in fails("report", run, "--out", f"{__file__}/r.html")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [400, 1400])
def test_a_browser_shows_all_of_it(page, tmp_path, width):
    """Every picture is decoded, nothing is wider than the page, letters of 10 pt have 11 pixels or more, and the first
    cell of a row, its name, is one line. A window is at least 500 pixels wide: the page is made narrower in it."""
    probe = """<script>onload = () => {
      const bad = [...document.images].filter(i => !(i.complete && i.naturalWidth > 100 && i.clientWidth > 250)).length;
      const drawn = [...document.images].filter(i => !i.alt.startsWith('epoch'));
      const letters = Math.min(...drawn.map(i => 20 * i.clientWidth / i.naturalWidth));
      const wide = document.body.scrollWidth;
      const lines = cell => {
        const text = document.createRange();
        text.selectNodeContents(cell);
        return text.getClientRects().length;
      };
      const most = Math.max(...[...document.querySelectorAll('td:first-child')].map(lines));
      document.title = `bad ${bad} of ${document.images.length}, width ${wide}, lines ${most}, letters ${letters}`;
    }</script></body>"""
    narrow = f"<style>html {{ width: {width}px; }}</style></head>"
    (tmp_path / "probed.html").write_text(page.read_text().replace("</head>", narrow).replace("</body>", probe))
    window = [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},3000"]
    told = subprocess.run(
        [CHROMIUM, *QUIET, *window, "--dump-dom", (tmp_path / "probed.html").as_uri()],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    found = re.search(r"<title>bad (\d+) of (\d+), width (\d+), lines (\d+), letters ([\d.]+)</title>", told.stdout)
    assert found, told.stderr[-2000:]
    bad, pictures, wide, lines = map(int, found.groups()[:4])
    assert bad == 0 and pictures == len(Page(page).pictures) and wide <= width and lines == 1
    assert float(found[5]) >= 11


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_draws_ink(page, tmp_path):
    shot = tmp_path / "page.png"
    window = [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,2000", f"--screenshot={shot}"]
    subprocess.run([CHROMIUM, *QUIET, *window, page.as_uri()], capture_output=True, timeout=300, check=True)
    grey = np.asarray(Image.open(shot).convert("L"))
    assert grey.shape == (2000, 1400) and (grey < 100).mean() > 0.01 and (grey > 250).mean() > 0.3


def test_what_is_no_run_folder_is_named(run, tmp_path, fails):
    assert "expected a run folder; there is no folder absent" in fails("report", "absent")
    weights = run / "model.safetensors"
    assert f"expected a run folder; {weights} is a file" in fails("report", weights)
    assert "expected a run folder; there is no folder absent" in fails("report", run, "absent", "--out", "r.html")
    assert not list(tmp_path.iterdir())
