"""The command: which sources it finds, what it writes, skips, refuses, and its exit code."""

import csv
import dataclasses
import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.predict.predicting import FakeModel, detect, write_video
from va_jax import faces
from va_jax.evaluation.postprocess import PostProcessing, Step
from va_jax.predict import run, search
from va_jax.predict.outputs import Outputs
from va_jax.predict.predictor import Predictor
from va_jax.predict.results import open_csv
from va_jax.predict.run import Choices
from va_jax.types import InputError

FRAMES = [[(0, 40, 20, 48)]] * 4
HEADER = "source,frame,time_s,track,x,y,w,h,face_score,valence,arousal,valid"


@pytest.fixture
def command(tmp_path, monkeypatch):
    """`command(*sources, **choices)` with a fake model and detector, from an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(run, "load", lambda folder: FakeModel())
    monkeypatch.setattr(faces, "Detector", lambda **_: detect)

    def command(*sources, out="out", **options) -> bool:
        names = {field.name for field in dataclasses.fields(Choices)} & options.keys()
        choices = Choices(**{name: options.pop(name) for name in names})
        outputs = Outputs(pathlib.Path(out), progress=False, **options)
        return run.predict("model", sources, outputs, choices)

    return command


def table(path) -> list[dict[str, str]]:
    with pathlib.Path(path).open() as file:
        return list(csv.DictReader(file))


def test_a_video_becomes_a_csv_with_a_row_for_every_frame(command):
    write_video(pathlib.Path("a.mp4"), FRAMES)
    assert command("a.mp4")
    lines = pathlib.Path("out/a.csv").read_text().splitlines()
    assert lines[0] == HEADER
    assert lines[2].startswith("a.mp4,1,0.040000,0,40.00,20.00,48.00,48.00,0.9000,")
    rows = table("out/a.csv")
    assert [int(row["frame"]) for row in rows] == [0, 1, 2, 3]
    assert float(rows[0]["valence"]) == pytest.approx(1, abs=0.03)
    assert {row["valid"] for row in rows} == {"1"}


def test_all_faces_have_a_row_in_every_frame(command):
    faces = [[(0, 4, 20, 40), *([(1, 100, 24, 36)] if n < 5 else [])] for n in range(9)]
    write_video(pathlib.Path("a.mp4"), faces)
    assert command("a.mp4", track="all")
    rows = table("out/a.csv")
    assert [(row["frame"], row["track"]) for row in rows[:4]] == [
        ("0", "0"), ("0", "1"), ("1", "0"), ("1", "1"),
    ]  # fmt: skip
    assert len(rows) == 18
    gone = rows[-1]
    assert (gone["track"], gone["x"], gone["face_score"], gone["valid"]) == ("1", "", "", "0")


def test_without_a_face_cells_are_empty_and_the_source_counts_as_failed(command, capsys):
    write_video(pathlib.Path("a.mp4"), [[]] * 3)
    assert not command("a.mp4")
    lines = pathlib.Path("out/a.csv").read_text().splitlines()
    assert lines[1:] == [f"a.mp4,{n},{n * 0.04:.6f},,,,,,,,,0" for n in range(3)]
    assert "error: a.mp4: no face found; out/a.csv contains 3 frames" in capsys.readouterr().err


def test_a_source_that_fails_is_one_line_and_the_others_are_predicted(command, capsys):
    write_video(pathlib.Path("a.mp4"), FRAMES)
    pathlib.Path("text.mp4").write_text("no video")
    pathlib.Path("empty.mp4").write_text("")
    assert not command("missing.mp4", "text.mp4", "empty.mp4", "a.mp4")
    errors = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error:")]
    assert [line.split(":")[1].strip() for line in errors] == [
        "missing.mp4", "text.mp4", "empty.mp4",
    ]  # fmt: skip
    assert sorted(os.listdir("out")) == ["a.csv", "summary.csv"]


def test_a_truncated_video_has_rows_up_to_the_break_and_counts_as_failed(command, capsys):
    places = [[(0, 40, 20, 40 + n % 7)] for n in range(120)]
    write_video(pathlib.Path("a.mkv"), places)
    data = pathlib.Path("a.mkv").read_bytes()
    pathlib.Path("a.mkv").write_bytes(data[: len(data) // 2])
    assert not command("a.mkv")
    rows = table("out/a.csv")
    assert 20 < len(rows) < 110
    assert f"out/a.csv contains the {len(rows)} frames before" in capsys.readouterr().err


def test_an_existing_csv_is_replaced_only_with_overwrite(command):
    write_video(pathlib.Path("a.mp4"), FRAMES)
    assert command("a.mp4")
    with pytest.raises(InputError, match=r"out/a.csv already exists"):
        command("a.mp4")
    assert command("a.mp4", overwrite=True)


def test_one_csv_takes_the_rows_of_all_sources(command, capsys):
    for name in ("a.mp4", "b.mp4"):
        write_video(pathlib.Path(name), FRAMES)
    assert command("a.mp4", "b.mp4", csv="all.csv")
    assert [row["source"] for row in table("all.csv")] == ["a.mp4"] * 4 + ["b.mp4"] * 4
    capsys.readouterr()
    assert command("a.mp4", "b.mp4", csv="-")
    assert capsys.readouterr().out == pathlib.Path("all.csv").read_text()


def folder(*names) -> pathlib.Path:
    path = pathlib.Path("clips")
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(path / name, FRAMES)
    return path


def test_a_folder_is_searched_at_any_depth_and_keeps_its_shape(command):
    folder("b.mp4", "deep/a.mov", ".hidden/c.mp4")
    pathlib.Path("clips/notes.txt").write_text("")
    assert command("clips")
    written = sorted(str(path.relative_to("out")) for path in pathlib.Path("out").rglob("*.csv"))
    assert written == ["b.csv", "deep/a.csv", "summary.csv"]


def test_a_video_newer_than_its_rows_is_predicted_again(command, capsys):
    folder("a.mp4")
    assert command("clips")
    later = time.time() + 10
    os.utime("clips/a.mp4", (later, later))
    capsys.readouterr()
    assert command("clips")
    assert "skipped" not in capsys.readouterr().err


def test_an_older_video_that_replaces_another_is_predicted_too(command, capsys):
    folder("a.mp4")
    assert command("clips")
    time.sleep(0.05)  # more than a tick of the file system
    write_video(pathlib.Path("older.mp4"), [*FRAMES, *FRAMES])
    os.utime("older.mp4", (1e9, 1e9))
    os.replace("older.mp4", "clips/a.mp4")
    capsys.readouterr()
    assert command("clips")
    assert "skipped" not in capsys.readouterr().err
    assert len(table("out/a.csv")) == 8


def test_a_resumed_run_ends_as_an_uninterrupted_one(command, monkeypatch, capsys):
    folder("a.mp4", "b.mp4", "c.mp4")
    assert command("clips", out="whole")
    predict = Predictor.predict

    def stopped(self, pictures, progress):
        if pictures.path.name == "b.mp4":
            assert sorted(os.listdir("out")) == ["a.csv", "predict.json"]  # nothing half-written
            raise KeyboardInterrupt
        return predict(self, pictures, progress)

    monkeypatch.setattr(Predictor, "predict", stopped)
    with pytest.raises(KeyboardInterrupt):
        command("clips")
    before = pathlib.Path("out/a.csv").stat().st_mtime_ns
    monkeypatch.setattr(Predictor, "predict", predict)
    assert command("clips")
    printed = capsys.readouterr().err
    assert "skipped: clips/a.mp4: out/a.csv is complete" in printed
    assert "done: clips/b.mp4" in printed
    assert pathlib.Path("out/a.csv").stat().st_mtime_ns == before
    for path in pathlib.Path("whole").iterdir():
        assert pathlib.Path("out", path.name).read_bytes() == path.read_bytes()
    assert len(os.listdir("out")) == 5


def test_a_closed_pipe_ends_the_command_with_one_error(command, monkeypatch, capsys):
    for name in ("a.mp4", "b.mp4"):
        write_video(pathlib.Path(name), FRAMES)

    class Closed:
        def write(self, _):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(InputError, match="standard output cannot be written: Broken pipe"):
        command("a.mp4", "b.mp4", csv="-")
    assert "error" not in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_reported_before_the_work(command):
    write_video(pathlib.Path("a.mp4"), FRAMES)
    pathlib.Path("out").write_text("")
    with pytest.raises(InputError, match=r"out: cannot write to this folder \(File exists"):
        command("a.mp4")


def test_a_folder_is_not_resumed_with_other_settings(command):
    folder("a.mp4")
    assert command("clips")
    with pytest.raises(InputError, match=r"predict.json: .*track='largest'.*'all'"):
        command("clips", track="all")
    assert command("clips", track="all", overwrite=True)


def test_an_error_while_rows_are_written_leaves_nothing(tmp_path):
    def rows():
        yield ["1"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_csv(tmp_path / "a.csv", ()) as into:
        into(rows())
    assert os.listdir(tmp_path) == []


def test_rows_that_cannot_be_written_are_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"a.csv cannot be written: "),
        open_csv(tmp_path / "file" / "a.csv", ()),
    ):
        pass


def names(*sources) -> list[tuple[str, str]]:
    found = search.find(sources)
    assert not found.problems
    return [(str(file.path), str(file.name)) for file in found.files]


def test_files_that_differ_in_their_ending_alone_keep_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "a.mov", "b.mp4"):
        pathlib.Path(name).write_text("")
    assert [name for _, name in names(".")] == ["a.mov", "a.mp4", "b"]


def test_two_files_for_one_output_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("x", "y"):
        pathlib.Path(name).mkdir()
        pathlib.Path(name, "a.mp4").write_text("")
    files = search.find(["x/a.mp4", "y/a.mp4"]).files
    with pytest.raises(InputError, match=r"x/a.mp4 and y/a.mp4 would both be written to a.mp4.csv"):
        Outputs().check(files)
    Outputs(csv="both.csv").check(files)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("none.mp4", "No such file"),
        ("empty", "contains no video"),
    ],
)
def test_a_source_that_gives_nothing_is_a_line(tmp_path, monkeypatch, source, line):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("empty").mkdir()
    found = search.find([source])
    assert found.files == []
    (problem,) = found.problems
    assert problem.startswith(f"{source}: {line}")


def test_a_number_is_a_camera_unless_a_file_has_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert search.camera_index(["0"]) == 0
    with pytest.raises(InputError, match="camera 1 "):
        search.camera_index(["1", "a.mp4"])
    pathlib.Path("0").write_text("")
    assert search.camera_index(["0"]) is None


def test_options_for_one_source_or_a_camera_are_refused_elsewhere(command):
    folder("a.mp4", "b.mp4")
    with pytest.raises(InputError, match=r"--overlay, and --plot .* 2[ ;]"):
        command("clips", plot=pathlib.Path("a.png"))
    with pytest.raises(InputError, match=r"--seconds=3 .*camera"):
        command("clips", seconds=3.0)
    with pytest.raises(InputError, match="--processed: the model has no post-processing"):
        command("clips", processed=True)
    for options in (
        {"plot": pathlib.Path("a.png")},
        {"page": pathlib.Path("a.html")},
        {"processed": True},
    ):
        with pytest.raises(InputError, match="camera 0: "):
            command("0", **options)
    assert not pathlib.Path("out").exists()


def test_a_note_names_the_steps_of_the_post_processing():
    lag = Step("lag", {"lag_s": -0.9}, True, 0.4, 0.5)
    fitted = PostProcessing({"valence": (lag,), "arousal": ()}, {})
    assert "valence moved 0.90 s later" in run.processing_note(fitted, True)
    assert "raw" in run.processing_note(fitted, False)
    assert "--processed" in run.processing_note(fitted, False)
    assert run.processing_note(None, False) is None


COMMAND = [sys.executable, "-m", "va_jax", "predict"]


@pytest.mark.slow
def test_a_mistake_in_the_command_line_is_one_line():
    for arguments, problem in ((["model"], "SOURCE"), (["model", "a.mp4", "--track=some"], "some")):
        done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert problem in line


@pytest.mark.slow
def test_real_clips_have_a_row_for_every_frame_and_their_faces(tmp_path, tiny_run, media):
    flags = [f"--out={tmp_path}", "--no-progress", "--every=3"]
    command = [*COMMAND, str(tiny_run), str(media), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1  # for one has no face
    assert [x for x in done.stderr.splitlines() if x.startswith("error:")] == [
        f"error: {media}/no_face.mp4: no face found; {tmp_path}/no_face.csv contains 95 frames, "
        "0 faces"
    ]
    for name, frames, shown in (
        ("smile", 72, 1),
        ("tears_to_laughter", 472, 1),
        ("no_face", 95, 0),
    ):
        rows = table(tmp_path / f"{name}.csv")
        assert len(rows) == frames
        assert np.mean([row["valid"] == "1" for row in rows]) == shown
        values = [float(row["valence"]) for row in rows if row["valence"]]
        assert len(values) == frames * shown


@pytest.mark.slow
def test_a_reader_who_has_enough_sees_no_traceback(tiny_run, media):
    command = [*COMMAND, str(tiny_run), str(media / "smile.mp4"), "--csv=-", "--no-progress"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    lines = process.stderr.read().decode().splitlines()
    assert process.wait(60) == 1
    assert lines[-1].startswith("error: standard output cannot be written: Broken pipe")
    assert not [line for line in lines if "Traceback" in line]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_command_leaves_nothing_behind(tmp_path, tiny_run, media, number, code):
    shutil.copy(media / "tears_to_laughter.mp4", tmp_path)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [*COMMAND, str(tiny_run), str(tmp_path / "tears_to_laughter.mp4"), "--every=20"]
    process = subprocess.Popen(
        [*command, f"--out={tmp_path / 'out'}", f"--overlay={tmp_path / 'seen.mp4'}"],
        env=os.environ | {"TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    printed = b""
    while b"crops" not in printed:
        printed += process.stderr.read(200)
    process.send_signal(number)
    assert b"Traceback" not in process.stderr.read()
    assert process.wait(60) == code
    assert os.listdir(tmp_path / "out") == []
    assert not list(tmp_path.glob("*seen*"))
    assert not [name for name in os.listdir(temporary) if "jax" not in name]
