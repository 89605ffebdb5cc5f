"""Pages of the videos in a folder, and their index; tests/pages opens pages in a browser."""

import base64
import gzip
import html
import os
import pathlib
import re
import shutil

import numpy as np
import pytest

from tests.pages.videos import write_video as pages_video
from tests.predict.predicting import METADATA, FakeModel, detect, write_video
from va_jax import faces
from va_jax.predict import page, predictor, run
from va_jax.predict.outputs import Outputs
from va_jax.predict.run import Choices
from va_jax.types import InputError

FACE = [[(0, 40, 20, 48)]] * 12
PAGES = pathlib.Path("pages")
DRAWN = METADATA | {"data": {"name": "synthetic_faces/quickstart"}}


@pytest.fixture
def command(tmp_path, monkeypatch):
    """`command(*sources, **outputs)` with a fake model and detector; `clips` has two videos."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "load", lambda folder: FakeModel(DRAWN))
    monkeypatch.setattr(faces, "Detector", lambda **_: detect)
    for name in ("P2", "day 1/P10"):
        path = pathlib.Path("clips", f"{name}.mp4")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, FACE)

    def command(*sources, **outputs) -> bool:
        return run.predict("model", sources, Outputs(progress=False, **outputs), Choices())

    return command


def rows_in(path):
    """Return the csv text in a page."""
    packed = re.search(r'id="rows">([^<]*)<', path.read_text())[1]
    return gzip.decompress(base64.b64decode(packed)).decode()


def without_video(text):
    """Leave out the video, which was encoded, since its header holds the time."""
    return re.sub(r'(id="video-bytes">)[^<]*', r"\1", text)


def links(path):
    return [html.unescape(each) for each in re.findall(r'<a href="([^"]*)"', path.read_text())]


def test_a_folder_has_a_page_for_every_video_and_an_index(command, tmp_path):
    assert command("clips", page=PAGES)
    found = sorted(str(path.relative_to(PAGES)) for path in PAGES.rglob("*.html"))
    assert found == ["P2.html", "day 1/P10.html", "index.html"]
    for name in ("P2", "day 1/P10"):
        csv = pathlib.Path("clips_predictions", f"{name}.csv").read_text()
        assert rows_in(PAGES / f"{name}.html") == csv
    assert links(PAGES / "index.html") == ["P2.html", "day%201/P10.html"]
    assert links(PAGES / "day 1/P10.html") == ["../index.html"]
    text = (PAGES / "index.html").read_text()
    assert text.count('class="spark"') == 4
    assert "+1.00" in text  # the fake model's valence of red
    assert predictor.SYNTHETIC_NOTE in text


def test_the_index_tells_equal_names_apart_and_skips_hidden_folders(command):
    shutil.copy("clips/P2.mp4", "clips/day 1/P2.mp4")
    assert command("clips", page=PAGES)
    (PAGES / ".ipynb_checkpoints").mkdir()
    shutil.copy(PAGES / "P2.html", PAGES / ".ipynb_checkpoints")
    assert command("clips", page=PAGES)
    assert links(PAGES / "index.html") == ["P2.html", "day%201/P2.html", "day%201/P10.html"]
    text = (PAGES / "index.html").read_text()
    assert ">P2.mp4<" in text
    assert ">day 1/P2.mp4<" in text


@pytest.mark.parametrize("options", [{}, {"fps": 5.0}])
def test_a_lost_page_is_written_again_from_the_csv(command, options):
    command("clips", page=PAGES, **options)
    first = PAGES / "P2.html"
    before, other = first.read_text(), (PAGES / "day 1/P10.html").stat()
    first.unlink()
    (PAGES / "index.html").unlink()
    assert command("clips", page=PAGES, **options)
    assert without_video(first.read_text()) == without_video(before)
    assert (PAGES / "day 1/P10.html").stat().st_mtime_ns == other.st_mtime_ns
    assert links(PAGES / "index.html") == ["P2.html", "day%201/P10.html"]


def test_files_of_the_user_are_never_replaced(command, capsys):
    PAGES.mkdir()
    for name in ("P2.html", "index.html"):
        (PAGES / name).write_text("mine")
    assert not command("clips", page=PAGES, overwrite=True)
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error")]
    assert [line.split()[1] for line in lines] == ["pages/P2.html", "pages/index.html"]
    assert all("was not written by this command" in line for line in lines)
    assert {(PAGES / name).read_text() for name in ("P2.html", "index.html")} == {"mine"}
    assert (PAGES / "day 1/P10.html").exists()


def test_a_damaged_page_is_one_line_and_the_index_lists_the_others(command, capsys):
    command("clips", page=PAGES)
    path = PAGES / "P2.html"
    path.write_text(re.sub(r'(id="rows">)[^<]*', r"\1AAAA", path.read_text()))
    os.utime(path, (2e9, 2e9))  # so that it is not written again
    capsys.readouterr()
    assert not command("clips", page=PAGES)
    (line,) = (x for x in capsys.readouterr().err.splitlines() if x.startswith("error"))
    assert "pages/P2.html: the page is damaged" in line
    assert links(PAGES / "index.html") == ["day%201/P10.html"]


def test_a_video_called_index_leaves_no_place_for_the_index(command, capsys):
    pathlib.Path("clips/P2.mp4").rename("clips/index.mp4")
    assert command("clips", page=PAGES)
    assert page.source_of(PAGES / "index.html") == "clips/index.mp4"
    assert "warning: pages: no index, because index.html is the page of clips/index.mp4" in (
        capsys.readouterr().err
    )


def test_several_files_need_a_folder_of_pages(command):
    files = ("clips/P2.mp4", "clips/day 1/P10.mp4")
    with pytest.raises(InputError, match=r"seen.html: .* require a single source"):
        command(*files, page=pathlib.Path("seen.html"))
    assert command(*files, csv="both.csv", page=PAGES)
    assert rows_in(PAGES / "P10.html").count("\n") == 13


@pytest.mark.parametrize("name", ["seen.txt", "seen.mp4"])
def test_a_page_has_the_extension_of_one(command, name):
    with pytest.raises(InputError, match=rf"page to {name}: .*html"):
        command("clips/P2.mp4", page=pathlib.Path(name))


def test_an_existing_page_is_replaced_only_if_asked(command):
    path = pathlib.Path("seen.html")
    path.write_text("mine")
    with pytest.raises(InputError, match=r"seen.html already exists.*--overwrite"):
        command("clips/P2.mp4", page=path)
    assert command("clips/P2.mp4", page=path, overwrite=True)
    assert page.source_of(path) == "clips/P2.mp4"


def test_a_folder_with_another_choice_of_video_is_written_again(command):
    """A page that must not contain a face does not keep the video of an earlier command."""
    command("clips", page=PAGES)
    assert 'id="video-bytes"' in (PAGES / "P2.html").read_text()
    assert command("clips", page=PAGES, page_video="none")
    for name in ("P2", "day 1/P10"):
        assert 'id="video-bytes"' not in (PAGES / f"{name}.html").read_text()


def square():
    """Return 1 where the fake detector finds its red face, and 0 elsewhere."""
    shape = np.zeros((96, 160, 1), np.uint8)
    shape[20:68, 40:88] = 1
    return shape


def test_a_video_that_breaks_off_has_a_page_up_to_there(command):
    whole = pathlib.Path("clips/P2.mp4")
    cut = whole.with_suffix(".avi")
    frames = (np.full((96, 160, 3), (255, 0, 0), np.uint8) for _ in range(40))
    pages_video(cut, (frame * square() for frame in frames), 25)
    cut.write_bytes(cut.read_bytes()[: int(0.6 * cut.stat().st_size)])
    assert not command(str(cut), page=pathlib.Path("seen.html"))
    assert page.read_rows(pathlib.Path("seen.html")).time_s.size == 5
