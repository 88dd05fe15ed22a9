"""A reader's own copies of the notebooks: what an update may and may not do to them."""

import nbformat
import pytest

from dcac_lite.tools.lab import copy_notebooks


def notebook(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text)]), file)


@pytest.fixture
def book(tmp_path):
    for name in ("00_first", "01_second", "pages/retrieval"):
        notebook(tmp_path / "notebooks" / f"{name}.ipynb", "as printed")
    notebook(tmp_path / "notebooks" / ".ipynb_checkpoints" / "00_first.ipynb", "an editor's own")
    return tmp_path / "notebooks", tmp_path / "mine"


def test_copies_are_made_once_and_kept_as_the_reader_left_them(book):
    originals, mine = book
    assert copy_notebooks(originals, mine) == []
    assert sorted(f.relative_to(mine).as_posix() for f in mine.rglob("*.ipynb")) == [
        "00_first.ipynb",
        "01_second.ipynb",
        "pages/retrieval.ipynb",
    ]
    notebook(mine / "00_first.ipynb", "my own note")
    assert copy_notebooks(originals, mine) == []  # the original is what it was
    assert "my own note" in (mine / "00_first.ipynb").read_text()
    assert "as printed" in (originals / "00_first.ipynb").read_text()


def test_an_update_reaches_untouched_copies_and_names_the_others(book):
    originals, mine = book
    copy_notebooks(originals, mine)
    notebook(mine / "00_first.ipynb", "my own note")
    for name in ("00_first", "01_second"):
        notebook(originals / f"{name}.ipynb", "second printing")
    assert copy_notebooks(originals, mine) == ["00_first.ipynb"]
    assert "my own note" in (mine / "00_first.ipynb").read_text()
    assert "second printing" in (mine / "01_second.ipynb").read_text()
    (mine / "00_first.ipynb").unlink()
    assert copy_notebooks(originals, mine) == []
    assert "second printing" in (mine / "00_first.ipynb").read_text()
