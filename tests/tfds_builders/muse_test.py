"""MuSe packages: labels by time within segments, the official partition, unknown parts refused."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfds_builders.layouts import (
    build,
    build_set,
    labels_or_one_line,
    report_of,
    write_text,
    write_video,
)
from tfds_builders import inspect_tree
from tfds_builders.label_csv import Format
from tfds_builders.muse.labels import fuse, join, read_gold, read_raters
from tfds_builders.muse.layout import read_partition
from tfds_builders.muse.muse_dataset_builder import Builder
from tfds_builders.raters import fuse_raters
from tfds_builders.segments import SegmentedLabels
from va_jax.types import DIMS, InputError

UNSEEN = ("no_face=mask", "min_face=64")
"""Options under which no face is found in small pictures, and no detector is compiled."""

MS = Format(time_unit="ms")
SECONDS = Format(time_unit="s")
ROWS = [(250 * n, round(0.1 * n - 0.4, 1), 1 if n < 4 else 2) for n in range(9) if n != 4]
"""Time in ms, value, segment: 0 to 750 ms and, after a gap, 1250 to 2000 ms."""


def csv(rows=ROWS, header="timestamp,value,segment_id", sign=1):
    lines = (",".join(map(str, (t, sign * value, *more))) for t, value, *more in rows)
    return "\n".join([header, *lines]) + "\n"


def package(root, partition="Id,Proposal\n1,train\n2,devel\n3,test\n", task="c1_muse_wilder"):
    """Write three videos of 2.4 s with labels, of which the test video has none."""
    for name in ("1", "2", "3"):
        write_video(root / "raw_data" / "video" / f"{name}.mp4", 60, width=32, height=32)
    for dim, sign in (("valence", 1), ("arousal", -1)):
        for name in ("1", "2"):
            write_text(root / task / "label_segments" / dim / f"{name}.csv", csv(sign=sign))
    if partition:
        write_text(root / task / "metadata" / "partition.csv", partition)
    return root


def scan(root, **options):
    return {each.track_id: each for each in Builder(data_dir=root, options=options).scan(root)}


def expected(times):
    """Return the valence at these times in seconds, by hand."""
    result = np.full(len(times), np.nan)
    for first_s, last_s in ((0.0, 0.75), (1.25, 2.0)):
        inside = (times >= first_s - 0.125) & (times <= last_s + 0.125)
        linear = 0.1 * np.clip(times, first_s, last_s) / 0.25 - 0.4
        result = np.where(inside, linear, result)
    return result


def test_labels_join_by_time_and_a_gap_between_segments_is_unlabelled(tmp_path):
    package(tmp_path / "in")
    facts, tracks = build_set(tmp_path, "muse/112", *UNSEEN)
    row, track = tracks["1"]
    assert (row["split"], row["subject_id"], row["frames"]) == ("train", "1", 60)
    times = np.arange(60) / 25
    np.testing.assert_allclose(track["time_s"], times, atol=1e-6)
    assert track["target"][10, 0] == pytest.approx(-0.24)  # 0.4 s, between 250 and 500 ms
    assert np.isnan(track["target"][24:28]).all()  # 0.96 to 1.08 s, max_gap_s=1
    valence = expected(times)
    np.testing.assert_allclose(track["target"], np.stack([valence, -valence], 1), atol=1e-6)
    assert {name: row["split"] for name, (row, _) in tracks.items()} == {
        "1": "train", "2": "dev", "3": "test",
    }  # fmt: skip
    assert np.isnan(tracks["3"][1]["target"]).all()
    assert facts["splits"] == {"drawn": False, "protocol": "partition of the challenge"}
    assert facts["labels"]["join"] == "time, within segments"
    assert facts["warnings"] == []
    line = report_of(tmp_path)["1"]
    assert (line["rows"], line["not_found"]) == ("8", "60")


def test_the_gap_is_interpolated_when_the_rows_are_in_one_segment(tmp_path):
    rows = [(t, v, 1) for t, v, _ in ROWS]
    labels = labels_of(tmp_path, csv(rows))
    times = np.array([0.96, 1.0, 1.04])
    np.testing.assert_allclose(labels.at(np.arange(3), times)[:, 0], 0.4 * times - 0.4, atol=1e-6)


def labels_of(tmp_path, text, form=MS, max_gap_s=1.0):
    path = write_text(tmp_path / "a.csv", text)
    return join([read_gold(path, "valence", form)], max_gap_s)


@pytest.mark.parametrize("step_ms", [250, 500])
def test_adjacent_segments_are_not_mixed_even_without_a_gap(tmp_path, step_ms):
    labels = labels_of(tmp_path, csv([(0, 0.0, 1), (step_ms, 0.2, 1), (2 * step_ms, 0.8, 2)]))
    times = np.array([0.5, 1.4, 1.6, 2.0, 2.4]) * step_ms / 1000
    np.testing.assert_allclose(labels.at(np.arange(5), times)[:, 0], [0.1, 0.2, 0.8, 0.8, 0.8])
    assert np.isnan(labels.at(np.arange(1), np.array([2.6 * step_ms / 1000]))).all()


@pytest.mark.parametrize(
    "text",
    [
        csv(),
        csv().replace("\n", "\r\n"),
        "\ufeff" + csv(),
        csv().replace(",", ";"),
        csv().upper(),
        csv(header="timestamp,value,subject_id"),
        csv([(t, v) for t, v, _ in ROWS], header="Time,value"),
        csv([(v, t, s) for t, v, s in ROWS], header="value,timestamp,segment_id"),
    ],
)
def test_the_dialects_of_the_packages_and_of_the_toolbox_read_the_same(tmp_path, text):
    labels = labels_of(tmp_path, text)
    np.testing.assert_allclose(labels.time_s, [t / 1000 for t, *_ in ROWS])
    np.testing.assert_allclose(labels.values[:, 0], [v for _, v, _ in ROWS])


def test_times_in_seconds_are_refused_until_the_option_says_so(tmp_path):
    text = csv([(t / 1000, v, s) for t, v, s in ROWS])
    with pytest.raises(InputError, match=r"a\.csv: rows are 0\.00025 s apart.*time_unit=s"):
        labels_of(tmp_path, text)
    np.testing.assert_allclose(
        labels_of(tmp_path, text, SECONDS).time_s, [t / 1000 for t, *_ in ROWS]
    )
    with pytest.raises(InputError, match=r"a\.csv: rows are 250 s apart.*time_unit=ms"):
        labels_of(tmp_path, csv(), SECONDS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (csv(header="timestamp,label,segment_id"), "line 1: no column is named 'value'"),
        (csv(header="frame,value,segment_id"), "line 1: 0 columns are named timestamp or Time"),
        (csv(header="time,value,timestamp"), "line 1: 2 columns are named timestamp or Time"),
        ("segment_id,class_id\n1,2\n2,0\n", "line 1: no column is named 'value'"),
        ("0,0.1,1\n250,0.2,1\n", "line 1: no column is named 'value'"),
        (csv([(0, 0.1, 1), (500, 0.1, 1), (500, 0.2, 1)]), "line 4: time 500 repeats time 500"),
        (csv([(0, 0.1, 1), (500, 0.1, 1), (250, 0.2, 1)]), "line 4: time 250 comes after time 500"),
        (csv([(0, 0.1, 1), (500, 1.5, 1)]), r"line 3: value 1.5 is outside \[-1, 1\]"),
        (csv([(0, 0.1, 1)]), r"fewer than 2 label rows \(1\)"),
        (csv([(0, "x", 1), (500, 0.1, 1)]).replace("-", ""), "line 2: value 'x' is not a number"),
        (csv() + "2250,0.1\n", "line 10: has 2 cells"),
    ],
)
def test_bad_label_files_are_refused_with_file_and_line(tmp_path, text, message):
    with pytest.raises(InputError, match=rf"a\.csv: .*{message}") as caught:
        labels_of(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_dimensions_must_agree_on_times_and_segments(tmp_path):
    one = read_gold(write_text(tmp_path / "valence.csv", csv()), "valence", MS)
    later = [(t + 100, v, s) for t, v, s in ROWS]
    two = read_gold(write_text(tmp_path / "arousal.csv", csv(later)), "arousal", MS)
    with pytest.raises(InputError, match=r"arousal\.csv: only 0 of 8 rows have the same times"):
        join([one, two], 1.0)
    other = [(t, v, 1) for t, v, _ in ROWS]
    two = read_gold(write_text(tmp_path / "arousal.csv", csv(other)), "arousal", MS)
    with pytest.raises(InputError, match=r"arousal\.csv: the row at 1\.25 s is in segment 1, but"):
        join([one, two], 1.0)


def test_segments_saved_with_a_decimal_point_are_the_same_segments(tmp_path):
    one = read_gold(write_text(tmp_path / "valence.csv", csv()), "valence", MS)
    decimal = csv([(t, v, f"{s}.0") for t, v, s in ROWS])
    two = read_gold(write_text(tmp_path / "arousal.csv", decimal), "arousal", MS)
    assert join([one, two], 1.0).segment.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def value_by_hand(rows, time_s, max_gap_s):
    """Return the label at a time from (time, value, segment) rows, one frame at a time."""
    times = [t for t, *_ in rows]
    half = np.median(np.diff(times)) / 2
    for (t0, v0, s0), (t1, v1, s1) in itertools.pairwise(rows):
        if t0 <= time_s <= t1 and s0 == s1 and t1 - t0 <= max_gap_s:
            return v0 + (v1 - v0) * (time_s - t0) / (t1 - t0)
    distance, value = min((abs(t - time_s), v) for t, v, _ in rows)
    return value if distance <= half + 1e-9 else np.nan


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 3, 8]), st.booleans()), min_size=1, max_size=12),
    st.sampled_from([0.5, 1.0, 3.0]),
)
def test_labels_follow_the_rule_for_segments_frame_by_frame(steps, max_gap_s):
    rows = [(0.0, 0.0, 0)]
    for n, (quarters, new) in enumerate(steps, 1):
        time_s, _, segment = rows[-1]
        rows.append((time_s + quarters / 4, np.sin(n), segment + new))
    times, values, segments = map(np.array, zip(*rows, strict=True))
    labels = SegmentedLabels(times, values[:, None], max_gap_s=max_gap_s, segment=segments)
    frames = np.arange(-1, times[-1] + 1, 1 / 30) + 1e-4  # away from the middles of steps
    found = labels.at(np.arange(len(frames)), frames)[:, 0]
    by_hand = [value_by_hand(rows, each, max_gap_s) for each in frames]
    np.testing.assert_allclose(found, by_hand, atol=1e-6)


def test_a_row_missing_in_one_dimension_is_unlabelled_there(tmp_path):
    one = read_gold(write_text(tmp_path / "valence.csv", csv(ROWS[2:])), "valence", MS)
    two = read_gold(write_text(tmp_path / "arousal.csv", csv(sign=-1)), "arousal", MS)
    values = join([one, two], 1.0).values
    assert np.isnan(values[:2, 0]).all()
    assert np.isfinite(values[2:]).all()
    assert np.isfinite(values[:, 1]).all()


def test_empty_values_of_test_recordings_are_unlabelled(tmp_path):
    root = package(tmp_path / "in")
    for dim in DIMS:
        text = csv([(t, "", s) for t, _, s in ROWS])
        write_text(root / "c1_muse_wilder" / "label_segments" / dim / "3.csv", text)
    _, tracks = build_set(tmp_path, "muse/112", *UNSEEN)
    assert np.isnan(tracks["3"][1]["target"]).all()
    assert report_of(tmp_path)["3"]["rows_invalid"] == "8"


def test_recordings_with_a_missing_file_are_left_out_by_name(tmp_path):
    root = package(tmp_path, "Id,Proposal\n1,train\n2,devel\n3,train\n4,test\n")
    labels = root / "c1_muse_wilder" / "label_segments"
    (labels / "arousal" / "2.csv").unlink()
    write_text(labels / "valence" / "9.csv", csv())
    found = scan(root)
    assert sorted(found) == ["1", "2", "3", "4", "9"]
    assert found["1"].problem == ""
    assert "arousal/2.csv: cannot be found" in found["2"].problem
    assert "valence/3.csv" in found["3"].problem
    assert "video/4: there is no video" in found["4"].problem
    assert "partition.csv: has no row for '9', which has labels in " in found["9"].problem


def test_a_video_that_the_partition_does_not_list_is_ignored(tmp_path):
    root = package(tmp_path)
    write_video(root / "raw_data" / "video" / "77.MTS", 2)
    assert "77" not in scan(root)


@pytest.mark.parametrize("header", ["Id,Proposal", "id,partition", "ID,length,Partition"])
def test_the_partition_column_is_found_by_its_name(tmp_path, header):
    more = ",9" * (header.count(",") - 1)
    rows = f"1{more},train\n2{more},devel\n2{more},devel\n3{more},test\n"
    path = write_text(tmp_path / "partition.csv", f"{header}\n{rows}")
    assert read_partition(path, "") == {"1": "train", "2": "dev", "3": "test"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Id,fold\n1,train\n", r"line 1: cannot tell which column .*Id, fold.*partition_column"),
        ("Id,Proposal,partition\n1,train,train\n", "line 1: cannot tell which column"),
        ("video,Proposal\n1,train\n", "line 1: no column is named 'id'"),
        ("Id,Proposal\n1,train\n2,valid\n", "line 3: partition 'valid' of '2' is not one of train"),
        ("Id,Proposal\n1,train\n1,devel\n", "line 3: '1' is in devel, but in train above"),
    ],
)
def test_an_unknown_partition_is_refused_with_file_and_line(tmp_path, text, message):
    path = write_text(tmp_path / "partition.csv", text)
    with pytest.raises(InputError, match=rf"partition\.csv: {message}"):
        read_partition(path, "")


def test_an_option_names_the_partition_column(tmp_path):
    path = write_text(tmp_path / "partition.csv", "Id,fold\n1,train\n")
    assert read_partition(path, "Fold") == {"1": "train"}


def test_without_a_partition_splits_are_drawn_with_a_warning(tmp_path):
    root = package(tmp_path, partition="")
    for dim in DIMS:
        write_text(root / "c1_muse_wilder" / "label_segments" / dim / "3.csv", csv())
    builder = Builder(data_dir=tmp_path)
    splits = builder.recordings(root)
    assert sorted(each.track_id for split in splits.values() for each in split) == ["1", "2", "3"]
    assert {len(each) for each in splits.values()} == {1}
    assert "partition_file" in builder.warnings([])[0]
    assert not builder.labels_facts.keys() & {"fusion"}


def test_folders_in_other_places_are_a_question_that_an_option_answers(tmp_path):
    root = package(tmp_path)
    (root / "raw_data" / "video").rename(root / "raw_data" / "recordings")
    with pytest.raises(InputError, match=r"named video or videos; .* set videos_dir to the folder"):
        scan(root)
    assert len(scan(root, videos_dir="raw_data/recordings")) == 3
    with pytest.raises(InputError, match=r"videos_dir=nowhere: .*nowhere is not a folder"):
        scan(root, videos_dir="nowhere")
    package(root, task="c3_muse_trust")
    with pytest.raises(InputError, match="c1_muse_wilder/label_segments, c3_muse_trust/label_seg"):
        scan(root, videos_dir="raw_data/recordings")
    options = {"videos_dir": "raw_data/recordings", "labels_dir": "c3_muse_trust/label_segments"}
    assert len(scan(root, **options)) == 3
    (root / "raw_data" / "video").rename(root / "raw_data" / "empty")
    (root / "raw_data" / "video").mkdir()
    with pytest.raises(InputError, match=r"video: contains no videos; set videos_dir"):
        scan(root, labels_dir=options["labels_dir"])


def test_a_missing_dimension_is_refused_and_other_arousal_needs_an_option(tmp_path):
    root = package(tmp_path)
    labels = root / "c1_muse_wilder" / "label_segments"
    with pytest.raises(InputError, match=r"no folder joy.*arousal, valence.*choose dims"):
        scan(root, dims=("joy",))
    (labels / "arousal").rename(labels / "physio-arousal")
    with pytest.raises(InputError, match=r"no folder arousal .*set arousal_from=physio-arousal"):
        scan(root)
    found = scan(root, arousal_from="physio-arousal")
    assert found["1"].files["arousal"].endswith("physio-arousal/1.csv")
    assert len(scan(root, dims=("valence",))) == 3


RATINGS = np.array([[0, 300, 500, 700, 400], [100, 200, 650, 600, 500], [-100, 400, 300, 500, 200]])


def raters_csv(ratings=RATINGS, header="timestamp,1,2,12"):
    rows = (f"{0.5 * n},{','.join(map(str, row))}" for n, row in enumerate(ratings.T))
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize("fusion", ["ewe", "mean", "avec2016"])
def test_raters_in_columns_are_fused_after_scaling(tmp_path, fusion):
    form = Format(time_unit="s", label_range=(-1000, 1000), fusion=fusion)
    path = write_text(tmp_path / "1.csv", raters_csv())
    labels = join([read_raters(path, "valence", form)], 1.0)
    np.testing.assert_allclose(labels.values[:, 0], fuse_raters(RATINGS / 1000, fusion))
    np.testing.assert_allclose(labels.raters[0], RATINGS / 1000)
    np.testing.assert_allclose(labels.time_s, 0.5 * np.arange(5))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (raters_csv(), r"1\.csv: line 3: 1 300 is outside \[-1, 1\].*label_range"),
        (raters_csv(header="timestamp,1,2,mean"), "column 'mean' is not the number of a rater"),
        ("timestamp,segment_id\n0,1\n1,1\n", r"1\.csv: line 1: has no raters"),
        ("timestamp,1,2\n0,0,\n0.5,0.1,\n", r"1\.csv: rater 2 of 2 has no labels"),
    ],
)
def test_bad_files_of_raters_are_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_raters(write_text(tmp_path / "1.csv", text), "valence", SECONDS)


def test_raters_in_folders_are_fused_and_their_agreement_is_stored(tmp_path):
    root = package(tmp_path / "in")
    folder = root / "c1_muse_wilder" / "label_segments"
    for n, ratings in enumerate(RATINGS / 1000, 1):
        for dim, sign in (("valence", 1), ("arousal", -1)):
            for name in ("1", "2"):
                rows = [(500 * k, value) for k, value in enumerate(ratings)]
                text = csv(rows, "timestamp,value", sign)
                write_text(folder / f"annotator{n}" / dim / f"{name}.csv", text)
    options = ("labels=raters", "time_unit=ms", "fusion=mean")
    facts, tracks = build_set(tmp_path, "muse/112", *UNSEEN, *options)
    fused = fuse_raters(RATINGS / 1000, "mean")
    np.testing.assert_allclose(tracks["1"][1]["target"][0], [fused[0], -fused[0]], atol=1e-6)
    np.testing.assert_allclose(tracks["1"][1]["target"][25, 0], fused[2], atol=1e-6)  # 1.0 s
    assert facts["labels"]["fusion"] == "mean"
    assert facts["rater_agreement"]["train"]["valence"]["raters"] == 3


def test_raters_that_cannot_be_found_are_a_question(tmp_path):
    root = package(tmp_path)
    with pytest.raises(InputError, match=r"raw_annotations, or .*annotator\*; .* set raters_dir"):
        scan(root, labels="raters")
    for dim in DIMS:
        path = root / "toolbox" / "raw" / dim / "1.csv"
        write_text(path, raters_csv(RATINGS / 1000))
    found = scan(root, labels="raters", raters_dir="toolbox/raw")
    assert found["1"].files["valence"].endswith("toolbox/raw/valence/1.csv")


def test_a_rater_without_values_is_named(tmp_path):
    one = read_gold(write_text(tmp_path / "a1.csv", csv()), "valence", MS)
    empty = csv([(t, "", s) for t, _, s in ROWS])
    two = read_gold(write_text(tmp_path / "a2.csv", empty), "valence", MS)
    with pytest.raises(InputError, match=r"a2\.csv: contains no values"):
        fuse([one, two], "ewe")


def test_inspect_reports_no_gap_between_segments_but_one_inside(tmp_path):
    root = package(tmp_path / "in")
    far = [(0, 0.1, 1), (500, 0.2, 1), (1750, 0.2, 1), (2250, 0.3, 1)]
    apart = [(0, 0.1, 1), (500, 0.2, 1), (1750, -0.2, 2), (2250, 0.3, 2)]
    for dim in DIMS:
        folder = root / "c1_muse_wilder" / "label_segments" / dim
        write_text(folder / "1.csv", csv(far))
        write_text(folder / "2.csv", csv(apart))
    options = ("no_face=mask",)
    how = inspect_tree.Thoroughness(find_faces=False)
    report = inspect_tree.inspect_tree("muse", root, tmp_path / "data", options, how=how)
    gaps = [text for text in map(str, report.findings) if "has no row between" in text]
    assert len(gaps) == 1
    assert "1.csv: has no row between seconds 0.5 and 1.75" in gaps[0]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("labels=mine", "labels='mine' is not one of gold, raters"),
        ("time_unit=frame", "time_unit='frame' is not one of ms, s"),
        ("fusion=best", "fusion='best' is not one of"),
        ("label_range=1000,0", "label_range=1000,0: expected LOW,HIGH"),
    ],
)
def test_unknown_options_are_refused(tmp_path, option, message):
    with pytest.raises(InputError, match=message):
        build("muse", tmp_path / "data", package(tmp_path / "in"), options=[option])


@settings(max_examples=50)
@given(st.booleans(), st.text() | st.text(st.sampled_from("0123456789.,;-en \n\ufeff")))
def test_any_text_gives_labels_in_range_or_a_one_line_error(tmp_path_factory, header, text):
    path = tmp_path_factory.getbasetemp() / "any_muse.csv"
    header = "timestamp,value,segment_id\n" * header
    path.write_bytes((header + text).encode(errors="surrogatepass"))
    labels = labels_or_one_line(lambda: join([read_gold(path, "valence", MS)], 1.0), path)
    assert labels is None or (np.diff(labels.time_s) > 0).all()
