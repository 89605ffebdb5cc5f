"""Reading files of predictions and labels: accepted dialects and refused files."""

import re

import numpy as np
import pytest

from va_jax.scoring import files, folders
from va_jax.types import InputError

DIMS = ["valence", "arousal"]
ROWS = [[0, 0.0, 0.25, -0.5], [1, 0.04, 0.5, 0.125], [2, 0.08, -1.0, 1.0]]
PLAIN = "frame,time_s,valence,arousal\n0,0.0,0.25,-0.5\n1,0.04,0.5,0.125\n2,0.08,-1.0,1.0\n"


def write(folder, text, name="P1.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def check_plain(file):
    rows = np.array(ROWS)
    np.testing.assert_array_equal(file.frame, rows[:, 0])
    np.testing.assert_array_equal(file.time_s, rows[:, 1])
    np.testing.assert_array_equal(file.values, rows[:, 2:])


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.rstrip("\n"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", " ; "),
        PLAIN.replace(",", ";").replace(".", ","),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", "\n\n"),
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.replace("frame,time_s,valence", "Frame, 'Time in Seconds' ,\"VALENCE\""),
        PLAIN.replace("time_s", "frameTime"),
        PLAIN.replace("0,0.0,0.25", '"0","0.0", 0.25'),
        re.sub("^", "'a',", PLAIN, count=4, flags=re.M),
        re.sub("^", '"a, b",', PLAIN, count=4, flags=re.M),
    ],
    ids=range(15),
)
def test_the_same_numbers_are_read_however_the_file_is_written(tmp_path, text):
    check_plain(files.read_trace_file(write(tmp_path, text), DIMS))


def test_rows_of_a_file_with_frames_may_stand_in_any_order(tmp_path):
    head, *rows = PLAIN.splitlines()
    file = files.read_trace_file(
        write(tmp_path, "\n".join([head, rows[2], rows[0], rows[1]])), DIMS
    )
    check_plain(file)
    assert file.line.tolist() == [3, 4, 2]
    assert file.where(2).endswith("P1.csv: line 2")


@pytest.mark.parametrize("cell", ["", " ", "nan", "inf", "abc", "0.1.2", "1_0", "--", "None"])
def test_a_cell_that_is_not_a_number_leaves_the_others_intact(tmp_path, cell):
    file = files.read_trace_file(write(tmp_path, PLAIN.replace("0.5,0.125", f"0.5,{cell}")), DIMS)
    expected = np.array(ROWS)[:, 2:]
    expected[1, 1] = np.nan
    np.testing.assert_array_equal(file.values, expected)


@pytest.mark.parametrize("cells", ["1,0.04,0.5", "1,0.04,0,5,0,125", "1,0.04,0.5,0.125,"])
def test_a_row_with_missing_or_surplus_cells_is_refused(tmp_path, cells):
    path = write(tmp_path, PLAIN.replace("1,0.04,0.5,0.125", cells))
    count = cells.count(",") + 1
    with pytest.raises(
        InputError, match=rf"P1\.csv: line 3: the row has {count} cells, but .* has 4"
    ):
        files.read_trace_file(path, DIMS)


def test_the_line_of_a_row_counts_empty_lines(tmp_path):
    file = files.read_trace_file(write(tmp_path, "\n" + PLAIN.replace("\n1,", "\n\n \n1,")), DIMS)
    assert file.line.tolist() == [3, 6, 7]


def test_frames_get_their_times_from_fps(tmp_path):
    path = write(tmp_path, "frame,valence\n0,0.1\n5,0.2\n")
    assert files.read_trace_file(path, DIMS[:1]).time_s is None
    assert files.read_trace_file(path, DIMS[:1], files.Timing(fps=25.0)).time_s.tolist() == [0, 0.2]


def test_marks_are_read_only_on_request(tmp_path):
    path = write(tmp_path, "frame,valence,valid\n0,0.1,1\n1,,0\n2,0.3,1\n")
    assert files.read_trace_file(path, DIMS[:1], has_marks=True).excluded.tolist() == [
        False,
        True,
        False,
    ]
    assert not files.read_trace_file(path, DIMS[:1]).excluded.any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\nvalence,arousal\n0.1,0.2\n", "line 2: no column .* time.*columns: valence, arousal"),
        ("frame,valence,arousal\n", "but no rows"),
        ("frame,valence\n0,0.1\n", "line 1: no column 'arousal' among 'frame', 'valence'"),
        ("frame,valence,arousal,arousal\n0,1,1,1\n", "line 1: more than one column 'arousal'"),
        ("frame,valence,arousal\n3,0,0\n4,0,0\n3,0,0\n", "line 4: frame 3 "),
        ("time,valence,arousal\n0.1,0,0\n0.2,0,0\n0.2,0,0\n", "line 4: time 0.2 "),
        ("time,valence,arousal\n0.1,0,0\n0,0,0\n", "line 3: time 0 .* 0.1;"),
        (PLAIN.replace("1,0.04", "x,0.04"), "line 3: the value of 'frame' is not a whole number"),
        (PLAIN.replace("1,0.04", "1.5,0.04"), "line 3: the value of 'frame' is not a whole number"),
        (PLAIN.replace("0.04", ""), "line 3: the value of 'time_s' is not a number"),
        (b"frame,valence,arousal\n0,\xff,1\n", "not UTF-8 .*byte 24"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=f"{re.escape(str(path))}: .*{message}") as caught:
        files.read_trace_file(path, DIMS)
    assert "\n" not in str(caught.value)


def test_recordings_are_the_csv_files_of_a_folder(tmp_path):
    with pytest.raises(InputError, match=r"no \.csv file"):
        folders.find_recordings(tmp_path)
    (tmp_path / "part" / ".hidden").mkdir(parents=True)
    (tmp_path / "part" / "loop").symlink_to(tmp_path)
    names = ["b.csv", "a.CSV", "._a.csv", "notes.txt", ".c.csv", "part/a.csv", "part/.hidden/d.csv"]
    for name in [*names, "a__b.csv", "part%2F%2Ee.csv"]:
        write(tmp_path, PLAIN, name)
    assert list(folders.find_recordings(tmp_path)) == [
        ".c", "a", "a__b", "b", "part/.e", "part/a",
    ]  # fmt: skip
    write(tmp_path, PLAIN, "part%2Fa.csv")
    with pytest.raises(InputError, match=r"part%2Fa\.csv and .*part/a\.csv both belong .*'part/a'"):
        folders.find_recordings(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        folders.find_recordings(tmp_path / "absent")


def test_groups_are_read_by_recording_in_any_dialect(tmp_path):
    path = write(tmp_path, "Group,recording\nDE,a\nHU,b\n")
    assert folders.read_groups(path) == {"a": "DE", "b": "HU"}
    path = write(tmp_path, "recording;group\n'a';DE\n")
    assert folders.read_groups(path) == {"a": "DE"}
    with pytest.raises(InputError, match=r"P1\.csv: line 1: no column is named 'recording'"):
        folders.read_groups(write(tmp_path, PLAIN))
    with pytest.raises(InputError, match=r"P1\.csv: line 2"):
        folders.read_groups(write(tmp_path, "recording,group\na\n"))


def test_a_faulty_cell_in_a_long_file_changes_only_itself(tmp_path):
    rng = np.random.default_rng(0)
    expected = rng.uniform(-1, 1, (300, 2)).round(6)
    cells = [[str(i), *map(str, row)] for i, row in enumerate(expected.tolist())]
    for row, column in ((0, 1), (150, 2), (299, 2)):
        cells[row][column], expected[row, column - 1] = '"-"', np.nan
    text = "frame,valence,arousal\n" + "\n".join(map(",".join, cells))
    np.testing.assert_array_equal(
        files.read_trace_file(write(tmp_path, text), DIMS).values, expected
    )
