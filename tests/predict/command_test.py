"""The command: which sources it finds, what it writes, skips, refuses, and its exit code."""

import csv
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
from va_jax.evaluation.postprocess import Chain, Step
from va_jax.predict import inputs, timing
from va_jax.predict import run as work
from va_jax.predict.rows import Table
from va_jax.predict.run import Choices, Outputs
from va_jax.predict.source import Predictor
from va_jax.types import InputError

FRAMES = [[(0, 40, 20, 48)]] * 4
HEADER = "source,frame,time_s,track,x,y,w,h,face_score,valence,arousal,valid"


@pytest.fixture
def command(tmp_path, monkeypatch):
    """`command(*sources, **choices)` with a fake model and detector, from an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(work, "load", lambda folder: FakeModel())
    monkeypatch.setattr(work.faces, "Detector", lambda **_: detect)

    def run(*sources, out="out", which="largest", processed=False, seconds=None, **outputs) -> bool:
        places = Outputs(pathlib.Path(out), progress=False, **outputs)
        return work.predict("model", sources, places, Choices(which, 1, processed, seconds))

    return run


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
    assert command("a.mp4", which="all")
    rows = table("out/a.csv")
    assert [(row["frame"], row["track"]) for row in rows[:4]] == [
        ("0", "0"), ("0", "1"), ("1", "0"), ("1", "1"),
    ]  # fmt: skip
    assert len(rows) == 18
    gone = rows[-1]
    assert (gone["track"], gone["x"], gone["face_score"], gone["valid"]) == ("1", "", "", "0")


def test_without_a_face_cells_are_empty_and_that_is_told(command, capsys):
    write_video(pathlib.Path("a.mp4"), [[]] * 3)
    assert not command("a.mp4")
    lines = pathlib.Path("out/a.csv").read_text().splitlines()
    assert lines[1:] == [f"a.mp4,{n},{n * 0.04:.6f},,,,,,,,,0" for n in range(3)]
    assert "error: a.mp4: no face was found; out/a.csv has its 3 frames" in capsys.readouterr().err


def test_what_fails_is_a_line_and_the_others_are_done(command, capsys):
    write_video(pathlib.Path("a.mp4"), FRAMES)
    pathlib.Path("text.mp4").write_text("no video")
    pathlib.Path("empty.mp4").write_text("")
    assert not command("missing.mp4", "text.mp4", "empty.mp4", "a.mp4")
    errors = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error:")]
    assert [line.split(":")[1].strip() for line in errors] == [
        "missing.mp4", "text.mp4", "empty.mp4",
    ]  # fmt: skip
    assert os.listdir("out") == ["a.csv"]


def test_a_truncated_video_has_rows_up_to_the_break_and_counts_as_failed(command, capsys):
    places = [[(0, 40, 20, 40 + n % 7)] for n in range(120)]
    write_video(pathlib.Path("a.mkv"), places)
    data = pathlib.Path("a.mkv").read_bytes()
    pathlib.Path("a.mkv").write_bytes(data[: len(data) // 2])
    assert not command("a.mkv")
    rows = table("out/a.csv")
    assert 20 < len(rows) < 110
    assert f"out/a.csv holds the {len(rows)} frames before" in capsys.readouterr().err


def test_what_is_there_is_not_replaced_unless_it_may_be(command):
    write_video(pathlib.Path("a.mp4"), FRAMES)
    assert command("a.mp4")
    with pytest.raises(InputError, match=r"out/a.csv exists already"):
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
    assert written == ["b.csv", "deep/a.csv"]


def test_a_folder_goes_on_where_it_was_left(command, capsys):
    folder("a.mp4", "b.mp4")
    assert command("clips")
    pathlib.Path("out/b.csv").unlink()
    before = pathlib.Path("out/a.csv").stat().st_mtime_ns
    capsys.readouterr()
    assert command("clips")
    told = capsys.readouterr().err
    assert "skipped: clips/a.mp4: out/a.csv is complete" in told
    assert "done: clips/b.mp4" in told
    assert pathlib.Path("out/a.csv").stat().st_mtime_ns == before
    assert len(table("out/b.csv")) == 4


def test_a_video_newer_than_its_rows_is_predicted_again(command, capsys):
    folder("a.mp4")
    assert command("clips")
    later = time.time() + 10
    os.utime("clips/a.mp4", (later, later))
    capsys.readouterr()
    assert command("clips")
    assert "skipped" not in capsys.readouterr().err


def test_an_older_video_in_the_place_of_another_is_predicted_too(command, capsys):
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


def test_what_was_stopped_midway_ends_as_if_it_had_not_been(command, monkeypatch):
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
    assert pathlib.Path("out/a.csv").stat().st_mtime_ns == before
    for path in pathlib.Path("whole").iterdir():
        assert pathlib.Path("out", path.name).read_bytes() == path.read_bytes()
    assert len(os.listdir("out")) == 4


def test_a_video_that_is_written_to_while_it_is_read_leaves_nothing(command, monkeypatch, capsys):
    write_video(pathlib.Path("a.mp4"), FRAMES)
    predict = Predictor.predict

    def written_to(self, pictures, progress):
        done = predict(self, pictures, progress)
        with pictures.path.open("ab") as file:
            file.write(b"more")
        return done

    monkeypatch.setattr(Predictor, "predict", written_to)
    assert not command("a.mp4")
    assert "a.mp4: changed while it was read" in capsys.readouterr().err
    assert os.listdir("out") == []


def test_a_closed_pipe_ends_the_command_with_one_error(command, monkeypatch, capsys):
    for name in ("a.mp4", "b.mp4"):
        write_video(pathlib.Path(name), FRAMES)

    class Closed:
        def write(self, _):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(Table, "__enter__", lambda self: setattr(self, "_file", Closed()) or self)
    monkeypatch.setattr(Table, "__exit__", lambda *_: None)
    with pytest.raises(InputError, match="standard output cannot be written: Broken pipe"):
        command("a.mp4", "b.mp4", csv="-")
    assert "error" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ({"csv": "/dev/null"}, "/dev/null is no file that can be replaced"),
        ({"csv": ""}, "no file that can be replaced"),
        ({"csv": "a.png"}, "a.png is also the source"),
        ({"plot": pathlib.Path("../here/a.png")}, "a.png is also the source"),
        ({"plot": pathlib.Path("b.png"), "overlay": pathlib.Path("b.png")}, "another output"),
    ],
)
def test_no_output_takes_the_place_of_a_source_a_device_or_another(command, outputs, told):
    pathlib.Path("a.png").write_bytes(b"source")
    with pytest.raises(InputError, match=told):
        command("a.png", overwrite=True, **outputs)
    assert pathlib.Path("a.png").read_bytes() == b"source"


def test_a_folder_that_cannot_be_written_is_told_before_the_work(command):
    write_video(pathlib.Path("a.mp4"), FRAMES)
    pathlib.Path("out").write_text("")
    with pytest.raises(InputError, match="out cannot be written: File exists"):
        command("a.mp4")


def test_a_folder_of_rows_is_not_continued_in_another_way(command):
    folder("a.mp4")
    assert command("clips")
    with pytest.raises(InputError, match=r"predict.json: .*track='largest', here 'all'"):
        command("clips", which="all")
    assert command("clips", which="all", overwrite=True)


def test_an_error_while_rows_are_written_leaves_nothing(tmp_path):
    def rows():
        yield ["1"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Table(tmp_path / "a.csv", ()) as into:
        into.add(rows())
    assert os.listdir(tmp_path) == []


def test_rows_that_cannot_be_written_are_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"a.csv cannot be written: "),
        Table(tmp_path / "file" / "a.csv", ()),
    ):
        pass


def names(*sources) -> list[tuple[str, str]]:
    found, problems = inputs.items(sources)
    assert not problems
    return [(str(item.path), str(item.name)) for item in found]


def test_patterns_are_sorted_and_take_images_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.mp4", "a.PNG", "c.txt"):
        pathlib.Path(name).write_text("")
    assert names("*", "b.mp4") == [("a.PNG", "a"), ("b.mp4", "b")]
    assert [item.image for item in inputs.items(["*"])[0]] == [True, False]


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
    with pytest.raises(InputError, match=r"x/a.mp4 and y/a.mp4 would both be written to a.mp4.csv"):
        inputs.items(["x/a.mp4", "y/a.mp4"])


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("none.mp4", "no such file"),
        ("empty", "holds no video"),
        ("*.mkv", "matches no video"),
    ],
)
def test_a_source_that_gives_nothing_is_a_line(tmp_path, monkeypatch, source, line):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("empty").mkdir()
    items, (problem,) = inputs.items([source])
    assert items == []
    assert problem.startswith(f"{source}: {line}")


def test_a_number_is_a_camera_unless_a_file_has_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert inputs.camera(["0"]) == 0
    with pytest.raises(InputError, match="camera 1 stands beside other sources"):
        inputs.camera(["1", "a.mp4"])
    pathlib.Path("0").write_text("")
    assert inputs.camera(["0"]) is None


def test_what_is_of_one_source_or_of_a_camera_is_refused_elsewhere(command):
    folder("a.mp4", "b.mp4")
    with pytest.raises(InputError, match="of one source, 2 are given"):
        command("clips", plot=pathlib.Path("a.png"))
    with pytest.raises(InputError, match=r"--seconds=3 is of a camera"):
        command("clips", seconds=3.0)
    with pytest.raises(InputError, match="--processed, but the model has no post-processing"):
        command("clips", processed=True)
    assert not pathlib.Path("out").exists()


def chain(**lags_s) -> Chain:
    steps = {dim: (Step("lag", {"lag_s": x}, bool(x), 0.4, 0.5),) for dim, x in lags_s.items()}
    return Chain(steps, {})


def test_the_time_of_values_is_told_as_the_post_processing_knows_it():
    fitted = chain(valence=-0.9, arousal=0.2)
    raw, processed = timing.note(fitted, False), timing.note(fitted, True)
    assert "valence 0.90 s earlier than its labels, arousal 0.20 s later" in raw
    assert "raw" in raw
    assert "valence moved .90 s later" in processed
    assert "a value of valence belongs to the face 0.90 s before it" in processed
    assert "arousal belongs" not in processed
    assert "no lag" in timing.note(chain(valence=0.0), False)
    assert timing.note(None, False) is None


COMMAND = [sys.executable, "-m", "va_jax.predict"]


@pytest.mark.slow
def test_a_mistake_in_the_command_line_is_one_line():
    for given, line in (
        (["model"], "error: name a model and what to predict; see --help"),
        (["model", "a.mp4", "--track=some"], "error: flag --track=some: value should be one of"),
    ):
        done = subprocess.run([*COMMAND, *given], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        (told,) = done.stderr.splitlines()
        assert told.startswith(line)


@pytest.mark.slow
def test_real_clips_have_a_row_for_every_frame_and_their_faces(tmp_path, tiny_run, media):
    command = [*COMMAND, str(tiny_run), str(media), f"--out={tmp_path}", "--noprogress"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1  # for one has no face
    assert [x for x in done.stderr.splitlines() if x.startswith("error:")] == [
        f"error: {media}/no_face.mp4: no face was found; {tmp_path}/no_face.csv has its 95 frames "
        "without one"
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
    command = [*COMMAND, str(tiny_run), str(media / "smile.mp4"), "--csv=-", "--noprogress"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    lines = process.stderr.read().decode().splitlines()
    assert process.wait(60) == 1
    assert lines[-1] == "error: standard output cannot be written: Broken pipe"
    assert not [line for line in lines if "Traceback" in line]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_command_leaves_nothing_behind(tmp_path, tiny_run, media, number, code):
    shutil.copy(media / "tears_to_laughter.mp4", tmp_path)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [*COMMAND, str(tiny_run), str(tmp_path / "tears_to_laughter.mp4")]
    process = subprocess.Popen(
        [*command, f"--out={tmp_path / 'out'}", f"--overlay={tmp_path / 'seen.mp4'}"],
        env=os.environ | {"TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    told = b""
    while b"crops" not in told:
        told += process.stderr.read(200)
    process.send_signal(number)
    assert b"Traceback" not in process.stderr.read()
    assert process.wait(60) == code
    assert os.listdir(tmp_path / "out") == []
    assert not list(tmp_path.glob("*seen*"))
    assert not [name for name in os.listdir(temporary) if "jax" not in name]
