"""The tables in docstrings and README hold every data set, as the records have it."""

from pathlib import Path

import pytest

import fsvae_tcja.data
from fsvae_tcja.data import EVENT_SETS, IMAGE_SETS, load_events, load_images

README = (Path(fsvae_tcja.data.__file__).parent / "README.md").read_text()


def rows(text):
    """The cells of every row of tables, by its first cell, which is a name in backticks."""
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines() if "|" in line]
    return {row[0].strip("`"): row[1:] for row in cells if row[0].startswith("`")}


@pytest.mark.parametrize("text", [load_images.__doc__, README], ids=["docstring", "README"])
def test_image_sets(text):
    table = rows(text)
    assert [name for name in table if name not in EVENT_SETS] == list(IMAGE_SETS)
    for name, source in IMAGE_SETS.items():
        assert table[name][0] == ", ".join(source.splits)
        assert all(f"`{file.split('/')[0]}/" in table[name][1] for file in source.files)
        if text is README:
            assert table[name][2] == source.about


@pytest.mark.parametrize("text", [load_events.__doc__, README], ids=["docstring", "README"])
def test_event_sets(text):
    table = rows(text)
    assert [name for name in table if name not in IMAGE_SETS] == list(EVENT_SETS)
    for name, events in EVENT_SETS.items():
        assert f"`{events.folders[0]}/`" in " ".join(table[name])
        if text is README:
            assert table[name][:2] == ["{}x{}".format(*events.size), str(events.classes)]
