"""Which videos a folder contains: links, names, and one line for everything that is left out."""

import os
import pathlib

import pytest

from va_jax.predict.search import Found, find


@pytest.fixture(autouse=True)
def clips(tmp_path, monkeypatch) -> pathlib.Path:
    """A folder with a video and a folder in it, which is the current one's sub-folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "clips"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.mp4").touch()
    (folder / "deep" / "b.MOV").touch()
    return folder


def results(found: Found) -> list[str]:
    return sorted(str(file.csv) for file in found.files)


OWN = ["clips_predictions/a.csv", "clips_predictions/deep/b.csv"]


def test_results_of_a_folder_are_next_to_it_and_those_of_a_file_are_here(clips):
    assert results(find(["clips/"])) == OWN
    assert results(find(["clips/a.mp4"])) == ["a.csv"]
    assert results(find(["clips"], pathlib.Path("out"))) == ["out/a.csv", "out/deep/b.csv"]
    os.chdir(clips)
    assert results(find(["."]))[0] == f"{clips}_predictions/a.csv"


def test_linked_folders_are_entered_once_whatever_they_lead_to(clips, tmp_path):
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "far" / "deep" / "c.mp4").touch()
    (tmp_path / "far" / "back").symlink_to(clips)
    (clips / "deep" / "link").symlink_to(tmp_path / "far")
    (clips / "again").symlink_to("deep")
    (clips / "loop").symlink_to(".")
    found = find(["clips"])
    assert results(found) == [*OWN, "clips_predictions/deep/link/deep/c.csv"]
    assert found.problems == []
    assert sorted(found.repeated) == [
        "clips/again: the same folder as clips/deep",
        "clips/deep/link/back: the same folder as clips",
        "clips/loop: the same folder as clips",
    ]


def test_a_linked_video_is_predicted_once_and_named_after_the_file(clips):
    (clips / "0.mp4").symlink_to("a.mp4")
    found = find(["clips", "clips/a.mp4"])
    assert results(found) == OWN
    assert found.repeated == [
        "clips/0.mp4: the same file as clips/a.mp4",
        "clips/a.mp4: the same file as clips/a.mp4",
    ]


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("gone.mp4", lambda path: path.symlink_to("nowhere.mp4"), "nowhere.mp4"),
        ("session", lambda path: path.symlink_to("nowhere"), "nowhere"),
        ("self.mp4", lambda path: path.symlink_to("self.mp4"), "self.mp4"),
        ("pipe.mp4", os.mkfifo, "regular"),
        (os.fsdecode(b"n\xff.mp4"), pathlib.Path.touch, "UTF-8"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_the_rest_is_found(clips, name, make, words):
    make(clips / name)
    found = find(["clips"])
    assert results(found) == OWN
    (problem,) = found.problems
    assert problem.startswith(f"clips/{name}: ")
    assert words in problem


def test_sources_that_do_not_exist_or_cannot_exist_are_one_line():
    found = find(["none.mp4", "x" * 300 + ".mp4", "clips/a.mp4/b.mp4", "clips"])
    assert results(found) == OWN
    assert [problem.split(":")[0][-9:] for problem in found.problems] == [
        "none.mp4", "xxxxx.mp4", "mp4/b.mp4",
    ]  # fmt: skip


def test_no_two_files_of_a_folder_share_their_results(clips):
    for name in ("a.mov", "a.mp4.mkv", "a.b.mp4", ".hidden.mp4"):
        (clips / name).touch()
    names = [pathlib.Path(each).name for each in results(find(["clips"]))]
    assert names == ["a.b.csv", "a.mov.csv", "a.mp4.csv", "a.mp4.mkv.csv", "b.csv"]


def test_two_folders_may_have_files_of_the_same_name(clips, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.mp4").touch()
    assert results(find(["clips", "other"])) == [*OWN, "other_predictions/a.csv"]
