"""VEATIC: labels by frame, the target among several faces, paired ids, and both protocols."""

import re
import shutil

import numpy as np
import pytest
import simplejpeg

from configs import veatic
from tests.tfds_builders.layouts import build, build_set, report_of, write_text
from tests.tfds_builders.squares import CYCLE, SquareDetector, colour_of, frame_of, write_squares
from tfds_builders import crops
from tfds_builders.build import BuildOptions
from tfds_builders.build import build as build_command
from tfds_builders.inspect_tree import inspect_tree
from tfds_builders.veatic.veatic_dataset_builder import VeaticConfig
from va_jax.types import InputError

LEFT, RIGHT = (50, 48), (140, 48)


@pytest.fixture(autouse=True)
def _squares_are_faces(monkeypatch):
    detector = SquareDetector()
    monkeypatch.setattr(crops, "detector", lambda min_face: detector)


def values(number, frames):
    """Return labels that differ in every frame and video: valence, arousal."""
    n = np.arange(frames)
    return np.stack([n / 200 + number / 1000, -n / 100 - number / 1000], 1)


def add_labels(root, number, frames):
    for column, dim in enumerate(("valence", "arousal")):
        rows = "".join(f"{n},{v[column]:.6f}\n" for n, v in enumerate(values(number, frames)))
        write_text(root / "rating_averaged" / f"{number}_{dim}.csv", rows)


def add(root, number, frames=20, faces=lambda n: {"red": LEFT}, **options):
    """Write a video and its labels."""
    write_squares(root / "video" / f"{number}.mp4", frames, faces, **options)
    add_labels(root, number, frames)


def built(tmp_path, *options):
    return build_set(tmp_path, "veatic", *options)


def seen(track):
    """Return (colour, frame number) of each crop that shows a face, None for the others."""
    images = [simplejpeg.decode_jpeg(each) for each in track["frames"]]
    return [
        (colour_of(image), frame_of(image)) if face else None
        for image, face in zip(images, track["face"], strict=True)
    ]


def shows(colour, *frames):
    return [(colour, n % CYCLE) for n in range(*frames)]


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


def pairs(root, count=1):
    """Write ids 98 to 98 + 2 * count - 1, of which the nth and the nth from the end are pairs."""
    numbers = list(range(98, 98 + 2 * count))
    for low, high in zip(numbers[:count], numbers[: count - 1 : -1], strict=True):
        shift = 4 * (low - 98)
        add(root, low, 20 + low % 7, lambda n, x=shift: {"red": (50 + x, 48), "blue": RIGHT})
        add_labels(root, high, 20 + low % 7)
        shutil.copy(root / "video" / f"{low}.mp4", root / "video" / f"{high}.mp4")


def test_paired_ids_are_left_out_until_both_targets_are_named(tmp_path):
    root = tmp_path / "in"
    pairs(root)
    add(root, 3)
    facts, tracks = built(tmp_path)
    assert set(tracks) == {"3"}
    assert facts["pairs"] == [[98, 99]]
    assert "target.csv: names no target for id 98 and 99" in facts["refused"]["98"]
    write_text(root / "target.csv", "id,time_s,x,y\n99,0,140,48\n")
    facts, tracks = built(tmp_path)
    assert set(tracks) == {"3"}
    assert "names no target for id 98;" in facts["refused"]["99"]
    write_text(root / "target.csv", "id,time_s,x,y\n99,0,140,48\n98,0.2,50,48\n")
    facts, tracks = built(tmp_path)
    assert [colour for colour, _ in seen(tracks["98"][1])] == ["red"] * 20
    assert [colour for colour, _ in seen(tracks["99"][1])] == ["blue"] * 20
    assert tracks["98"][0]["video_id"] == tracks["99"][0]["video_id"] == "98"
    np.testing.assert_allclose(tracks["99"][1]["target"], values(99, 20), atol=1e-6)
    assert facts["refused"] == {}


@pytest.mark.parametrize("seed", range(2))
def test_paired_ids_stay_in_one_split(tmp_path, seed):
    root = tmp_path / "in"
    pairs(root, 4)
    rows = [f"{low},0,{50 + 4 * (low - 98)},48\n" for low in range(98, 102)]
    rows += [f"{high},0,140,48\n" for high in range(102, 106)]
    write_text(root / "target.csv", "id,time_s,x,y\n" + "".join(rows))
    facts, tracks = built(tmp_path, f"seed={seed}", "size=32")
    assert facts["pairs"] == [[98, 105], [99, 104], [100, 103], [101, 102]]
    splits = {int(name): row["split"] for name, (row, _) in tracks.items()}
    assert all(splits[low] == splits[203 - low] for low in range(98, 102))
    assert len(set(splits.values())) == 3


def test_a_paired_id_whose_partner_is_not_known_is_reported_and_needs_its_own_name(tmp_path):
    root = tmp_path / "in"
    for number, frames in ((3, 20), (100, 21), (110, 22), (111, 23)):
        add(root, number, frames)
    rows = "id,time_s,x,y\n100,0,50,48\n110,0,50,48\n"
    write_text(root / "target.csv", rows)
    facts, tracks = built(tmp_path)
    assert set(facts["refused"]) == {"111"}
    assert any(each.startswith("ids 100, 110, 111: ") for each in facts["warnings"])
    assert len({tracks[name][0]["split"] for name in ("100", "110")}) == 1


def test_the_official_protocol_divides_every_video_and_leaves_gaps(tmp_path):
    root = tmp_path / "in"
    add(root, 5, 60, lambda n: {"red": LEFT, "blue": RIGHT} if n < 20 else {"blue": RIGHT})
    add(root, 6, 40)
    options = ("protocol=veatic_official", "gap_frames=4", "dev_share=0.25")
    facts, tracks = built(tmp_path, *options)
    whole = {"train": range(0, 26), "dev": range(30, 38), "test": range(42, 60)}
    for split, frames in whole.items():
        row, track = tracks[f"5_{split}"]
        assert (row["split"], row["video_id"], row["subject_id"]) == (split, "5", "5")
        assert seen(track) == shows("blue", frames[0], frames[-1] + 1)
        np.testing.assert_allclose(track["target"], values(5, 60)[frames], atol=1e-6)
        np.testing.assert_allclose(track["time_s"], np.array(frames) / 25, atol=1e-5)
        assert row["fps"] == 25
    assert facts["splits"] == {
        "drawn": False,
        "protocol": "veatic_official",
        "gap_frames": 4,
        "dev_share": 0.25,
    }
    assert any("every subject" in each for each in facts["warnings"])
    assert facts["visible"]["5"] == {"main_face": 1, "face": 1}
    assert "rows_unused" not in report_of(tmp_path)["5_dev"]


def test_both_protocols_store_the_same_frames(tmp_path):
    root = tmp_path / "in"
    add(root, 5, 60, lambda n: {"red": LEFT, "blue": (RIGHT[0] - n // 2, 48)} if n > 9 else {})
    _, whole = built(tmp_path)
    _, parts = built(tmp_path, "protocol=veatic_official", "gap_frames=5", "dev_share=0")
    assert set(parts) == {"5_train", "5_test"}
    for name, frames in (("5_train", slice(0, 37)), ("5_test", slice(42, 60))):
        for key in ("frames", "target", "face", "time_s", "landmarks"):
            np.testing.assert_array_equal(parts[name][1][key], whole["5"][1][key][frames])


def test_a_video_too_short_for_the_gaps_is_left_out(tmp_path):
    add(tmp_path / "in", 5, 60)
    add(tmp_path / "in", 6, 20)
    facts, tracks = built(tmp_path, "protocol=veatic_official", "gap_frames=10")
    assert set(tracks) == {"5_train", "5_dev", "5_test"}
    assert "video/6.mp4: has 20 frames, too few for gap_frames=10" in facts["refused"]["6"]


def test_the_default_gap_is_as_long_as_a_window():
    for variant in veatic.VARIANTS:
        window = veatic.get_config(variant).window
        assert window.length * window.stride <= VeaticConfig(name="a").gap_frames


def inspected(tmp_path, *options):
    return inspect_tree("veatic", tmp_path / "in", tmp_path / "data", options)


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


def test_rows_beyond_the_video_are_counted_in_the_last_part(tmp_path):
    root = tmp_path / "in"
    add(root, 5, 30)
    add_labels(root, 5, 33)
    for options in ((), ("protocol=veatic_official", "gap_frames=1")):
        _, tracks = built(tmp_path, *options)
        report = report_of(tmp_path)
        assert report["5_test" if options else "5"]["rows_unused"] == "3"
        assert sum(row["frames"] for row, _ in tracks.values()) == (28 if options else 30)


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
    ],
)
def test_illegal_options_are_refused_by_name_and_value(tmp_path, option):
    add(tmp_path / "in", 1, 2)
    with pytest.raises(InputError, match=option.replace("=", "='?")):
        build("veatic", tmp_path / "data", tmp_path / "in", [option])


def test_folds_do_not_fit_the_official_protocol(tmp_path):
    with pytest.raises(InputError, match="folds=5: protocol=veatic_official"):
        build("veatic/112_official", tmp_path, tmp_path, ["folds=5"])


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
