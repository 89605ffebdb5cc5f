"""Submissions to challenges: every required row once, in order, with its prediction."""

import csv
import pathlib
import re

import numpy as np
import pytest

from tests.tfds_builders.layouts import write_text
from va_jax.cli.command import main
from va_jax.report.traces import write_traces
from va_jax.scoring import folders
from va_jax.submit.abaw import SubmissionOptions, write_submission
from va_jax.submit.predictions import FILL_RULES, Predictions, fill
from va_jax.types import InputError, Trace, Track

ROOT = pathlib.Path(__file__).resolve().parents[2]
VALENCE = [0.1, 0.2, 0.3, -0.4, 0.5, 0.6]
GAPS = [0, 1, 0, 0, 0, 1]
"""The six frames of a track: 1 where they show the face."""


def write_trace(path, columns, face=None, step_s=0.04):
    """Write a trace of unlabelled frames like that of an evaluation; `columns` by name."""
    frames = len(next(iter(columns.values())))
    face = [1] * frames if face is None else face
    dims = [name for name in columns if not name.endswith("_processed")]
    lines = [
        ",".join(["frame", "time_s", *columns, *(f"{dim}_target" for dim in dims), "face", "valid"])
    ]
    for i in range(frames):
        numbers = [f"{column[i]:.6f}" for column in columns.values()]
        cells = [str(i), f"{step_s * i:.4f}", *numbers, *[""] * len(dims), str(face[i]), "0"]
        lines.append(",".join(cells))
    write_text(path, "\n".join(lines) + "\n")


def one_track(folder, valence=VALENCE, face=None, name="2-30-640x360", step_s=0.04, **more):
    """Write a trace whose arousal is minus half its valence; return its folder."""
    arousal = [-value / 2 for value in valence]
    columns = {"valence": valence, "arousal": arousal} | more
    write_trace(folder / f"{name}.csv", columns, face, step_s)
    return folder


def submit(folder, out, **options):
    """Write a submission; return its summary."""
    return write_submission(folder, out, SubmissionOptions(**options))


def column(path, place=1):
    """Return the numbers in a column of a submission, read by the csv module."""
    return [float(row[place]) for row in list(csv.reader(path.open()))[1:]]


def test_the_file_has_the_format_of_the_organisers(tmp_path):
    folder = one_track(tmp_path / "in", [0.5, -0.25], name="b_left")
    one_track(folder, [1 / 3], name="a")
    summary = submit(folder, tmp_path / "new" / "predictions.txt")
    assert (tmp_path / "new" / "predictions.txt").read_text() == (
        "image_location,valence,arousal\n"
        "a/00001.jpg,0.333333,-0.166667\n"
        "b_left/00001.jpg,0.500000,-0.250000\n"
        "b_left/00002.jpg,-0.250000,0.125000\n"
    )
    assert "rows: 3 from 2 tracks" in summary.splitlines()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["predictions.txt"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("hold", [0.2, 0.2, 0.2, 0.2, 0.2, 0.6]),
        ("nearest", [0.2, 0.2, 0.2, 0.2, 0.6, 0.6]),
        ("interpolate", [0.2, 0.2, 0.3, 0.4, 0.5, 0.6]),
        ("zero", [0, 0.2, 0, 0, 0, 0.6]),
        ("keep", VALENCE),
    ],
)
def test_frames_without_a_face_are_filled_by_the_rule(tmp_path, rule, expected):
    out = tmp_path / "predictions.txt"
    summary = submit(one_track(tmp_path / "in", face=GAPS), out, fill=rule)
    np.testing.assert_allclose(column(out), expected, atol=1e-6)
    np.testing.assert_allclose(column(out, 2), -np.array(expected) / 2, atol=1e-6)
    assert f"rows without a face: 4, {FILL_RULES[rule]}" in summary


@pytest.mark.parametrize("rule", ["hold", "nearest", "interpolate"])
def test_a_track_without_a_face_is_zero_with_a_warning(tmp_path, rule):
    folder = one_track(tmp_path / "in", face=[0] * 6)
    summary = submit(folder, tmp_path / "out.txt", fill=rule)
    assert column(tmp_path / "out.txt") == [0] * 6
    assert "warning: all rows are 0, because there is no face or no trace: 2-30-640x360" in summary


def test_the_earlier_of_two_equally_near_faces_is_taken():
    face = np.array([True, False, True])
    filled = fill(Predictions(np.array([[1.0], [9.0], [2.0]]), face), "nearest")
    assert filled.ravel().tolist() == [1, 1, 2]


def test_values_beyond_the_range_are_clipped_and_counted(tmp_path):
    folder = one_track(tmp_path / "in", [1.5, -1.2, 2.5, 1])
    summary = submit(folder, tmp_path / "out.txt")
    assert column(tmp_path / "out.txt") == [1, -1, 1, 1]
    assert column(tmp_path / "out.txt", 2) == [-0.75, 0.6, -1, -0.5]
    assert "values clipped to [-1, 1]: 4" in summary


@pytest.mark.parametrize("header", ["", "image_location,valence,arousal\n", "image_location\n"])
def test_the_template_defines_the_rows_and_their_order(tmp_path, header):
    folder = one_track(tmp_path / "in")
    one_track(folder, [0.9, 0.8], name="part%2Fa")
    one_track(folder, name="unasked")
    template = tmp_path / "sample.txt"
    rows = "2-30-640x360/00003.jpg,0.5,-0.5\n\npart/a/00002.jpg\n2-30-640x360/00001.jpg,,\n"
    write_text(template, "\ufeff" + header + rows)
    summary = submit(folder, tmp_path / "out.txt", template=template)
    assert (tmp_path / "out.txt").read_text() == (
        "image_location,valence,arousal\n"
        "2-30-640x360/00003.jpg,0.300000,-0.150000\n"
        "part/a/00002.jpg,0.800000,-0.400000\n"
        "2-30-640x360/00001.jpg,0.100000,-0.050000\n"
    )
    assert "tracks that are not in the template: unasked" in summary


MORE = "".join(f"2-30-640x360/{k:05d}.jpg\n" for k in (8, 6, 7)) + "other/00002.jpg\n"


def test_images_without_a_prediction_are_refused_by_name_and_count(tmp_path):
    folder = one_track(tmp_path / "in", face=GAPS)
    write_text(tmp_path / "sample.txt", MORE)
    with pytest.raises(InputError, match=r"sample.txt: line 1: '2-30.*/00008.jpg' .*first of 3"):
        submit(folder, tmp_path / "out.txt", template=tmp_path / "sample.txt")
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("hold", [0.5, 0.5, 0.5, 0]), ("zero", [0, 0, 0, 0]), ("keep", [0.6, 0.6, 0.6, 0])],
)
def test_images_without_a_prediction_can_be_filled(tmp_path, rule, expected):
    """The sixth frame shows no face; the seventh, the eighth and a whole track have no trace."""
    folder = one_track(tmp_path / "in", face=[1, 1, 1, 1, 1, 0])
    write_text(tmp_path / "sample.txt", MORE)
    out = tmp_path / "out.txt"
    summary = submit(folder, out, template=tmp_path / "sample.txt", fill=rule, allow_missing=True)
    np.testing.assert_allclose(column(out), expected, atol=1e-6)
    assert "rows without a prediction: 3" in summary
    assert "warning: all rows are 0, because there is no face or no trace: other" in summary


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/00001.jpg\na/1.jpg,0,0\n", r"line 2: 'a/1.jpg' is also on line 1"),
        ("image_location\na/00001.jpg\nb;3\n", r"line 3: 'b;3' is not the location"),
        ("a/00000.jpg\n", r"line 1: 'a/00000.jpg' is not the location"),
        ("00001.jpg,0,0\n", r"line 1: '00001.jpg' is not the location"),
        ("image_location,valence,arousal\n", "the file lists no images"),
        ("\n", "the file is empty"),
    ],
)
def test_a_template_that_does_not_list_images_is_refused(tmp_path, text, message):
    write_text(tmp_path / "sample.txt", text)
    with pytest.raises(InputError, match=f"sample.txt: {message}"):
        submit(
            one_track(tmp_path / "in", name="a"), tmp_path / "o", template=tmp_path / "sample.txt"
        )


def test_the_traces_of_an_evaluation_are_read(tmp_path):
    rng = np.random.default_rng(1)
    pred, processed = rng.uniform(-1, 1, (2, 4, 2)).astype(np.float32)
    track = Track("a/b", "a", "a", "", 25.0, 4, 0)
    face, target = np.array([True, True, False, True]), np.full((4, 2), np.nan, np.float32)
    time_s = np.arange(4, dtype=np.float32) / 25
    trace = Trace(track, pred, target, face, time_s)
    write_traces(tmp_path / "in", [trace], ("arousal", "valence"), [processed])
    submit(tmp_path / "in", tmp_path / "out.txt")
    rows = list(csv.reader((tmp_path / "out.txt").open()))[1:]
    assert [row[0] for row in rows] == [f"a/b/0000{k}.jpg" for k in (1, 2, 3, 4)]
    expected = processed[[0, 1, 1, 3]][:, ::-1]
    np.testing.assert_allclose(np.array(rows)[:, 1:].astype(float), expected, atol=1e-6)


def test_post_processed_values_are_written_where_there_are_any(tmp_path):
    folder = one_track(tmp_path / "in", valence_processed=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    summary = {
        name: submit(folder, tmp_path / name, processed=processed).splitlines()[0]
        for name, processed in (("usual", None), ("asked", True), ("raw", False))
    }
    assert column(tmp_path / "usual")[0] == column(tmp_path / "asked")[0] == 0.9
    assert column(tmp_path / "raw")[0] == 0.1
    assert column(tmp_path / "usual", 2)[0] == -0.05
    assert summary["usual"] == summary["asked"] == "columns: valence_processed, arousal"
    assert summary["raw"] == "columns: valence, arousal"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",face,", ",shown,"), "line 1: no column 'face'"),
        (lambda text: text.replace("arousal", "power"), ".* valence, power, but not of 'arousal'"),
        (lambda text: text.replace("0.200000", "nan"), "line 3: valence is not a finite number"),
        (lambda text: text.replace("0.200000", "x"), "line 3: valence is not a finite number"),
        (
            lambda text: text.replace("\n1,", "\nx,"),
            "line 3: the value of 'frame' is not a whole number",
        ),
        (lambda text: re.sub(r"\n2,.*", "", text), "line 4: frame is not 2"),
        (lambda text: text.replace(",1,0\n1,", ",2,0\n1,"), "line 2: face is not 0 or 1"),
        (lambda text: text.splitlines()[0] + "\n", "the file has a header but no rows"),
    ],
)
def test_a_trace_that_is_not_from_an_evaluation_is_refused(tmp_path, change, message):
    path = one_track(tmp_path / "in", name="a") / "a.csv"
    write_text(path, change(path.read_text()))
    with pytest.raises(InputError, match=rf"a\.csv: {message}") as refused:
        submit(tmp_path / "in", tmp_path / "out.txt")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out.txt").exists()


def test_traces_with_different_columns_are_refused(tmp_path):
    folder = one_track(tmp_path / "in", name="a")
    one_track(folder, name="b", valence_processed=VALENCE)
    with pytest.raises(InputError, match=r"b\.csv: .*valence_processed, arousal, but a\.csv"):
        submit(folder, tmp_path / "out.txt")
    with pytest.raises(InputError, match=r"there is no column valence_processed; omit --processed"):
        submit(one_track(tmp_path / "raw"), tmp_path / "out.txt", processed=True)


def test_the_traces_of_a_workdir_are_found_by_split(tmp_path):
    one_track(tmp_path / "traces" / "dev")
    assert folders.find_traces(tmp_path, "dev") == tmp_path / "traces" / "dev"
    assert folders.find_traces(tmp_path / "traces" / "dev", "test") == tmp_path / "traces" / "dev"
    with pytest.raises(InputError, match="no split 'test', only dev"):
        folders.find_traces(tmp_path, "test")


def test_an_existing_file_is_replaced_only_on_request(tmp_path):
    folder, out = one_track(tmp_path / "in"), tmp_path / "out.txt"
    submit(folder, out)
    before = out.read_text()
    one_track(folder, [0.9])
    with pytest.raises(InputError, match=r"out\.txt already exists; .*--overwrite"):
        submit(folder, out)
    assert out.read_text() == before
    submit(folder, out, overwrite=True)
    assert column(out) == [0.9]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.txt"]


def test_the_template_and_a_name_that_breaks_a_row_are_refused(tmp_path):
    folder, template = one_track(tmp_path / "in", name="a"), tmp_path / "list.csv"
    write_text(template, "a/00001.jpg\n")
    with pytest.raises(InputError, match=r"list\.csv is the template"):
        submit(folder, template, template=template, overwrite=True)
    assert template.read_text() == "a/00001.jpg\n"
    one_track(folder, name="a,b")
    with pytest.raises(InputError, match=r"'a,b'.*comma"):
        submit(folder, tmp_path / "out.txt")


def test_an_out_that_cannot_be_written_is_refused(tmp_path):
    folder = one_track(tmp_path / "in")
    write_text(tmp_path / "notes.txt", "")
    for out, message in (
        (tmp_path, "already exists; choose a different file"),
        (tmp_path / "notes.txt" / "out.txt", r"--out=.*notes.txt/out.txt cannot be written: "),
    ):
        with pytest.raises(InputError, match=message):
            submit(folder, out, overwrite=True)


def command(*line):
    return main(["submit", *map(str, line)])


def test_the_command_writes_a_file_and_prints_a_summary(tmp_path, capsys):
    one_track(tmp_path / "traces" / "test", face=GAPS)
    assert command("abaw", tmp_path, f"--out={tmp_path}/predictions.txt", "--fill=zero") == 0
    printed = capsys.readouterr().out
    assert "rows without a face: 4, set to 0" in printed
    assert printed.endswith("predictions.txt\n")
    assert column(tmp_path / "predictions.txt")[0] == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["ves", "in", "--out=o"], "'ves'"),
        (["abaw", "in"], "--out"),
        (["abaw", "in", "--out=o", "--rows=3"], "--rows=3"),
        (["abaw", "nowhere", "--out=o"], "nowhere: not a folder"),
        (["abaw", ROOT / "tpu_scripts", "--out=o"], "tpu_scripts: contains no .csv file"),
        (["abaw", "in", "--out=o", "--fill=guess"], "'guess'"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(line, message, capsys):
    try:
        assert command(*line) == 1
        error = capsys.readouterr().err
    except SystemExit as stop:
        error = str(stop.code)
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") <= 1
