import io

import pytest

from fsvae_tcja.utils import progress as module
from fsvae_tcja.utils.progress import duration, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(module.time, "monotonic", lambda: Clock.now)
    return Clock


def test_off_a_terminal_plain_lines_at_intervals_and_every_message(clock):
    out = io.StringIO()
    with progress("train", 100, "steps", done=10, stream=out) as bar:
        bar.message("compiling ...")
        clock.now += 30  # the first unit: long, and no measure of the others
        bar.advance(loss=0.5)
        for _ in range(20):
            clock.now += 1
            bar.advance(loss=0.25)
        bar.message("epoch 1")
    assert out.getvalue().splitlines() == [
        "compiling ...",
        "train: 11 of 100 steps, loss 0.5",
        "about 84 s for the other 84 steps",
        "train: 26 of 100 steps, loss 0.25, 74 s left",
        "epoch 1",
    ]


def test_what_is_over_soon_announces_nothing(clock):
    out = io.StringIO()
    with progress("draw", 20, "images", stream=out) as bar:
        for _ in range(20):
            clock.now += 0.1
            bar.advance()
    assert out.getvalue() == ""


def test_the_first_line_comes_soon(clock):
    out = io.StringIO()
    with progress("draw", 20, "images", stream=out) as bar:
        for _ in range(20):
            clock.now += 0.5
            bar.advance()
    assert out.getvalue() == "draw: 6 of 20 images\n"


def test_without_a_total_there_is_no_time_left(clock):
    out = io.StringIO()
    with progress("read", None, "files", stream=out) as bar:
        for _ in range(3):
            clock.now += 10
            bar.advance(1000)
    assert out.getvalue() == "read: 1,000 files\nread: 3,000 files\n"


def test_figures_are_shown_until_there_are_others(clock):
    """A training that begins another stage has other losses."""
    out = io.StringIO()
    with progress("train", 3, "steps", stream=out) as bar:
        for figures in ({"mse": 0.5, "rate": 2.0}, {}, {"nats": 7.0}):
            clock.now += 20
            bar.advance(**figures)
    assert out.getvalue().splitlines() == [
        "train: 1 of 3 steps, mse 0.5, rate 2",
        "train: 2 of 3 steps, mse 0.5, rate 2",
        "train: 3 of 3 steps, nats 7",
    ]


def test_on_a_terminal_a_bar_and_messages_above_it(clock):
    out = Terminal()
    with progress("train", 6, "steps", stream=out) as bar:
        bar.message("[red]as it is:smile:")
        for _ in range(6):
            clock.now += 2
            bar.advance(loss=0.125)
    shown = out.getvalue()
    assert "[red]as it is:smile:" in shown and "train" in shown
    assert "6/6" in shown and "loss 0.125, 0 s left" in shown


def test_hidden_shows_nothing(capsys):
    with progress("train", 2, "steps", hidden=True) as bar:
        bar.advance()
        bar.message("nothing")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (2400, "40 min"), (7500, "2 h 5 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
