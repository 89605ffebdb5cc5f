"""What a folder of results may contain: only our own rows are trusted or replaced."""

import os
import pathlib

import pytest

from tests.predict.predicting import FakeModel, detect, write_video
from va_jax import faces
from va_jax.predict import run
from va_jax.predict.outputs import Outputs
from va_jax.predict.run import Choices
from va_jax.types import InputError

LABELS = "time_s,valence\n0,0.1\n"
HEADER = "source,frame,time_s,track,x,y,w,h,face_score,valence,arousal,valid\n"


@pytest.fixture
def command(tmp_path, monkeypatch):
    """`command(*sources, **outputs)` with a fake model and detector; `clips` has two videos."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "load", lambda folder: FakeModel())
    monkeypatch.setattr(faces, "Detector", lambda **_: detect)
    for name in ("a", "b"):
        pathlib.Path("clips").mkdir(exist_ok=True)
        write_video(pathlib.Path("clips", f"{name}.mp4"), [[(0, 40, 20, 48)]] * 4)

    def command(*sources, **outputs) -> bool:
        return run.predict("model", sources, Outputs(progress=False, **outputs), Choices())

    return command


def rows(path: str) -> int:
    text = pathlib.Path(path).read_text()
    assert text.startswith(HEADER)
    return text.count("\n") - 1


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("time_s", [1e9, 2e9])
@pytest.mark.parametrize(
    "content", [LABELS, "", HEADER, HEADER + "clips/a.mp4,0\n", "a;b\n1;2\n", "\0\xff"]
)
def test_a_csv_of_the_user_is_neither_replaced_nor_trusted(
    command, capsys, content, time_s, overwrite
):
    labels = pathlib.Path("clips/a.csv")
    labels.write_text(content)
    os.utime(labels, (time_s, time_s))
    assert not command("clips", out=pathlib.Path("clips"), overwrite=overwrite)
    assert (labels.read_text(), labels.stat().st_mtime) == (content, time_s)
    assert rows("clips/b.csv") == 4
    (line,) = (x for x in capsys.readouterr().err.splitlines() if x.startswith("error"))
    assert "clips/a.csv was not written by" in line


def test_by_default_a_folder_of_videos_stays_as_it_is(command):
    pathlib.Path("clips/a.csv").write_text(LABELS)
    before = sorted(os.listdir("clips"))
    assert command("clips")
    assert sorted(os.listdir("clips")) == before
    written = ["a.csv", "b.csv", "predict.json", "summary.csv"]
    assert sorted(os.listdir("clips_predictions")) == written
    assert sorted(os.listdir()) == ["clips", "clips_predictions"]


def test_something_else_in_the_place_of_a_csv_is_one_line(command, capsys):
    pathlib.Path("out/a.csv").mkdir(parents=True)
    assert not command("clips", out=pathlib.Path("out"))
    assert rows("out/b.csv") == 4
    assert "out/a.csv was not written by" in capsys.readouterr().err


def test_rows_of_another_video_of_that_name_are_not_trusted(command, capsys):
    assert command("clips")
    os.rename("clips/a.mp4", "clips/a.mov")
    later = pathlib.Path("clips_predictions/a.csv").stat().st_mtime + 100
    os.utime("clips_predictions/a.csv", (later, later))
    assert command("clips")
    assert "done: clips/a.mov" in capsys.readouterr().err
    assert "a.mov" in pathlib.Path("clips_predictions/a.csv").read_text()


def test_results_of_another_folder_are_not_taken_for_those_of_this_one(command):
    assert command("clips", out=pathlib.Path("out"))
    os.mkdir("other")
    write_video(pathlib.Path("other/a.mp4"), [[(1, 40, 20, 48)]] * 7)
    os.utime("other/a.mp4", (1e9, 1e9))
    with pytest.raises(InputError, match=r"predict\.json: .*sources=.*clips.*other"):
        command("other", out=pathlib.Path("out"))
    assert rows("out/a.csv") == 4
    assert command("other", out=pathlib.Path("out"), overwrite=True)
    assert rows("out/a.csv") == 7


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("content", ["[]", '{"mine": 1}', "not JSON"])
def test_a_side_file_of_the_user_is_kept(command, content, overwrite):
    os.mkdir("out")
    pathlib.Path("out/predict.json").write_text(content)
    with pytest.raises(InputError, match=r"out/predict\.json"):
        command("clips", out=pathlib.Path("out"), overwrite=overwrite)
    assert pathlib.Path("out/predict.json").read_text() == content
    assert os.listdir("out") == ["predict.json"]


def test_names_that_are_too_long_are_one_line_and_the_longest_legal_one_is_predicted(
    command, capsys
):
    data = pathlib.Path("clips/a.mp4").read_bytes()
    for stem in ("x" * 245, "y" * 252):
        pathlib.Path("clips", f"{stem}.ts").write_bytes(data)
    assert not command("clips")
    assert rows("clips_predictions/b.csv") == rows(f"clips_predictions/{'x' * 245}.csv") == 4
    (line,) = (x for x in capsys.readouterr().err.splitlines() if x.startswith("error"))
    assert f"{'y' * 252}.ts" in line
    assert "too long" in line


def test_a_line_break_in_a_name_does_not_break_the_report(command, capsys):
    pathlib.Path("clips/new\nline.mp4").write_text("no video")
    assert not command("clips")
    (line,) = (x for x in capsys.readouterr().err.splitlines() if "line.mp4" in x)
    assert line.startswith(r"error: clips/new\nline.mp4: ")
