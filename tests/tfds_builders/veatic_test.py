"""VEATIC: labels by frame, and the target among several faces."""

import numpy as np
import pytest

from tests.tfds_builders.layouts import build, report_of, write_text
from tests.tfds_builders.veatic_tree import LEFT, RIGHT, add, built, pairs, seen, shows, values
from tfds_builders.build import BuildOptions
from tfds_builders.build import build as build_command
from tfds_builders.inspect_tree import inspect_tree
from va_jax.types import InputError

pytestmark = pytest.mark.usefixtures("squares_are_faces")


def inspected(tmp_path, *options):
    return inspect_tree("veatic", tmp_path / "in", tmp_path / "data", options)


def test_row_n_belongs_to_frame_n_and_splits_are_drawn_by_video(tmp_path):
    root = tmp_path / "in"
    for number in (0, 2, 10, 11):
        add(root, number, 40)
    write_text(root / "video" / "._0.mp4", "x")
    facts, tracks = built(tmp_path)
    assert set(tracks) == {"0", "2", "10", "11"}
    for name, (row, track) in tracks.items():
        np.testing.assert_allclose(track["target"], values(int(name), 40), atol=1e-6)
        assert seen(track) == shows("red", 40)
        assert (row["video_id"], row["subject_id"]) == (name, name)
        np.testing.assert_allclose(track["time_s"], np.arange(40) / 25, atol=1e-6)
    assert {row["split"] for row, _ in tracks.values()} == {"train", "dev", "test"}
    assert facts["splits"]["drawn"]
    assert facts["splits"]["protocol"] == "video"
    assert facts["labels"] == {
        "source": "mean of the raters",
        "range": [-1, 1],
        "join": "frame number",
    }
    assert facts["warnings"] == []
    assert facts["visible"]["10"] == {"main_face": 1, "face": 1}
    assert report_of(tmp_path)["2"]["main_face"] == "40"


def test_the_parent_folder_works_too_and_an_archive_must_be_unpacked(tmp_path):
    add(tmp_path / "in" / "VEATIC", 3)
    write_text(tmp_path / "in" / "__MACOSX" / "VEATIC" / "video" / "x", "x")
    write_text(tmp_path / "in" / "VEATIC" / "target.csv", "id,time_s,x,y\n3,0,50,48\n")
    _, tracks = built(tmp_path)
    assert set(tracks) == {"3"}
    write_text(tmp_path / "in" / "target.csv", "id,time_s,x,y\n3,0,50,48\n")
    with pytest.raises(InputError, match=r"in/target.csv: .*VEATIC/target.csv also exists"):
        build("veatic", tmp_path / "other", tmp_path / "in")
    write_text(tmp_path / "zipped" / "VEATIC.zip", "x")
    with pytest.raises(InputError, match=r"VEATIC.zip: is not unpacked"):
        build("veatic", tmp_path / "other", tmp_path / "zipped")
    write_text(tmp_path / "none" / "readme.txt", "x")
    with pytest.raises(InputError, match=r"none: contains no folder video"):
        build("veatic", tmp_path / "other", tmp_path / "none")


def test_the_face_seen_longest_and_largest_is_the_target(tmp_path):
    root = tmp_path / "in"
    add(root, 1, 40, lambda n: {"red": LEFT, "blue": RIGHT} if n < 30 else {"blue": RIGHT})
    _, tracks = built(tmp_path)
    assert seen(tracks["1"][1]) == shows("blue", 40)


def test_a_bystander_never_replaces_a_hidden_target(tmp_path, capsys):
    """Red is seen longest; blue shares frames with it, and stays after red has left."""
    root = tmp_path / "in"
    spans = {"red": (0, 28), "blue": (10, 36)}
    places = {"red": LEFT, "blue": RIGHT}
    add(root, 7, 60, lambda n: {c: places[c] for c, (a, b) in spans.items() if a <= n < b})
    add(root, 8, 60)
    assert build_command(BuildOptions("veatic", tmp_path / "data", root)) == 0
    printed = capsys.readouterr()
    assert "7: 47% (47%)" in printed.err
    assert "8:" not in printed.err
    facts, tracks = built(tmp_path)
    assert seen(tracks["7"][1]) == shows("red", 28) + [None] * 32
    np.testing.assert_allclose(tracks["7"][1]["target"], values(7, 60), atol=1e-6)
    assert any("7: 47%" in each for each in facts["warnings"])
    assert facts["visible"]["7"]["main_face"] == pytest.approx(28 / 60)


def test_another_face_after_a_cut_replaces_the_target_but_is_reported(tmp_path):
    root = tmp_path / "in"
    shots = [(0, 24, "red"), (24, 40, "blue"), (40, 60, "pink")]
    add(
        root,
        4,
        60,
        lambda n: next({c: LEFT} for first, last, c in shots if first <= n < last),
        grey=lambda n: 10 if 24 <= n < 40 else 120,
    )
    facts, tracks = built(tmp_path)
    expected = [each for first, last, c in shots for each in shows(c, first, last)]
    assert seen(tracks["4"][1]) == expected
    assert any("4: 40% (100%)" in each for each in facts["warnings"])


def test_target_csv_names_the_target_and_lets_it_switch_and_hide(tmp_path):
    root = tmp_path / "in"
    both = {"red": LEFT, "blue": RIGHT}
    add(root, 5, 60, lambda n: both)
    rows = "y;note;x;id;time_s\n48;then red;50;5;1.6\n50;first blue;138;5;0.4\n;hidden;;5;2.0\n\n"
    write_text(root / "target.csv", rows)
    _, tracks = built(tmp_path)
    track = tracks["5"][1]
    assert seen(track) == shows("blue", 40) + shows("red", 40, 50) + [None] * 10
    np.testing.assert_allclose(track["target"], values(5, 60), atol=1e-6)


def test_a_name_holds_in_its_shot_only(tmp_path):
    root = tmp_path / "in"
    both = {"red": LEFT, "blue": RIGHT}
    add(root, 5, 60, lambda n: both, grey=lambda n: 10 if 20 <= n < 40 else 120)
    write_text(root / "target.csv", "id,time_s,x,y\n5,0,140,48\n5,2,140,48\n")
    facts, tracks = built(tmp_path)
    assert seen(tracks["5"][1]) == shows("blue", 20) + [None] * 20 + shows("blue", 40, 60)
    assert facts["visible"]["5"]["main_face"] == pytest.approx(40 / 60)


def test_points_are_pixels_of_the_video_even_if_it_is_shrunk(tmp_path):
    root = tmp_path / "in"
    add(root, 5, 20, lambda n: {"red": LEFT, "blue": RIGHT})
    write_text(root / "target.csv", "id,time_s,x,y\n5,0,140,48\n")
    _, tracks = built(tmp_path, "max_side=128")
    assert [colour for colour, _ in seen(tracks["5"][1])] == ["blue"] * 20


def test_inspect_reports_ranges_faces_pairs_and_shared_subjects(tmp_path):
    root = tmp_path / "in"
    pairs(root)
    add(root, 3, 40)
    add(root, 4, 41, lambda n: {"red": LEFT, "blue": RIGHT})
    add(root, 5, 42, lambda n: {})
    report = inspected(tmp_path)
    assert report.facts["label_range"]["arousal"] == pytest.approx([-0.415, -0.003])
    found = {
        (each.check, each.problem.partition(":")[0].rpartition("/")[2]) for each in report.findings
    }
    assert ("several faces", "4.mp4") in found
    assert ("few faces", "5.mp4") in found
    assert ("unreadable", "target.csv") in found
    assert "same pictures" not in {check for check, _ in found}
    official = inspected(tmp_path, "protocol=veatic_official", "gap_frames=2")
    assert {each.check for each in official.findings} == {each.check for each in report.findings}
    assert any("veatic_official" in each for each in official.facts["warnings"])
    assert official.facts["splits"]["test"]["frames"] == 12 + 13 + 13
    assert len([each for each in official.findings if each.check == "several faces"]) == 1
