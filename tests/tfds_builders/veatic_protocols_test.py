"""VEATIC: paired ids, the split by video, and the official protocol."""

import numpy as np
import pytest

from configs import veatic
from tests.tfds_builders.layouts import build, report_of, write_text
from tests.tfds_builders.squares import write_squares
from tests.tfds_builders.veatic_tree import (
    LEFT,
    RIGHT,
    add,
    add_labels,
    built,
    pairs,
    seen,
    shows,
    values,
)
from tfds_builders.veatic.pairs import find_pairs
from tfds_builders.veatic.veatic_dataset_builder import VeaticConfig
from va_jax.types import InputError

pytestmark = pytest.mark.usefixtures("squares_are_faces")


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
    rows = "id,time_s,x,y\n100,0,50,48\n110,0,52,48\n"
    write_text(root / "target.csv", rows)
    facts, tracks = built(tmp_path)
    assert set(facts["refused"]) == {"111"}
    assert any(each.startswith("ids 100, 110, 111: ") for each in facts["warnings"])
    assert len({tracks[name][0]["split"] for name in ("100", "110")}) == 1
    facts, tracks = built(tmp_path, "pairs=110:100")
    assert facts["pairs"] == [[100, 110]]
    assert tracks["110"][0]["video_id"] == "100"
    assert any(each.startswith("ids 111: ") for each in facts["warnings"])


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


def test_the_share_of_the_main_face_includes_parts_that_are_left_out(tmp_path):
    add(tmp_path / "in", 5, 50, lambda n: {"red": LEFT} if n < 20 else {})
    facts, tracks = built(tmp_path, "protocol=veatic_official", "gap_frames=0", "dev_share=0")
    assert set(tracks) == {"5_train"}
    assert "5_test" in facts["refused"]
    assert facts["visible"]["5"] == {"main_face": 0.4, "face": 0.4}
    assert any("5: 40% (40%)" in each for each in facts["warnings"])


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


def test_rows_beyond_the_video_are_counted_in_the_last_part(tmp_path):
    root = tmp_path / "in"
    add(root, 5, 30)
    add_labels(root, 5, 33)
    for options in ((), ("protocol=veatic_official", "gap_frames=1")):
        _, tracks = built(tmp_path, *options)
        report = report_of(tmp_path)
        assert report["5_test" if options else "5"]["rows_unused"] == "3"
        assert sum(row["frames"] for row, _ in tracks.values()) == (28 if options else 30)


def test_folds_do_not_fit_the_official_protocol(tmp_path):
    with pytest.raises(InputError, match="folds=5: protocol=veatic_official"):
        build("veatic/112_official", tmp_path, tmp_path, ["folds=5"])


def test_pairs_are_found_by_their_frames_if_their_files_differ(tmp_path):
    videos = {number: tmp_path / f"{number}.mp4" for number in (5, 98, 99, 100, 101)}
    write_squares(videos[98], 20, lambda n: {"red": LEFT, "pink": RIGHT})
    write_squares(videos[100], 20, lambda n: {"pink": LEFT, "blue": RIGHT})
    for source, copy in ((98, 101), (100, 99), (98, 5)):
        videos[copy].write_bytes(videos[source].read_bytes() + b"\0\0\0\x08free")
    found = find_pairs(videos, {})
    assert found.partner == {98: 101, 101: 98, 99: 100, 100: 99}
    assert found.alone == ()
    assert 5 not in found


def test_a_video_shown_by_three_ids_leaves_all_of_them_alone(tmp_path):
    videos = {number: tmp_path / f"{number}.mp4" for number in (98, 99, 100)}
    for path in videos.values():
        write_squares(path, 10, lambda n: {"red": LEFT})
    assert find_pairs(videos, {}).alone == (98, 99, 100)
    assert find_pairs(videos, {98: 100, 100: 98}).alone == (99,)
