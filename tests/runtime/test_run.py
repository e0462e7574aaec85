import io
import json

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fsvae_tcja.runtime.run import RunFolder

CONFIG = {"lr": 0.5, "model": {"T": 4}}


def started(path, rows=()):
    run = RunFolder(path)
    run.start(CONFIG, step=0)
    for step in rows:
        run.log(step, 1, {"loss": step / 10})
    run.close()
    run.checkpoint.touch()
    return run


def test_start_writes_configuration_and_no_row(tmp_path):
    run = started(tmp_path / "a" / "b")
    assert json.loads(run.config.read_text()) == CONFIG
    assert run.metrics.read_text() == ""
    assert run.read_metrics() == []


def test_nothing_is_made_before_start(tmp_path):
    run = RunFolder(tmp_path / "run")
    assert run.read_metrics() == []
    assert not run.path.exists()


def test_log_appends_rows(tmp_path):
    run = started(tmp_path, rows=[1, 2])
    assert run.read_metrics() == [{"step": 1, "epoch": 1, "loss": 0.1}, {"step": 2, "epoch": 1, "loss": 0.2}]


def test_tensorboard_holds_the_rows(tmp_path):
    started(tmp_path, rows=[1, 2])
    events = EventAccumulator(str(tmp_path / "tensorboard" / tmp_path.name))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (1, pytest.approx(0.1)),
        (2, pytest.approx(0.2)),
    ]


def test_tensorboard_knows_the_runs_name_settings_and_pictures(tmp_path):
    run = RunFolder(tmp_path / "my run")
    run.start(CONFIG | {"channels": [2, 3], "flip": True}, step=0)
    for name, grey in (("epoch-002-samples", 10), ("epoch-001-samples", 20), ("curves", 30)):
        Image.new("L", (5, 4), grey).save(run.pictures / f"{name}.png")
    run.log_pictures(7, epoch=2)
    run.close()
    (folder,) = (run.path / "tensorboard").iterdir()
    assert folder.name == "my run" and len(list(folder.iterdir())) == 1
    events = EventAccumulator(str(folder))
    events.Reload()
    (shown,) = events.Images("samples")
    assert events.Tags()["images"] == ["samples"]
    assert (shown.step, shown.width, shown.height) == (7, 5, 4)
    assert Image.open(io.BytesIO(shown.encoded_image_string)).getpixel((0, 0)) == (10, 10, 10)
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert all(name in content for name in (b"lr", b"model.T", b"channels", b"[2, 3]", b"flip"))


def test_a_folder_with_a_run_is_refused(tmp_path):
    run = started(tmp_path, rows=[1])
    with pytest.raises(ValueError, match=rf"already holds a run: go on with --resume {tmp_path}, or choose another"):
        RunFolder(tmp_path)
    run.checkpoint.unlink()
    with pytest.raises(ValueError, match="already holds a run: it ended before its first checkpoint; delete it, or"):
        RunFolder(tmp_path)
    assert len(run.read_metrics()) == 1


def test_resuming_without_a_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*checkpoint\.safetensors; .* starts anew"):
        RunFolder(tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_resuming_drops_what_will_be_done_again(tmp_path):
    started(tmp_path, rows=[1, 2, 3])
    run = RunFolder(tmp_path, resume=True)
    run.start(CONFIG, step=2)
    run.log(3, 1, {"loss": 9.0})
    run.close()
    assert [(row["step"], row["loss"]) for row in run.read_metrics()] == [(1, 0.1), (2, 0.2), (3, 9.0)]
    events = EventAccumulator(str(tmp_path / "tensorboard" / tmp_path.name))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")][-1] == (3, 9.0)
    assert len(events.Scalars("loss")) == 3


def test_a_row_that_was_cut_off_is_left_out(tmp_path):
    run = started(tmp_path, rows=[1, 2])
    with open(run.metrics, "a") as file:
        file.write('{"step": 3, "epo')
    assert [row["step"] for row in run.read_metrics()] == [1, 2]
    again = RunFolder(tmp_path, resume=True)
    again.start(CONFIG, step=5)
    again.log(6, 1, {"loss": 0.6})
    again.close()
    assert [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()] == [1, 2, 6]
