"""VEATIC's label files, target.csv, and the parts of a video in the official protocol."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tfds_builders.layouts import labels_or_one_line, write_text
from tfds_builders.material import TargetPoint
from tfds_builders.veatic.labels import cut_labels, read_labels
from tfds_builders.veatic.protocols import parts_of
from tfds_builders.veatic.target_file import read_targets
from va_jax.types import DIMS, InputError


def read(folder, valence, arousal, dims=DIMS):
    files = {"valence": folder / "1_valence.csv", "arousal": folder / "1_arousal.csv"}
    for path, text in zip(files.values(), (valence, arousal), strict=True):
        write_text(path, text)
    return read_labels(files, dims)


@pytest.mark.parametrize(
    "text",
    [
        "0.25\n-1\n1\n",
        "0,0.25\n1,-1\n2,1\n",
        "7,0.25\n7,-1\n7,1\n\n\n",
        "\ufeff0,0.25\r\n1,-1\r\n2,1",
        '"0","0.25"\n"1","-1"\n"2","1"\n',
        "0;.25\n1;-1.0\n2;1e0\n",
        "0\t0.25\n1\t-1\n2\t1\n",
    ],
)
def test_the_second_column_counts_or_else_the_only_one(tmp_path, text):
    labels = read(tmp_path, text, "0\n0\n0\n")
    np.testing.assert_array_equal(labels.values, [[0.25, 0], [-1, 0], [1, 0]])
    np.testing.assert_array_equal(labels.number, [0, 1, 2])


def test_the_targets_are_in_the_order_of_the_options(tmp_path):
    labels = read(tmp_path, "0.1\n0.2\n", "0.3\n0.4\n", ("arousal", "valence"))
    np.testing.assert_array_equal(labels.values, [[0.3, 0.1], [0.4, 0.2]])
    assert read(tmp_path, "0.1\n0.2\n", "x\n", ("valence",)).values.tolist() == [[0.1], [0.2]]


def test_an_unlabelled_row_keeps_the_others_in_place(tmp_path):
    labels = read(tmp_path, "0,nan\n1,\n2,0.5\n", "0.1\nNaN\n0.2\n")
    np.testing.assert_array_equal(labels.values, [[np.nan, 0.1], [np.nan, np.nan], [0.5, 0.2]])


def test_a_slightly_shorter_file_leaves_the_last_frames_unlabelled(tmp_path):
    labels = read(tmp_path, "0.5\n" * 400, "0.5\n" * 396)
    assert np.isfinite(labels.values).sum(0).tolist() == [400, 396]
    assert np.isnan(labels.values[396:, 1]).all()


@pytest.mark.parametrize(
    ("valence", "arousal", "message"),
    [
        ("", "0\n", "1_valence.csv: the file is empty"),
        ("frame,valence\n0,0.1\n", "0\n", "1_valence.csv: line 1: valence 'valence' is not a num"),
        ("0\n", "0.1\nhigh\n", "1_arousal.csv: line 2: arousal 'high' is not a number"),
        ("0,0,0.1\n", "0\n", "1_valence.csv: line 1: has 3 columns"),
        ("0,0.1\n0.2\n", "0\n0\n", "1_valence.csv: line 2: has 1 cell"),
        ("0.1\n\n0.2\n", "0\n0\n", "1_valence.csv: line 2: is blank"),
        ("\n0.1\n", "0\n", "1_valence.csv: line 1: is blank"),
        ("0\n1.01\n", "0\n0\n", r"1_valence.csv: line 2: valence 1.01 is outside \[-1, 1\]"),
        ("0\n0\n", "0,0\n1,-2\n", r"1_arousal.csv: line 2: arousal -2 is outside \[-1, 1\]"),
        ("0\n" * 9, "0\n" * 6, "1_arousal.csv: has 6 rows, but 1_valence.csv has 9"),
        ("0\n" * 900, "0\n" * 910, "1_valence.csv: has 900 rows, but 1_arousal.csv has 910"),
    ],
)
def test_bad_label_files_are_refused_with_file_and_line(tmp_path, valence, arousal, message):
    with pytest.raises(InputError, match=message) as refusal:
        read(tmp_path, valence, arousal)
    assert "\n" not in str(refusal.value)


@given(st.text(st.sampled_from("01,.;-en \n\t\"'x")))
def test_any_text_gives_labels_in_range_or_a_one_line_error(tmp_path_factory, text):
    path = write_text(tmp_path_factory.getbasetemp() / "any_veatic.csv", text)
    labels_or_one_line(lambda: read_labels({"valence": path}, ["valence"]), path)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=20), st.booleans())
def test_written_labels_are_read_back(tmp_path_factory, values, two_columns):
    rows = (f"{n},{value}\n" if two_columns else f"{value}\n" for n, value in enumerate(values))
    path = write_text(tmp_path_factory.getbasetemp() / "written_veatic.csv", "".join(rows))
    labels = read_labels({"valence": path}, ["valence"])
    np.testing.assert_array_equal(labels.values[:, 0], values)


def test_a_part_without_rows_is_refused_with_the_numbers(tmp_path):
    labels = read(tmp_path, "0\n" * 10, "0\n" * 10)
    path = tmp_path / "1_valence.csv"
    assert cut_labels(labels, (4, 7), 12, path).number.tolist() == [4, 5, 6, 7]
    assert cut_labels(labels, (8, 11), 12, path).number.tolist() == [8, 9]
    with pytest.raises(InputError, match=r"1_valence.csv: has 10 rows, none of them for frames 20"):
        cut_labels(labels, (20, 29), 30, path)


@given(st.integers(1, 5000), st.integers(0, 300), st.floats(0, 0.5))
def test_parts_share_no_frame_and_the_test_part_is_the_last_30_percent(frames, gap, dev_share):
    try:
        parts = parts_of(frames, gap, dev_share)
    except InputError:
        assert frames * 0.7 - (2 if dev_share else 1) * gap < 3
        return
    splits = [part.split for part in parts]
    assert splits == (["train", "dev", "test"] if dev_share else ["train", "test"])
    assert (parts[0].first, parts[-1].last) == (0, frames - 1)
    assert parts[-1].first == int(np.floor(round(0.7 * frames, 6)))
    assert all(part.first <= part.last for part in parts)
    gaps = [after.first - before.last - 1 for before, after in itertools.pairwise(parts)]
    assert gaps == [gap] * (len(parts) - 1)


def test_target_csv_is_read_by_column_and_sorted_by_time(tmp_path):
    text = "time_s;X;y;ID;who\n3.5;7;8;12;Ann\n\n1;2,5;3;12;\n0;;;4;away\n"
    rows = read_targets(write_text(tmp_path / "target.csv", text), {4, 12})
    assert {number: [row.point for row in each] for number, each in rows.items()} == {
        12: [TargetPoint(1.0, 2.5, 3.0), TargetPoint(3.5, 7.0, 8.0)],
        4: [TargetPoint(0.0, None, None)],
    }
    assert [row.line for row in rows[12]] == [4, 2]
    assert read_targets(tmp_path / "none.csv", {4}) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("12,0,5,5\n", "line 1: no column is named 'id'"),
        ("id,time,x,y\n12,0,5,5\n", "line 1: no column is named 'time_s'"),
        ("id,time_s,x,y\n13,0,5,5\n", "line 2: id '13' has no video"),
        ("id,time_s,x,y\n12.mp4,0,5,5\n", "line 2: id '12.mp4' has no video"),
        ("id,time_s,x,y\n012,0,5,5\n", "line 2: id '012' has no video"),
        ("id,time_s,x,y\n12,,5,5\n", "line 2: time_s '' is not a number"),
        ("id,time_s,x,y\n12,0:01,5,5\n", "line 2: time_s '0:01' is not a number"),
        ("id,time_s,x,y\n12,0,5,\n", "line 2: x '5' and y '' are not two numbers"),
        ("id,time_s,x,y\n12,0,left,5\n", "line 2: x 'left' and y '5' are not two"),
        ("id,time_s,x,y\n12,1,5,5\n12,1.0,6,6\n", "line 3: time_s 1 is already on line 2"),
        ("id,time_s,x,y\n12,1,5\n", "line 2: has 3 cells"),
    ],
)
def test_a_bad_target_csv_is_refused_with_its_line(tmp_path, text, message):
    path = write_text(tmp_path / "target.csv", text)
    with pytest.raises(InputError, match=message) as refusal:
        read_targets(path, {4, 12})
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)
