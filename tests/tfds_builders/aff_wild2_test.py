"""Aff-Wild2 in the layout of ABAW: joins by number, invalid rows, two people in a video."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tfds_builders.layouts import (
    build,
    build_set,
    labels_or_one_line,
    report_of,
    shown,
    write_crops,
    write_text,
    write_video,
)
from tfds_builders.aff_wild2.labels import read_labels
from va_jax.cli import command
from va_jax.types import DIMS, InputError

HEADER = "valence,arousal\n"


def rows(values):
    return HEADER + "".join(f"{v},{a}\n" for v, a in values)


def ramp(count):
    return [(round(0.01 * k, 3), round(-0.01 * k, 3)) for k in range(1, count + 1)]


@pytest.fixture
def tree(tmp_path):
    """Write four tracks of train, one of dev and two of test, each with a quirk."""
    root = tmp_path / "in"
    labels = root / "6th ABAW Annotations" / "VA_Estimation_Challenge"
    crops = root / "cropped_aligned"
    values = ramp(40)
    values[4], values[5] = (-5, -5), (0.3, -5)
    write_text(labels / "Train_Set" / "1-30-640x360.txt", rows(values).replace("\n", "\r\n"))
    files = write_crops(crops / "1-30-640x360", [*range(1, 8), *range(10, 39)])  # 39, 40 absent
    write_text(labels / "Train_Set" / "2_left.txt", "\ufeff" + rows(ramp(3)))
    write_text(labels / "Train_Set" / "2_right.txt", rows(ramp(3)))
    write_crops(crops / "2_left", [1, 2, 3, 4, 5])  # two more images than rows
    write_crops(crops / "2_right", [3])
    write_video(root / "batch1" / "2.mp4", 5, fps=15)
    write_text(labels / "Train_Set" / "3.txt", rows(ramp(2)) + "\n0.1,0.1\n")
    write_crops(crops / "3", [1])
    write_text(labels / "Validation_Set" / "4.txt", rows(ramp(2)))
    write_crops(crops / "4", [2, 1], size=128)
    test = root / "names_of_videos_in_each_test_set"
    write_text(test / "Valence_Arousal_Estimation_Challenge_test_set_release.txt", "5\n6\n")
    write_text(test / "Expression_Recognition_Challenge_test_set_release.txt", "7\n")
    write_crops(crops / "5", [2, 4])
    return files


def test_rows_and_images_join_by_number(tmp_path, tree):
    facts, tracks = build_set(tmp_path, "aff_wild2/112")
    row, track = tracks["1-30-640x360"]
    assert (row["split"], row["frames"], row["fps"]) == ("train", 40, 30)
    absent = {8, 9, 39, 40}
    assert [n for n in range(1, 41) if not track["face"][n - 1]] == sorted(absent)
    expected = np.array(ramp(40), np.float32)
    expected[[4, 5]] = np.nan
    np.testing.assert_array_equal(track["target"], expected)
    assert track["frames"][0] == tree[1]  # byte for byte
    assert [shown(track["frames"][n - 1]) for n in (7, 8, 9, 10, 40)] == [7, 7, 7, 10, 38]
    line = report_of(tmp_path)["1-30-640x360"]
    assert (line["rows"], line["rows_invalid"], line["no_image"]) == ("40", "2", "4")
    assert facts["counts"]["train"]["tally"]["no_image"] == 4 + 2
    assert facts["labels"] == {
        "source": "VA_Estimation_Challenge",
        "range": [-1, 1],
        "join": "frame number",
    }
    assert facts["crop"]["source"] == "cropped_aligned"
    assert facts["splits"] == {"drawn": False}


def test_two_people_in_a_video_are_two_tracks_of_one_video(tmp_path, tree):
    _, tracks = build_set(tmp_path, "aff_wild2/112")
    for side, faces in (("left", [1, 1, 1, 1, 1]), ("right", [0, 0, 1])):
        row, track = tracks[f"2_{side}"]
        assert (row["video_id"], row["subject_id"], row["fps"]) == ("2", "2", 15)
        assert track["face"].tolist() == [bool(face) for face in faces]
    left = tracks["2_left"][1]
    assert np.isfinite(left["target"]).all(1).tolist() == [True] * 3 + [False] * 2
    np.testing.assert_allclose(left["time_s"], np.arange(5) / 15, rtol=1e-6)


def test_frame_rates_come_from_a_list_or_the_video_and_an_assumed_one_is_warned_of(
    tmp_path, tree, capsys
):
    facts, tracks = build_set(tmp_path, "aff_wild2/112")
    assert {name: row["fps"] for name, (row, _) in tracks.items()} == {
        "1-30-640x360": 30, "2_left": 15, "2_right": 15, "4": 30, "5": 30,
    }  # fmt: skip
    (line,) = facts["warnings"]
    assert line.startswith(
        "a rate of 30 frames per second is assumed for 3 of 5 tracks, such as '1-"
    )
    write_text(tmp_path / "in" / "fps.csv", "video,fps\n4,25\n1-30-640x360.mp4,23.976\nother,9\n")
    facts, tracks = build_set(tmp_path, "aff_wild2/112")
    assert {name: row["fps"] for name, (row, _) in tracks.items()} == {
        "1-30-640x360": 23.976, "2_left": 15, "2_right": 15, "4": 25, "5": 30,
    }  # fmt: skip
    np.testing.assert_allclose(tracks["4"][1]["time_s"], [0, 0.04], atol=1e-6)
    (line,) = facts["warnings"]
    assert line.startswith(
        "a rate of 30 frames per second is assumed for 1 of 5 tracks, such as '5'"
    )
    flags = [str(tmp_path / "in"), "--json"]
    command.main(["inspect", "aff_wild2/112", *flags])
    assert (
        "assumed for 1 of 5 tracks, such as '5'"
        in json.loads(capsys.readouterr().out)["warnings"][0]
    )
    flags = ["--manual_dir", str(tmp_path / "in"), "--data_dir", str(tmp_path / "data")]
    assert command.main(["build", "aff_wild2/112", *flags]) == 3  # already built
    assert "warning: a rate of 30 frames per second is assumed for 1 of" in capsys.readouterr().err
    facts, tracks = build_set(tmp_path, "aff_wild2/112", "fps=10")
    assert {row["fps"] for row, _ in tracks.values()} == {10}
    assert facts["warnings"] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,fps\n4,0\n", "line 2: fps 0 must be above 0"),
        ("video,fps\n4,fast\n", "line 2: fps 'fast' is not a number"),
        ("video,fps\n4,25\n4.mp4,30\n", "line 3: video '4' already appears on line 2"),
        ("video,fps\n,25\n", "line 2: a cell is empty"),
        ("video,rate\n4,25\n", "no column is named 'fps'"),
    ],
)
def test_a_bad_list_of_frame_rates_is_refused(tmp_path, tree, text, message):
    path = write_text(tmp_path / "in" / "fps.csv", text)
    with pytest.raises(InputError, match=message) as caught:
        build("aff_wild2/112", tmp_path / "data", tmp_path / "in")
    assert str(caught.value).startswith(str(path))


def test_bad_recordings_are_left_out_with_a_reason_and_the_others_are_built(tmp_path, tree):
    facts, tracks = build_set(tmp_path, "aff_wild2/112")
    assert set(tracks) == {"1-30-640x360", "2_left", "2_right", "4", "5"}
    assert "line 4 is blank" in facts["refused"]["3"]
    assert "cropped_aligned/6: does not exist" in facts["refused"]["6"]
    lines = report_of(tmp_path)
    assert {track: line["status"] for track, line in lines.items() if line["reason"]} == {
        "3": "refused",
        "6": "refused",
    }
    with pytest.raises(InputError, match="line 4 is blank"):
        build("aff_wild2/112", tmp_path / "other", tmp_path / "in", strict=True)


def test_test_tracks_are_built_without_labels_and_crops_are_resized(tmp_path, tree):
    facts, tracks = build_set(tmp_path, "aff_wild2/96")
    row, track = tracks["5"]
    assert row["split"] == "test"
    assert track["face"].tolist() == [False, True, False, True]
    assert np.isnan(track["target"]).all()
    assert facts["counts"]["test"]["labelled"] == 0
    assert shown(tracks["4"][1]["frames"][1]) == 2


def test_crops_that_are_not_square_get_black_borders(tmp_path, tree):
    root = tmp_path / "in"
    write_crops(root / "cropped" / "4", [1], shape=(60, 30))
    facts, tracks = build_set(tmp_path, "aff_wild2/112_cropped")
    assert set(tracks) == {"4"}
    assert facts["crop"]["source"] == "cropped"
    assert shown(tracks["4"][1]["frames"][0]) in (0, 1, 2)
    assert len(facts["refused"]) == 6


def test_older_folder_names_are_known(tmp_path, tree):
    old = tmp_path / "in" / "annotations"
    (tmp_path / "in" / "6th ABAW Annotations").rename(old)
    (old / "VA_Estimation_Challenge").rename(old / "VA_Set")
    (old / "VA_Set" / "Train_Set").rename(old / "VA_Set" / "Training_Set")
    assert len(build_set(tmp_path, "aff_wild2/112")[1]) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("arousal\n0\n", "line 1: no column is named 'valence'"),
        (HEADER, "contains no rows"),
        (HEADER + "0.1\n", "line 2: has 1 cell, but"),
        (HEADER + "0.1,0.2\n0,1,0,2\n", "line 3: has 4 cells"),
        (HEADER + "0.1,nan\n", "line 2: arousal 'nan' is not a number"),
        (HEADER + "0.1,-3\n", "line 2: arousal -3 is outside"),
        (HEADER + "1.5,0\n", "line 2: valence 1.5 is outside"),
    ],
)
def test_bad_label_files_are_refused_with_file_and_line(tmp_path, text, message):
    path = write_text(tmp_path / "9.txt", text)
    with pytest.raises(InputError, match=message) as caught:
        read_labels(path, DIMS)
    assert "9.txt" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text() | st.text(st.sampled_from("0123456789.,-e\n \ufeff")))
def test_any_text_gives_labels_in_range_or_a_one_line_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes((HEADER + text).encode(errors="surrogatepass"))
    labels = labels_or_one_line(lambda: read_labels(path, DIMS), path)
    if labels is not None:
        assert labels.number.tolist() == list(range(1, len(labels.values) + 1))


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=30))
def test_written_labels_are_read_back(tmp_path_factory, values):
    path = write_text(tmp_path_factory.getbasetemp() / "written.txt", rows(values))
    np.testing.assert_array_equal(read_labels(path, DIMS).values, values)
    swapped = read_labels(path, ("arousal", "valence"))
    np.testing.assert_array_equal(swapped.values, np.array(values)[:, ::-1])
