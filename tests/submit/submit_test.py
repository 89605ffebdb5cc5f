"""Submissions to challenges: every row that is asked for, once, in order, as it was predicted."""

import csv
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.tfds_builders.layouts import write_text
from tfds_builders.sewa_avec.labels import read_labels
from va_jax.report.traces import write_traces
from va_jax.scoring import files
from va_jax.submit import abaw, avec, values
from va_jax.types import InputError, Trace, Track

ROOT = pathlib.Path(__file__).resolve().parents[2]
VALENCE = [0.1, 0.2, 0.3, -0.4, 0.5, 0.6]
GAPS = [0, 1, 0, 0, 0, 1]
"""Of the six frames of a track, those that show the face."""


def write_trace(path, columns, face=None, step_s=0.04):
    """A trace as an evaluation leaves it, of unlabelled frames; `columns` by name."""
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
    """The folder of one trace whose arousal is half its valence, with the other sign."""
    arousal = [-value / 2 for value in valence]
    columns = {"valence": valence, "arousal": arousal} | more
    write_trace(folder / f"{name}.csv", columns, face, step_s)
    return folder


def column(path, place=1):
    """Numbers of a column of a file for ABAW, read by the csv module."""
    return [float(row[place]) for row in list(csv.reader(path.open()))[1:]]


def test_the_text_for_abaw_is_that_of_the_organisers(tmp_path):
    folder = one_track(tmp_path / "in", [0.5, -0.25], name="b_left")
    one_track(folder, [1 / 3], name="a")
    told = abaw.write(folder, tmp_path / "new" / "predictions.txt")
    assert (tmp_path / "new" / "predictions.txt").read_text() == (
        "image_location,valence,arousal\n"
        "a/00001.jpg,0.333333,-0.166667\n"
        "b_left/00001.jpg,0.500000,-0.250000\n"
        "b_left/00002.jpg,-0.250000,0.125000\n"
    )
    assert "rows: 3 of 2 tracks" in told.splitlines()
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
    told = abaw.write(one_track(tmp_path / "in", face=GAPS), out, rule=rule)
    np.testing.assert_allclose(column(out), expected, atol=1e-6)
    np.testing.assert_allclose(column(out, 2), -np.array(expected) / 2, atol=1e-6)
    assert f"rows without a face: 4, {values.TOLD[rule]}" in told


@pytest.mark.parametrize("rule", ["hold", "nearest", "interpolate"])
def test_a_track_without_any_face_is_zero_with_a_warning(tmp_path, rule):
    folder = one_track(tmp_path / "in", face=[0] * 6)
    told = abaw.write(folder, tmp_path / "out.txt", rule=rule)
    assert column(tmp_path / "out.txt") == [0] * 6
    assert "warning: no face in 2-30-640x360; all its rows are 0" in told


def test_of_two_equally_near_faces_the_earlier_is_taken():
    filled = values.fill(np.array([[1.0], [9.0], [2.0]]), np.array([True, False, True]), "nearest")
    assert filled.ravel().tolist() == [1, 1, 2]


def test_values_beyond_the_range_are_clipped_and_counted(tmp_path):
    folder = one_track(tmp_path / "in", [1.5, -1.2, 2.5, 1])
    told = abaw.write(folder, tmp_path / "out.txt")
    assert column(tmp_path / "out.txt") == [1, -1, 1, 1]
    assert column(tmp_path / "out.txt", 2) == [-0.75, 0.6, -1, -0.5]
    assert "values clipped to [-1, 1]: 4" in told


@pytest.mark.parametrize("header", ["", "image_location,valence,arousal\n", "image_location\n"])
def test_the_template_says_which_rows_and_in_which_order(tmp_path, header):
    folder = one_track(tmp_path / "in")
    one_track(folder, [0.9, 0.8], name="part__a")
    one_track(folder, name="unasked")
    template = tmp_path / "sample.txt"
    rows = "2-30-640x360/00003.jpg,0.5,-0.5\n\npart/a/00002.jpg\n2-30-640x360/00001.jpg,,\n"
    write_text(template, "\ufeff" + header + rows)
    told = abaw.write(folder, tmp_path / "out.txt", template)
    assert (tmp_path / "out.txt").read_text() == (
        "image_location,valence,arousal\n"
        "2-30-640x360/00003.jpg,0.300000,-0.150000\n"
        "part/a/00002.jpg,0.800000,-0.400000\n"
        "2-30-640x360/00001.jpg,0.100000,-0.050000\n"
    )
    assert "tracks that the template does not name: 1, such as unasked" in told


MORE = "".join(f"2-30-640x360/{k:05d}.jpg\n" for k in (8, 6, 7)) + "other/00002.jpg\n"


def test_required_frames_that_were_not_predicted_are_refused_by_name_and_count(tmp_path):
    folder = one_track(tmp_path / "in", face=GAPS)
    write_text(tmp_path / "sample.txt", MORE)
    with pytest.raises(InputError, match=r"line 1: '2-30.*/00008.jpg' has no .* first of 3 such r"):
        abaw.write(folder, tmp_path / "out.txt", tmp_path / "sample.txt")
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("hold", [0.5, 0.6, 0.5, 0]), ("zero", [0, 0, 0, 0]), ("keep", [0.6, 0.6, 0.6, 0])],
)
def test_required_frames_that_were_not_predicted_can_be_filled(tmp_path, rule, expected):
    """The sixth frame shows no face; the seventh, the eighth and a whole track have no trace."""
    folder = one_track(tmp_path / "in", face=[1, 1, 1, 1, 1, 0])
    write_text(tmp_path / "sample.txt", MORE)
    out = tmp_path / "out.txt"
    told = abaw.write(folder, out, tmp_path / "sample.txt", rule=rule, allow_missing=True)
    if rule == "hold":
        expected = [0.5, 0.5, 0.5, 0]
    np.testing.assert_allclose(column(out), expected, atol=1e-6)
    assert "rows without a prediction: 3" in told
    assert "warning: no trace of other; all its rows are 0" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/00001.jpg\na/1.jpg,0,0\n", r"line 2: 'a/1.jpg' stands in line 1 too; remove one"),
        ("image_location\na/00001.jpg\nb;3\n", r"line 3: 'b;3' does not start with an image"),
        ("a/00000.jpg\n", r"line 1: 'a/00000.jpg' does not start with an image"),
        ("00001.jpg,0,0\n", r"line 1: '00001.jpg,0,0' does not start with an image"),
        ("image_location,valence,arousal\n", "names no image; give the organisers' list"),
    ],
)
def test_a_template_that_says_not_what_to_write_is_refused(tmp_path, text, message):
    write_text(tmp_path / "sample.txt", text)
    with pytest.raises(InputError, match=f"sample.txt: {message}"):
        abaw.write(one_track(tmp_path / "in", name="a"), tmp_path / "o", tmp_path / "sample.txt")


def test_what_an_evaluation_wrote_is_read(tmp_path):
    rng = np.random.default_rng(1)
    pred, processed = rng.uniform(-1, 1, (2, 4, 2)).astype(np.float32)
    track = Track("a/b", "a", "a", "", 25.0, 4, 0)
    face, target = np.array([True, True, False, True]), np.full((4, 2), np.nan, np.float32)
    time_s = np.arange(4, dtype=np.float32) / 25
    trace = Trace(track, pred, target, face, time_s)
    write_traces(tmp_path / "in", [trace], ("arousal", "valence"), [processed])
    abaw.write(tmp_path / "in", tmp_path / "out.txt")
    rows = list(csv.reader((tmp_path / "out.txt").open()))[1:]
    assert [row[0] for row in rows] == [f"a__b/0000{k}.jpg" for k in (1, 2, 3, 4)]
    expected = processed[[0, 1, 1, 3]][:, ::-1]
    np.testing.assert_allclose(np.array(rows)[:, 1:].astype(float), expected, atol=1e-6)


def test_post_processed_values_are_written_where_there_are_any(tmp_path):
    folder = one_track(tmp_path / "in", valence_processed=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    told = {
        name: abaw.write(folder, tmp_path / name, processed=processed).splitlines()[0]
        for name, processed in (("usual", None), ("asked", True), ("raw", False))
    }
    assert column(tmp_path / "usual")[0] == column(tmp_path / "asked")[0] == 0.9
    assert column(tmp_path / "raw")[0] == 0.1
    assert column(tmp_path / "usual", 2)[0] == -0.05
    assert told["usual"] == told["asked"] == "columns: valence_processed, arousal"
    assert told["raw"] == "columns: valence, arousal"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",face,", ",shown,"), "line 1: has no column 'face'; evaluate"),
        (lambda text: text.replace("arousal", "power"), "predicts valence, power, not 'arousal'"),
        (lambda text: text.replace("0.200000", "nan"), "line 3: valence is no finite number"),
        (lambda text: text.replace("0.200000", "x"), "line 3: valence is no finite number"),
        (lambda text: re.sub(r"\n2,.*", "", text), "line 4: frame 3 does not follow on the one be"),
        (lambda text: text.replace(",1,0\n1,", ",2,0\n1,"), "line 2: face is neither 0 nor 1"),
        (lambda text: text.splitlines()[0] + "\n", "has a header and no rows"),
    ],
)
def test_a_trace_that_no_evaluation_wrote_is_refused(tmp_path, change, message):
    path = one_track(tmp_path / "in", name="a") / "a.csv"
    write_text(path, change(path.read_text()))
    with pytest.raises(InputError, match=rf"a\.csv: {message}") as refused:
        abaw.write(tmp_path / "in", tmp_path / "out.txt")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out.txt").exists()


def test_traces_of_two_evaluations_are_refused(tmp_path):
    folder = one_track(tmp_path / "in", name="a")
    one_track(folder, name="b", valence_processed=VALENCE)
    with pytest.raises(
        InputError, match=r"b\.csv: has valence_processed, arousal where a\.csv has"
    ):
        abaw.write(folder, tmp_path / "out.txt")
    with pytest.raises(InputError, match=r"has no column valence_processed; leave --processed out"):
        abaw.write(one_track(tmp_path / "raw"), tmp_path / "out.txt", processed=True)


def test_a_track_whose_name_would_break_its_rows_is_refused(tmp_path):
    folder = one_track(tmp_path / "in", name="a,b")
    with pytest.raises(InputError, match="would not read back as it is meant; rename the track"):
        abaw.write(folder, tmp_path / "out.txt")
    with pytest.raises(InputError, match="would not read back as it is meant; rename the rec"):
        avec.write(one_track(tmp_path / "other", name="a;b"), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "other"]


def test_the_traces_of_a_workdir_are_found_by_split(tmp_path):
    one_track(tmp_path / "traces" / "dev")
    assert files.split_folder(tmp_path, "dev") == tmp_path / "traces" / "dev"
    assert files.split_folder(tmp_path / "traces" / "dev", "test") == tmp_path / "traces" / "dev"
    with pytest.raises(InputError, match="has no split 'test', only dev; evaluate it, or"):
        files.split_folder(tmp_path, "test")


def test_what_is_there_is_replaced_only_on_demand_and_as_a_whole(tmp_path):
    folder = one_track(tmp_path / "in")
    for write, out in ((abaw.write, tmp_path / "out.txt"), (avec.write, tmp_path / "out")):
        write(folder, out)
        with pytest.raises(InputError, match=r"exists already; choose another .* or --overwrite"):
            write(folder, out)
        write(folder, out, overwrite=True)
    write_text(tmp_path / "out" / "left_over.csv", "x")
    avec.write(folder, tmp_path / "out", overwrite=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["2-30-640x360.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "out.txt"]


def test_a_refused_submission_leaves_the_one_that_is_there(tmp_path):
    folder = one_track(tmp_path / "in", name="a")
    avec.write(folder, tmp_path / "out")
    before = (tmp_path / "out" / "a.csv").read_text()
    one_track(folder, [0.9], name="a")
    one_track(folder, name="b;")
    with pytest.raises(InputError, match="rename the recording"):
        avec.write(folder, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "a.csv").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_what_is_read_or_is_no_submission_is_never_replaced(tmp_path):
    folder = one_track(tmp_path / "in")
    with pytest.raises(InputError, match="is what is read; choose another folder"):
        avec.write(folder, folder, overwrite=True)
    write_text(tmp_path / "mine" / "notes.txt", "x")
    with pytest.raises(InputError, match=r"holds notes\.txt, so is no submission to replace"):
        avec.write(folder, tmp_path / "mine", overwrite=True)
    with pytest.raises(InputError, match="would lie among the traces"):
        abaw.write(folder, folder / "2-30-640x360.csv", overwrite=True)
    with pytest.raises(InputError, match=r"is a folder; name the file, such as .*/predictions.txt"):
        abaw.write(folder, tmp_path / "mine", overwrite=True)
    with pytest.raises(InputError, match=r"--out=.*notes.txt/out.txt: .*; choose another place"):
        abaw.write(folder, tmp_path / "mine" / "notes.txt" / "out.txt")


def test_the_text_for_avec_is_that_of_2019_or_without_its_header_of_2018(tmp_path):
    folder = one_track(tmp_path / "in", [0, 0.1, 0.2, 0.3, 0.4, 0.5], name="Devel_DE_01")
    avec.write(folder, tmp_path / "new")
    avec.write(folder, tmp_path / "old", header=False)
    rows = (
        "'Devel_DE_01';0.000000;0.000000;0.000000\n"
        "'Devel_DE_01';0.100000;-0.125000;0.250000\n"
        "'Devel_DE_01';0.200000;-0.250000;0.500000\n"
    )
    assert (tmp_path / "new" / "Devel_DE_01.csv").read_text() == (
        "name;timestamp;arousal;valence\n" + rows
    )
    assert (tmp_path / "old" / "Devel_DE_01.csv").read_text() == rows


@pytest.mark.parametrize("header", [True, False])
def test_our_reader_of_avec_labels_reads_what_was_written(tmp_path, header):
    rng = np.random.default_rng(0)
    valence, liking = rng.uniform(-1, 1, (2, 50))
    folder = one_track(tmp_path / "in", valence, name="Test_HU_07", step_s=0.05, liking=liking)
    avec.write(folder, tmp_path / "out", ["arousal", "valence", "liking"], header=header)
    dims = ("valence", "arousal", "liking")
    read = read_labels(tmp_path / "out" / "Test_HU_07.csv", "Test_HU_07", dims, max_gap_s=1)
    np.testing.assert_allclose(read.time_s, np.arange(25) * 0.1, atol=1e-9)
    expected = np.stack([valence, -valence / 2, liking], 1)[::2]  # a row for every second frame
    np.testing.assert_allclose(read.values, expected, atol=2e-6)


def test_rows_between_frames_are_interpolated_after_frames_without_a_face_are_filled(tmp_path):
    folder = one_track(tmp_path / "in", face=GAPS, name="a")
    avec.write(folder, tmp_path / "out", ["valence"], step_s=0.03, rule="hold")
    rows = list(csv.reader((tmp_path / "out" / "a.csv").open(), delimiter=";"))[1:]
    at_s = [0, 0.03, 0.06, 0.09, 0.12, 0.15, 0.18]
    expected = np.interp(at_s, np.arange(6) * 0.04, [0.2, 0.2, 0.2, 0.2, 0.2, 0.6])
    np.testing.assert_allclose([float(row[1]) for row in rows], at_s)
    np.testing.assert_allclose([float(row[2]) for row in rows], expected, atol=1e-6)


def test_a_number_of_rows_cuts_or_holds_the_end(tmp_path):
    folder = one_track(tmp_path / "in", [0, 0.1, 0.2], name="a", step_s=0.1)
    avec.write(folder, tmp_path / "two", ["valence"], rows=2)
    told = avec.write(folder, tmp_path / "five", ["valence"], rows=5)
    cells = {
        name: [float(line.split(";")[2]) for line in lines]
        for name in ("two", "five")
        if (lines := (tmp_path / name / "a.csv").read_text().splitlines()[1:])
    }
    assert cells == {"two": [0, 0.1], "five": [0, 0.1, 0.2, 0.2, 0.2]}
    assert "rows before the first frame or after the last, held: 2" in told


def test_a_video_of_recola_gets_the_rows_of_its_labels(tmp_path):
    """7,500 frames and rows of 0 to 300 s: frame i, from 1 on, has the row of 0.04 i."""
    valence = np.linspace(-1, 1, 7500).round(6)
    folder = one_track(tmp_path / "in", valence, name="test_1")
    avec.write(folder, tmp_path / "out", ["valence"], step_s=0.04, offset_s=0.04)
    rows = [line.split(";") for line in (tmp_path / "out" / "test_1.csv").read_text().splitlines()]
    assert len(rows) == 7502
    assert rows[-1][1:] == ["300.000000", "1.000000"]
    expected = np.concatenate([valence[:1], valence])
    np.testing.assert_allclose([float(row[2]) for row in rows[1:]], expected, atol=1e-6)


@pytest.mark.parametrize("header", ["", "name;timestamp;arousal;valence\n", "timestamp;name;x\n"])
def test_a_folder_of_the_organisers_files_says_which_rows_there_are(tmp_path, header):
    folder = one_track(tmp_path / "in", [0, 0.1, 0.2], name="Test_CN_01", step_s=0.1)
    one_track(folder, name="unasked")
    stamps = ["0.05", "0.1500", "9.0"]
    cells = [[f"'{'Test_CN_01'}'", stamp] for stamp in stamps]
    if header.startswith("timestamp"):
        cells = [row[::-1] for row in cells]
    rows = "".join(f"{';'.join(row)};0.0;0.0\n" for row in cells)
    write_text(tmp_path / "zeros" / "Test_CN_01.csv", header + rows)
    told = avec.write(folder, tmp_path / "out", ["valence"], template=tmp_path / "zeros")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["Test_CN_01.csv"]
    assert (tmp_path / "out" / "Test_CN_01.csv").read_text() == (
        "name;timestamp;valence\n"
        "'Test_CN_01';0.05;0.050000\n'Test_CN_01';0.1500;0.150000\n'Test_CN_01';9.0;0.200000\n"
    )
    assert "tracks that the template does not name: 1, such as unasked" in told


def test_a_recording_that_only_the_template_has_is_refused_or_zero(tmp_path):
    folder = one_track(tmp_path / "in", name="a")
    write_text(tmp_path / "zeros" / "b.csv", "'b';0.0;0\n'b';0.1;0\n")
    with pytest.raises(
        InputError, match=r"b\.csv: has no trace in .* first of 1 such recordings o"
    ):
        avec.write(folder, tmp_path / "out", template=tmp_path / "zeros")
    told = avec.write(folder, tmp_path / "out", template=tmp_path / "zeros", allow_missing=True)
    assert (tmp_path / "out" / "b.csv").read_text().endswith("'b';0.1;0.000000;0.000000\n")
    assert "warning: no trace of b; all its rows are 0" in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'a';0.0;0\n'a';0.0;0\n", r"a\.csv: line 2: timestamp 0\.0 repeats 0\.0"),
        ("'a';0.1;0\n'a';0.0;0\n", r"a\.csv: line 2: timestamp 0\.0 goes back from 0\.1"),
        ("'a';0.1;0\n'c';0.2;0\n", r"a\.csv: line 2: is a row of 'c'"),
        ("'a';0.1\n'a',0.2\n", r"a\.csv: line 2: .* has no timestamp; expected name;timestamp"),
        ("name;timestamp\n", r"a\.csv: has no row"),
    ],
)
def test_organisers_files_that_do_not_say_what_to_write_are_refused(tmp_path, text, message):
    write_text(tmp_path / "zeros" / "a.csv", text)
    with pytest.raises(InputError, match=message):
        avec.write(one_track(tmp_path / "in"), tmp_path / "out", template=tmp_path / "zeros")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": ["liking"]}, "predicts valence, arousal, not 'liking'; ask for other dims"),
        ({"dims": ["valence", "valence"]}, "--dims=valence,valence: name each dimension once"),
        ({"step_s": float("nan")}, "--step_s=nan is no such time"),
        ({"offset_s": float("inf")}, "--offset_s=inf is no such time"),
        ({"rows": 2, "template": pathlib.Path("x")}, "--rows=2 and --template=x: give one of"),
        ({"template": pathlib.Path("x")}, "x: holds no csv; name the folder of the organisers"),
    ],
)
def test_what_avec_cannot_write_is_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        avec.write(one_track(tmp_path / "in"), tmp_path / "out", **options)


def command(*line):
    return subprocess.run(
        [sys.executable, "-m", "va_jax.submission", *map(str, line)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_command_writes_either_and_tells_what_it_did(tmp_path):
    one_track(tmp_path / "traces" / "test", face=GAPS)
    done = command("abaw", tmp_path, f"--out={tmp_path}/predictions.txt", "--fill=zero")
    assert done.returncode == 0, done.stderr
    assert "rows without a face: 4, set to 0" in done.stdout
    assert done.stdout.endswith("predictions.txt\n")
    done = command("avec", tmp_path, f"--out={tmp_path}/out", "--noheader", "--dims=valence")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out" / "2-30-640x360.csv").read_text()
    assert text.startswith("'2-30-640x360';0.000000;0.200000\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["ves", "in", "--out=o"], "expected abaw or avec and a folder, got ves in"),
        (["abaw", "in"], "--out is missing"),
        (["abaw", "in", "--out=o", "--rows=3"], "--rows is a flag of avec; leave it out"),
        (["abaw", "nowhere", "--out=o"], "nowhere: is no folder; name the workdir of a run"),
        (["avec", "va_jax", "--out=o"], "va_jax: holds no .csv file"),
        (["avec", "in", "--out=o", "--fill=guess"], "flag --fill=guess: value should be one of"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(line, message):
    done = command(*line)
    assert done.returncode == 1
    assert f"error: {message}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
