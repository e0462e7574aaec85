import json

import pytest
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
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (1, pytest.approx(0.1)),
        (2, pytest.approx(0.2)),
    ]


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
    events = EventAccumulator(str(tmp_path / "tensorboard"))
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
