"""fsvae-tcja energy."""

import json

from fsvae_tcja.cli import main


def test_a_report_as_text_and_as_json(run, capsys):
    assert main(["energy", str(run), "--n", "20", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert "energy per drawn image" in text and "energy per reconstructed image" in text and "posterior 0" in text
    assert main(["energy", str(run), "--n", "20", "--json", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["drawn"]["n"] == 20 and found["drawn"]["T"] == 4
    assert 0 < found["drawn"]["pj"] < found["reconstructed"]["pj"]
    assert 0 < found["rate"] < 1


def test_what_is_refused(run, fails):
    assert "n must be in 1..297, the images of digits test; found 298" in fails("energy", run, "--n", 298)
    assert "no checkpoint at" in fails("energy", "nothing.safetensors")
