"""VEATIC: files, rows and options that are refused, and what remains of the set."""

import re

import pytest

from tests.tfds_builders.layouts import build, build_set, write_text
from tests.tfds_builders.veatic_tree import (
    LEFT,
    RIGHT,
    add,
    built,
    pairs,
)
from tfds_builders.inspect_tree import inspect_tree
from va_jax.types import InputError

pytestmark = pytest.mark.usefixtures("squares_are_faces")


def inspected(tmp_path, *options):
    return inspect_tree("veatic", tmp_path / "in", tmp_path / "data", options)


def test_files_by_other_names_and_missing_ones_are_left_out_by_name(tmp_path):
    root = tmp_path / "in"
    add(root, 1)
    add(root, 2)
    for name in ("video/03.mp4", "video/4.avi", "rating_averaged/1.csv", "rating_averaged/x.txt"):
        write_text(root / name, "x")
    write_text(root / "rating_averaged" / "5_Valence.csv", "0.1")
    write_text(root / "rating_averaged" / "9_valence.csv", "0.1")
    (root / "rating_averaged" / "2_arousal.csv").unlink()
    facts, tracks = build_set(tmp_path, "veatic", "dims=valence,arousal")
    assert set(tracks) == {"1"}
    refused = facts["refused"]
    for name, wanted in (
        ("video/03.mp4", "expected ID.mp4"),
        ("video/4.avi", "expected ID.mp4"),
        ("rating_averaged/1.csv", "expected ID_valence.csv or ID_arousal.csv"),
        ("rating_averaged/x.txt", "expected ID_valence.csv"),
        ("rating_averaged/5_Valence.csv", "expected ID_valence.csv"),
    ):
        assert refused[name].startswith(f"{root / name}: {wanted}")
    assert "2_arousal.csv: cannot be found" in refused["2"]
    assert "video/9.mp4" in refused["9"]
    assert "9_arousal.csv" in refused["9"]
    assert len(refused) == 7
    _, tracks = built(tmp_path, "dims=valence")
    assert set(tracks) == {"1", "2"}


def test_a_strange_file_changes_no_split(tmp_path):
    root = tmp_path / "in"
    for number in range(6):
        add(root, number, 2)
    before = {name: row["split"] for name, (row, _) in built(tmp_path)[1].items()}
    for number in range(6):
        write_text(root / "rating_averaged" / f"{number}.csv", "0")
    assert {name: row["split"] for name, (row, _) in built(tmp_path)[1].items()} == before


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,0,192,48", r"target.csv: line 2: x 192 is outside the 192x96 pixels of 1.mp4"),
        ("1,0,50,-1", r"target.csv: line 2: y -1 is outside"),
        ("1,9,50,48", r"target.csv: line 2: time_s 9 is outside 1.mp4, which ends at 0.80 s"),
        ("1,0.1,,", r"target.csv: line 2: no row with the id of 1.mp4 has a point"),
        ("1,0.4,90,10", r"1.mp4: no face is tracked at x=90, y=10 at 0.4 s .*x=50, y=48"),
        ("1,0.6,50,48", r"1.mp4: no face is tracked at x=50, y=48 at 0.6 s .*none is there"),
    ],
)
def test_a_row_that_names_no_face_leaves_its_video_out(tmp_path, rows, message):
    root = tmp_path / "in"
    add(root, 1, 20, lambda n: {"red": LEFT} if n < 14 else {})
    add(root, 2, 5)
    write_text(root / "target.csv", f"id,time_s,x,y\n{rows}\n")
    facts, tracks = built(tmp_path)
    assert set(tracks) == {"2"}
    assert re.search(message, facts["refused"]["1"])
    assert "\n" not in facts["refused"]["1"]


def test_the_same_point_for_both_ids_of_a_pair_is_refused(tmp_path):
    root = tmp_path / "in"
    pairs(root)
    add(root, 1, 2)
    write_text(root / "target.csv", "id,time_s,x,y\n98,0,50,48\n99,0,50,48\n")
    facts, _ = built(tmp_path)
    assert (
        "target.csv: line 3: id 99 has the same point as id 98 on line 2" in facts["refused"]["99"]
    )
    assert "id 98 has the same point as id 99" in facts["refused"]["98"]


@pytest.mark.parametrize(
    "option",
    [
        "protocol=official",
        "gap_frames=-1",
        "dev_share=0.6",
        "dims=joy",
        "pairs=98",
        "pairs=97:98",
        "pairs=98:98",
        "pairs=98:99,100:99",
    ],
)
def test_illegal_options_are_refused_by_name_and_value(tmp_path, option):
    add(tmp_path / "in", 1, 2)
    with pytest.raises(InputError, match=option.replace("=", "='?")):
        build("veatic", tmp_path / "data", tmp_path / "in", [option])


def test_a_changed_row_of_target_csv_is_noticed_and_concerns_only_its_id(tmp_path):
    root = tmp_path / "in"
    add(root, 1, 5, lambda n: {"red": LEFT, "blue": RIGHT})
    add(root, 2, 5)
    build("veatic", tmp_path / "data", root)
    write_text(root / "target.csv", "id,time_s,x,y\n1,0,140,48\n")
    with pytest.raises(InputError, match=r"recording '1' has changed; choose"):
        build("veatic", tmp_path / "data", root)


def test_labels_out_of_range_are_reported_with_file_and_line(tmp_path):
    root = tmp_path / "in"
    add(root, 1, 5)
    add(root, 2, 5)
    write_text(root / "rating_averaged" / "2_arousal.csv", "0,0.1\n1,1.5\n2,0\n3,0\n4,0\n")
    report = inspected(tmp_path)
    assert report.facts["label_range"]["valence"] == pytest.approx([0.001, 0.021])
    (found,) = (each for each in report.findings if each.check == "unreadable")
    assert "2_arousal.csv: line 2: arousal 1.5 is outside [-1, 1]" in found.problem
