"""The files of SEWA Basic: names of clips, labels, landmarks, and the numbering of frames."""

import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfds_builders.layouts import labels_or_one_line, write_text
from tfds_builders.sewa import clips
from tfds_builders.sewa.labels import read_column, read_labels
from tfds_builders.sewa.landmarks import landmarks_of, read_points
from va_jax.types import DIMS, InputError

NAME = "SSL_C2_S055_P109_VC1_004803_004822"
CLIP = clips.parse(NAME)


def test_the_name_of_a_clip_gives_culture_session_participant_and_frames():
    assert clips.Clip(NAME, "C2", "C2_S055", "C2_P109", 4803, 4822) == CLIP
    assert CLIP.frames == 20
    for name in ("SXL_C2_S055_P109_VC1_1_2", "SSL_C7_S055_P109_VC1_1_2", f"{NAME}_x", "VC1"):
        with pytest.raises(InputError, match=f"'{name}' is not the name of a clip"):
            clips.parse(name)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (range(4803, 4823), 0),
        (range(4810, 4815), 0),
        (range(4803, 4825), 0),  # two rows too many
        (range(1, 21), 4802),
        (range(0, 20), 4803),
        (range(5, 12), 4802),  # the first rows are missing
        (range(0, 23), 4803),
    ],
)
def test_frames_are_numbered_as_in_the_name_or_within_the_clip(numbers, expected):
    assert clips.offset(pathlib.Path("x"), CLIP, np.array(numbers)) == expected


def test_the_numbering_is_found_near_the_start_of_a_recording():
    clip = CLIP._replace(first=5, last=104)
    assert clips.offset(pathlib.Path("x"), clip, np.arange(1, 101)) == 4
    assert clips.offset(pathlib.Path("x"), clip, np.arange(5, 105)) == 0
    with pytest.raises(InputError, match="x: frames 500 to 599 match neither 5 to 104"):
        clips.offset(pathlib.Path("x"), clip, np.arange(500, 600))


TABLE = "frame_idx,rater_1,value\n1,0,0.25\n2,0,0.5\n5,0,1\n"


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        TABLE.replace("\n", "\r\n"),
        "\ufeff" + TABLE,
        TABLE.replace("frame_idx", '"Frame"').replace(",", " , "),
        TABLE.replace("2,0", "2.0,0") + "\n\n",
        TABLE.replace(",", ";").replace("0.25", "0,25"),
    ],
)
def test_line_ends_marks_and_blanks_read_the_same(tmp_path, text):
    number, values = read_column(write_text(tmp_path / "a.csv", text), "valence")
    assert number.tolist() == [1, 2, 5]
    assert values.tolist() == [0.25, 0.5, 1]


TOP = "frame,value\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (TOP, "contains no rows below its header"),
        ("1,0.5\n2,0.5\n", "line 1: the header is '1,0.5'; expected frame"),
        ("frame\n1\n", "line 1: the header is 'frame'; expected frame"),
        (TOP + "1,.5\n3,.5\n3,.6\n", "line 4: frame 3 repeats frame 3; sort"),
        (TOP + "1,.5\n3,.5\n2,.6\n", "line 4: frame 2 comes after frame 3"),
        (TOP + "1,.5\n1.5,.5\n", "line 3: frame '1.5' is not a whole number"),
        (TOP + "-1,.5\n", "line 2: frame '-1' is not a whole number"),
        (TOP + "1,0,5\n", "line 2: has 3 cells"),
        (TOP + "1,.5\n2,1.25\n", r"line 3: arousal 1.25 is outside \[0, 1\]"),
        (TOP + "1,-.5\n", r"line 2: arousal -0.5 is outside \[0, 1\]"),
        (TOP + "1,high\n", "line 2: arousal 'high' is not a number"),
    ],
)
def test_bad_label_files_are_refused_with_file_and_line(tmp_path, text, message):
    path = write_text(tmp_path / "a.csv", text)
    with pytest.raises(InputError, match=message) as caught:
        read_column(path, "arousal")
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_binary_label_file_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_column(tmp_path / "a.csv", "valence")


@settings(max_examples=50)
@given(st.text() | st.text(st.sampled_from("0123456789.,-en \n\ufeff")))
def test_any_text_gives_labels_in_range_or_a_one_line_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any_sewa.csv"
    path.write_bytes((TOP + text).encode(errors="surrogatepass"))
    labels = labels_or_one_line(lambda: read_labels({"valence": path}, CLIP), path)
    assert labels is None or (np.diff(labels.number) > 0).all()


ROWS = st.dictionaries(st.integers(1, 20), st.floats(0, 1), min_size=1)


@settings(max_examples=50)
@given(ROWS, ROWS)
def test_written_labels_are_read_back_and_joined(tmp_path_factory, first, second):
    paths = {}
    for dim, rows in zip(DIMS, (first, second), strict=True):
        text = TOP + "".join(f"{number},{rows[number]}\n" for number in sorted(rows))
        paths[dim] = write_text(tmp_path_factory.getbasetemp() / f"{dim}.csv", text)
    labels = read_labels(paths, CLIP)
    assert labels.number.tolist() == [4802 + number for number in sorted(first | second)]
    for column, rows in enumerate((first, second)):
        expected = [2 * rows.get(number - 4802, np.nan) - 1 for number in labels.number]
        np.testing.assert_allclose(labels.values[:, column], expected, atol=1e-12)


@settings(max_examples=50)
@given(st.text() | st.text(st.sampled_from("0123456789.,-e \n")))
def test_any_text_is_points_or_one_line(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any_points.txt"
    path.write_bytes(("1 2 3\n4\n" + text).encode(errors="surrogatepass"))
    try:
        points = read_points(path)
    except InputError as error:
        message = str(error)
    else:
        assert points.shape == (49, 2)
        return
    assert message.startswith(str(path))
    assert "\n" not in message


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1e4), min_size=98, max_size=98), st.sets(st.integers(0, 48)))
def test_points_that_are_written_are_read(tmp_path_factory, values, missing):
    points = np.array(values).reshape(49, 2)
    points[list(missing), 1] = -1
    text = " ".join(map(str, points.ravel().tolist()))
    path = write_text(tmp_path_factory.getbasetemp() / "1.txt", f"-1 -1 -1\n\n{text}\n")
    points[list(missing)] = np.nan
    np.testing.assert_array_equal(read_points(path), points)


def test_landmark_files_of_one_frame_are_refused(tmp_path):
    write_text(tmp_path / "1.txt", "x")
    write_text(tmp_path / "001.txt", "x")
    with pytest.raises(
        InputError, match=r"1\.txt: has the same frame number as 001\.txt; remove one of the two"
    ):
        landmarks_of(tmp_path, CLIP)
