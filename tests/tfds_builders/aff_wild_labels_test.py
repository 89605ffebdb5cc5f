"""The text files of Aff-Wild: labels, subjects, refusals, and the join of rows and frames."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfds_builders.layouts import labels_or_one_line, write_text
from tfds_builders.aff_wild.labels import join, read_labels, read_trace
from tfds_builders.aff_wild.subjects import read_subjects
from tfds_builders.labels import NumberedLabels
from va_jax.types import DIMS, InputError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n0.1\n", "line 1 is blank"),
        ("0.1\n\n0.2\n", "line 2 is blank"),
        ("valence\n0.1\n", "line 1: valence 'valence' is not a number"),
        ("0.1\nnan\n", "line 2: valence 'nan' is not a number"),
        ("0.1,0.2\n", "line 1: valence '0.1,0.2' is not a number"),
        ("0\n0\n1.5\n", r"line 3: valence 1\.5 is outside \[-1, 1\]; correct the file"),
    ],
)
def test_bad_label_files_are_refused_with_file_and_line(tmp_path, text, message):
    path = write_text(tmp_path / "9.txt", text)
    with pytest.raises(InputError, match=message) as caught:
        read_trace(path, "valence")
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@given(st.text() | st.text(st.sampled_from("0123456789.,-e\n \ufeff")))
@settings(max_examples=50)
def test_any_text_gives_labels_in_range_or_a_one_line_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(text.encode(errors="surrogatepass"))

    def labels():
        values = read_trace(path, "valence")
        return NumberedLabels(np.arange(1, len(values) + 1), values[:, None])

    labels_or_one_line(labels, path)


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=30))
@settings(max_examples=50)
def test_written_labels_are_read_back(tmp_path_factory, values):
    root = tmp_path_factory.getbasetemp()
    columns = dict(zip(DIMS, zip(*values, strict=True), strict=True))
    files = {
        dim: write_text(root / f"{dim}.txt", "".join(f"{value}\n" for value in column))
        for dim, column in columns.items()
    }
    np.testing.assert_array_equal(read_labels(files, DIMS), values)
    np.testing.assert_array_equal(read_labels(files, DIMS[::-1]), np.array(values)[:, ::-1])


@given(st.integers(1, 40), st.integers(1, 40), st.sets(st.integers(1, 60)))
def test_rows_join_frames_or_boxes_or_are_refused(tmp_path_factory, rows, frames, boxes):
    video = tmp_path_factory.getbasetemp() / "7.mp4"
    values = np.zeros((rows, 2))
    if abs(rows - frames) > 1 and rows != len(boxes):
        counts = f"'7' has {rows} labels, but {frames} frames and {len(boxes)} files of boxes"
        with pytest.raises(InputError, match=counts):
            join(video, values, frames, boxes, "boxes")
        return
    numbers = join(video, values, frames, boxes, "boxes").number
    expected = range(1, rows + 1) if abs(rows - frames) <= 1 else sorted(boxes)
    assert numbers.tolist() == list(expected)


SPLIT_OF = {"1": "train", "2": "train", "3": "test"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("id,subject\n1,a\n", "line 1: no column is named 'video' \\(columns: id, subject"),
        ("video,subject\n1,a,b\n", "line 2: has 3 cells"),
        ("video,subject\n1,\n", "line 2: a cell is empty"),
        ("video,subject\n\n7,a\n", "line 3: video '7' does not exist"),
        ("video,subject\n1,a\n1.avi,b\n", "line 3: video '1' already appears on line 2"),
        ("video,subject\n1,a\n2,b\n", "no subject for video '3'; add a row"),
        ("video,subject\n1,a\n", "no subject for video '2' and 1 more; add a row"),
        (
            "video,subject\n1,a\n2,b\n3,a\n",
            r"line 4: subject 'a' is in test \(video '3'\), but in train on line 2 \(video '1'\)",
        ),
    ],
)
def test_bad_lists_of_subjects_are_refused_with_file_and_line(tmp_path, text, message):
    path = write_text(tmp_path / "subjects.csv", text)
    with pytest.raises(InputError, match=message) as caught:
        read_subjects(path, SPLIT_OF)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
