"""Output files: which are refused before the work begins, and the side files beside a csv."""

import json
import os
import pathlib

import pytest

from tests.predict.predicting import METADATA, FakeModel, detect, write_video
from va_jax import faces
from va_jax.predict import plot, run
from va_jax.predict.outputs import Outputs
from va_jax.predict.run import Choices
from va_jax.predict.search import find
from va_jax.types import InputError

OUT = pathlib.Path("out")
FACE = [[(0, 40, 20, 48)]] * 4
DRAWN = METADATA | {"data": {"name": "synthetic_faces/quickstart"}}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def check(source: str, overwrite: bool = False, **paths) -> None:
    """Check the outputs of one source; "csv" is text, the others are paths."""
    csv = paths.pop("csv", None)
    drawings = {name: pathlib.Path(path) for name, path in paths.items()}
    Outputs(OUT, csv, overwrite=overwrite, **drawings).check(find([source], OUT).files)


@pytest.mark.parametrize(
    ("source", "paths", "message"),
    [
        ("a.png", {"csv": "/dev/null"}, "/dev/null is not a regular file"),
        ("a.png", {"csv": "a.png"}, "a.png is also a source"),
        ("a.png", {"plot": "../here/a.png"}, "a.png is also a source"),
        ("a.png", {"plot": "b.png", "overlay": "b.png"}, "another output"),
        ("a.mp4", {"overlay": "a.mp4"}, "a.mp4 is also a source"),
        ("a.mp4", {"overlay": "b.avi"}, "overlay of a.mp4 to b.avi: .*mp4 or .mkv"),
        ("a.mp4", {"overlay": "none/b.mp4"}, "none/b.mp4: the folder none does not exist"),
        ("a.png", {"overlay": "b.mp4"}, "overlay of a.png to b.mp4: .*png or .jpg"),
        ("a.mp4", {"plot": "b.pdf"}, "plot to b.pdf: .*png"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused(source, paths, message):
    pathlib.Path("here").mkdir()
    os.chdir("here")
    for name in ("a.png", "a.mp4"):
        pathlib.Path(name).write_bytes(b"source")
    with pytest.raises(InputError, match=message):
        check(source, overwrite=True, **paths)
    assert pathlib.Path(source).read_bytes() == b"source"


@pytest.mark.parametrize(
    "paths", [{"csv": "there.csv"}, {"overlay": "there.mp4"}, {"plot": "there.png"}, {}]
)
def test_existing_files_are_replaced_only_if_asked(paths):
    pathlib.Path("out").mkdir()
    for name in ("a.mp4", "out/a.csv", "there.csv", "there.mp4", "there.png"):
        pathlib.Path(name).touch()
    with pytest.raises(InputError, match=r"(there|a)\.\w+ already exists.*--overwrite"):
        check("a.mp4", **paths)
    check("a.mp4", overwrite=True, **paths)


@pytest.fixture
def command(monkeypatch):
    """`command(*sources, **outputs)` with a fake detector and a model trained on drawings."""
    monkeypatch.setattr(run, "load", lambda folder: FakeModel(DRAWN))
    monkeypatch.setattr(faces, "Detector", lambda **_: detect)

    def command(*sources, **outputs) -> bool:
        return run.predict(
            "model", sources, Outputs(pathlib.Path("out"), progress=False, **outputs), Choices()
        )

    return command


def test_a_model_trained_on_drawings_gives_a_warning_once(command, capsys):
    for name in ("a.mp4", "b.mp4"):
        write_video(pathlib.Path(name), FACE)
    assert command("a.mp4", "b.mp4", csv="-")
    printed = capsys.readouterr()
    assert printed.err.splitlines()[0].startswith("warning: ")
    assert printed.err.count("drawings") == 1
    assert "drawings" not in printed.out
    assert sorted(os.listdir()) == ["a.mp4", "b.mp4"]


def test_another_model_gives_neither_a_warning_nor_a_side_file(command, monkeypatch, capsys):
    monkeypatch.setattr(run, "load", lambda folder: FakeModel())
    write_video(pathlib.Path("a.mp4"), FACE)
    assert command("a.mp4")
    assert "drawings" not in capsys.readouterr().err
    assert os.listdir("out") == ["a.csv"]


@pytest.mark.parametrize(
    ("outputs", "side_file"), [({}, "out/a.json"), ({"csv": "all.csv"}, "all.json")]
)
def test_the_side_file_of_a_csv_has_the_warning_and_how_it_was_made(command, outputs, side_file):
    write_video(pathlib.Path("a.mp4"), FACE)
    assert command("a.mp4", **outputs)
    facts = json.loads(pathlib.Path(side_file).read_text())
    assert "drawings" in facts["warning"]
    assert facts["model"] == str(pathlib.Path("model").resolve())
    assert facts["data_set"] == "synthetic_faces/quickstart"
    assert facts["preprocessing"]["size"] == 32
    assert facts["versions"].keys() >= {"va_jax", "jax"}


def test_the_side_file_of_a_folder_has_the_warning(command):
    pathlib.Path("clips").mkdir()
    write_video(pathlib.Path("clips/a.mp4"), FACE)
    assert command("clips")
    assert sorted(os.listdir("out")) == ["a.csv", "predict.json", "summary.csv"]
    assert "drawings" in json.loads(pathlib.Path("out/predict.json").read_text())["warning"]


def test_a_foreign_file_in_the_place_of_a_side_file_is_kept(command):
    write_video(pathlib.Path("a.mp4"), FACE)
    pathlib.Path("out").mkdir()
    pathlib.Path("out/a.json").write_text("foreign")
    with pytest.raises(InputError, match=r"out/a.json already exists"):
        command("a.mp4")
    assert pathlib.Path("out/a.json").read_text() == "foreign"
    assert command("a.mp4", overwrite=True)


def test_a_source_that_fails_leaves_no_side_file(command):
    pathlib.Path("a.mp4").write_text("not a video")
    assert not command("a.mp4")
    assert os.listdir("out") == []


def test_drawings_are_noted_on_the_overlay_and_the_plot(command, monkeypatch):
    noted = []
    monkeypatch.setattr(run.overlay, "write", lambda path, result, *_: noted.append(result.note))
    monkeypatch.setattr(plot, "write", lambda path, figure, *_: noted.append(figure.get_suptitle()))
    write_video(pathlib.Path("a.mp4"), FACE)
    assert command("a.mp4", overlay=pathlib.Path("b.mp4"), plot=pathlib.Path("b.png"))
    assert len(noted) == 2
    assert all("trained on drawings: values are not meaningful" in each for each in noted)
