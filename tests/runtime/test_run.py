import io
import json
import time

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fsvae_tcja.runtime.run import PassingFolder, RunFolder, has_checkpoint, open_run

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


def test_started_anew_a_run_without_checkpoint_begins_again_unless_another_process_is_at_work(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    with run.locked():
        run.start(CONFIG, step=0)
        again = open_run(tmp_path)
        with pytest.raises(ValueError, match="is in use"), again.locked():
            raise AssertionError
        assert run.config.exists()
        run.close()
    with again.locked():
        again.start(CONFIG, step=0)
        again.close()


@pytest.mark.parametrize("kept", ["model", "checkpoint"])
@pytest.mark.parametrize("config", [True, False], ids=["a run of which nothing else is kept", "no run"])
def test_what_was_trained_is_never_overwritten(tmp_path, monkeypatch, kept, config):
    run = started(tmp_path)
    run.checkpoint.unlink()
    getattr(run, kept).touch()
    if not config:
        run.config.unlink()
    message = {"model": "model.safetensors is there already; choose another", "checkpoint": "go on with --resume"}[kept]
    for restarts in ("0", "1"):  # torchrun starts again what was refused
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", restarts)
        with pytest.raises(ValueError, match=message):
            open_run(tmp_path)
    assert run.config.exists() == config


def test_resuming_without_a_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*checkpoint\.safetensors; .* starts anew"):
        RunFolder(tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_resuming_drops_what_will_be_done_again(tmp_path):
    started(tmp_path, rows=[1, 2, 3])
    time.sleep(1)  # TensorBoard reads its files in the order of their names, which begin with the second
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


# one process at a time


def test_a_run_in_use_is_refused_and_left_alone(tmp_path):
    run = started(tmp_path, rows=[1])
    names = sorted(path.name for path in tmp_path.iterdir())
    with RunFolder(tmp_path, resume=True).locked():
        with pytest.raises(ValueError, match="is in use"), RunFolder(tmp_path, resume=True).locked():
            raise AssertionError
        assert len(run.read_metrics()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_of_two_new_runs_in_one_folder_the_second_is_refused(tmp_path):
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    with first.locked():
        with pytest.raises(ValueError, match="is in use"), second.locked():
            raise AssertionError
        first.start(CONFIG, step=0)
        first.close()
    with pytest.raises(ValueError, match="already holds a run"), second.locked():
        raise AssertionError
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_run_that_was_not_started_leaves_no_folder(tmp_path):
    run = RunFolder(tmp_path / "run")
    with pytest.raises(RuntimeError), run.locked(), run.locked():
        assert run.path.is_dir()
        raise RuntimeError
    assert not run.path.exists()


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    run = started(tmp_path)
    mine = [".config.json.0123456789abcdef.tmp", "pictures/.curves.png.0123456789abcdef.tmp"]
    others = [".samples.png.0123456789abcdef.tmp", ".config.json.tmp", ".config.json.12.tmp"]
    for name in mine + others:
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    with RunFolder(tmp_path, resume=True).locked():
        assert not any((tmp_path / name).exists() for name in mine)
        assert all((tmp_path / name / "half").exists() for name in others)
    assert run.config.exists()


def test_places_where_no_run_can_be(tmp_path):
    (tmp_path / "file").write_text("text")
    file = tmp_path / "file"
    for place in (file, file / "run"):
        error = pytest.raises(ValueError, match=f"cannot make the run folder {place}: {file} is a file; choose another")
        with error, RunFolder(place).locked():
            raise AssertionError
    assert (tmp_path / "file").read_text() == "text"


def test_one_of_several_processes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="2 processes were started together"), RunFolder(tmp_path / "run").locked():
        raise AssertionError
    assert not (tmp_path / "run").exists()


def test_started_anew_a_run_goes_on_from_the_checkpoint_before_a_lost_one(tmp_path, monkeypatch):
    run = started(tmp_path)
    assert not has_checkpoint(tmp_path / "other")
    run.checkpoint.rename(run.previous)  # killed between two renames
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert has_checkpoint(tmp_path)
    with pytest.raises(ValueError, match="already holds a run: go on with --resume"):
        open_run(tmp_path)
    assert open_run(tmp_path, resume=True).checkpoints == [run.previous]


def test_a_process_that_keeps_nothing_knows_the_run_and_passes_over_what_is_half_written(tmp_path):
    run = started(tmp_path, rows=[1, 2])
    (tmp_path / ".metrics.jsonl.0123456789abcdef.tmp").mkdir()  # of a killed process, or written at this moment
    passing = PassingFolder(tmp_path, resume=True)
    assert passing.read_metrics() == run.read_metrics() != []
    assert passing.checkpoints == [run.checkpoint]
