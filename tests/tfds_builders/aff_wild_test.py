"""Aff-Wild: joins by number, boxes, dev drawn by subject, damaged copies."""

import shutil

import av
import numpy as np
import pytest
import simplejpeg

from tests.tfds_builders.layouts import (
    build,
    build_set,
    picture,
    report_of,
    shown,
    write_text,
    write_video,
)
from tests.tfds_builders.points_test import pts
from tfds_builders.aff_wild.aff_wild_dataset_builder import Builder, read
from tfds_builders.material import Recording
from va_jax.types import DIMS, InputError

WIDTH, HEIGHT = 64, 48
BOXED = [2, 3, 4, 6, 7, 8, 9, 10, 11]  # frames of video 1 that have a box


def box(frame):
    """Return x1, y1, x2, y2 of a box, 24 wide and 16 high, that moves to the right."""
    return 2 * frame, 10, 2 * frame + 24, 26


def corners(x1, y1, x2, y2):
    return [(x2, y1), (x1, y1), (x1, y2), (x2, y2)]


def landmarks(frame):
    """Return 68 points inside the box, which move with it."""
    return [(2 * frame + 6 + 0.1 * n, 11 + 0.2 * n) for n in range(68)]


def write_places(folder, places):
    folder.mkdir(parents=True, exist_ok=True)
    for frame, points in places.items():
        write_text(folder / f"{frame}.pts", pts(points))


def write_boxes(root, video, frames, split="train"):
    places = {frame: corners(*box(frame)) for frame in frames}
    write_places(root / "bboxes" / split / video, places)


def write_labels(root, video, valence, arousal=None, split="train"):
    """Write the label files of a video; arousal defaults to minus valence."""
    arousal = [-value for value in valence] if arousal is None else arousal
    for dim, values in zip(DIMS, (valence, arousal), strict=True):
        text = "".join(f"{value}\n" for value in values)
        write_text(root / "annotations" / split / dim / f"{video}.txt", text)


def ramp(count):
    return [round(0.01 * k, 3) for k in range(1, count + 1)]


def write_plain(root, video, frames=3, split="train"):
    """Write a recording without quirks."""
    write_video(root / "videos" / split / f"{video}.mp4", frames)
    write_boxes(root, video, range(1, frames + 1), split)
    write_labels(root, video, ramp(frames), split=split)


def write_cut_off(path, frames):
    """Write two thirds of a video file; its index comes first, so that its length is known."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            image = picture(number % 60, WIDTH, HEIGHT)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def write_tree(root):
    """Write twelve recordings of train and three of test; folders are nested twice or misspelt."""
    write_video(root / "videos" / "train" / "1.mp4", 12)
    text = "\ufeff" + "".join(f"{value}\r\n" for value in ramp(12))
    write_text(root / "annotations" / "train" / "valence" / "1.txt", text.replace("0.", "0,"))
    arousal = "".join(f"-.{k:02}\n" for k in range(1, 13)) + "\n\n"
    write_text(root / "annotations" / "train" / "arousal" / "1.txt", arousal)
    write_boxes(root, "1", BOXED)
    write_places(root / "landmarks" / "train" / "1", {n: landmarks(n) for n in (2, 5, 10, 11)})

    write_video(root / "videos" / "train" / "2.avi", 12)
    write_boxes(root, "2", [10, 2, 9, 11, 3])
    write_labels(root, "2", ramp(5))

    write_plain(root, "3", 10)
    write_labels(root, "3", ramp(11))  # one label more
    write_plain(root, "4", 10)
    write_labels(root, "4", ramp(9))  # one label fewer
    write_boxes(root, "4", [14, 15])  # after the end

    write_plain(root, "few", 10)
    write_labels(root, "few", ramp(8))
    write_plain(root, "range")
    write_labels(root, "range", [0, 0.5, -1.25])
    write_plain(root, "unequal")
    write_labels(root, "unequal", ramp(3), ramp(2))
    write_plain(root, "cut", 10)
    write_labels(root, "cut", ramp(100))
    write_cut_off(root / "videos" / "train" / "cut.mp4", 100)
    write_video(root / "videos" / "train" / "bare.mp4", 3)
    write_labels(root, "lost", ramp(3))
    write_plain(root, "torn")
    write_text(root / "bboxes" / "train" / "torn" / "2.pts", "version: 1\nn_points: 4\n{\n1 2\n}\n")
    write_plain(root, "placeless")
    shutil.rmtree(root / "bboxes" / "train" / "placeless")

    for video in ("20", "21"):
        write_video(root / "videos" / "test" / f"{video}.avi", 4)
        write_boxes(root, video, [1, 2, 4], split="test")
    write_labels(root, "21", ramp(4), split="test")
    write_video(root / "videos" / "test" / "22.avi", 4)
    write_text(root / "annotations" / "test" / "valence" / "22.txt", "0\n" * 4)

    train = root / "videos" / "train"
    train.rename(root / "videos" / "moved")
    train.mkdir()
    (root / "videos" / "moved").rename(train / "train")
    (root / "bboxes").rename(root / "bboxs")
    (root / "annotations" / "annotations").mkdir()
    for split in ("train", "test"):
        (root / "annotations" / split).rename(root / "annotations" / "annotations" / split)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the tree of `write_tree`; return metadata and tracks of `build_set`, and the folder."""
    folder = tmp_path_factory.mktemp("aff_wild")
    write_tree(folder / "in")
    return *build_set(folder, "aff_wild/112"), folder


def centre(jpeg):
    """Return the place of a crop's middle in the picture, in pixels, from its colour ramps."""
    image = simplejpeg.decode_jpeg(jpeg)
    middle = slice(len(image) // 2 - 16, len(image) // 2 + 16)
    mean = image[middle, middle].reshape(-1, 3).mean(0)
    return mean[1] * (WIDTH - 1) / 250, mean[2] * (HEIGHT - 1) / 250


def test_label_k_belongs_to_frame_k_and_a_frame_without_a_box_shows_no_face(built):
    row, track = built[1]["1"]
    assert (row["split"] in ("train", "dev"), row["frames"], row["fps"]) == (True, 12, 25)
    expected = np.stack([ramp(12), [-value for value in ramp(12)]], axis=1)
    np.testing.assert_array_equal(track["target"], expected.astype(np.float32))
    assert [n for n in range(1, 13) if track["face"][n - 1]] == BOXED
    assert [shown(track["frames"][n - 1]) for n in (2, 5, 10, 11)] == [1, 4, 9, 10]
    np.testing.assert_allclose(track["time_s"], np.arange(12) / 25, rtol=1e-6)
    line = report_of(built[2])["1"]
    assert (line["rows"], line["no_place"], line["places_unused"]) == ("12", "3", "0")


def test_crops_are_the_squares_around_the_boxes_of_their_own_frames(built):
    frames = built[1]["1"][1]["frames"]
    for frame in BOXED:
        np.testing.assert_allclose(centre(frames[frame - 1]), (2 * frame + 12, 18), atol=0.7)
    for without, taken_from in ((5, 4), (12, 11), (1, 2)):  # the one before, else the first
        expected = (2 * taken_from + 12, 18)
        np.testing.assert_allclose(centre(frames[without - 1]), expected, atol=0.7)
    green = simplejpeg.decode_jpeg(frames[9])[40:72, :, 1].mean(0) * (WIDTH - 1) / 250
    np.testing.assert_allclose(green[-4] - green[3], 24 * 105 / 112, atol=1)  # 24 px wide


def test_landmarks_are_stored_in_units_of_the_crop(built):
    _, track = built[1]["1"]
    n = np.arange(68)
    # the square around the box begins at 2 * frame from the left and at 18 - 12 from above
    expected = np.stack([(6 + 0.1 * n) / 24, (11 + 0.2 * n - 6) / 24], axis=1)
    known = [frame for frame in range(1, 13) if np.isfinite(track["landmarks"][frame - 1]).all()]
    assert known == [2, 10, 11]  # frame 5 has landmarks, but no box
    for frame in known:
        np.testing.assert_allclose(track["landmarks"][frame - 1], expected, rtol=1e-5)
    assert np.isnan(track["landmarks"][2]).all()
    lines = report_of(built[2])
    assert (lines["1"]["no_landmarks"], lines["3"]["no_landmarks"]) == ("6", "10")


def test_labels_join_boxes_in_numeric_order_if_their_counts_match(built):
    _, track = built[1]["2"]
    labelled = {n: track["target"][n - 1, 0] for n in range(1, 13)}
    expected = dict(zip((2, 3, 9, 10, 11), ramp(5), strict=True))
    assert {n for n, value in labelled.items() if np.isfinite(value)} == set(expected)
    assert {n: round(float(labelled[n]), 3) for n in expected} == expected
    assert [n for n in range(1, 13) if track["face"][n - 1]] == [2, 3, 9, 10, 11]
    assert report_of(built[2])["2"]["labelled"] == "5"


def test_one_label_more_or_fewer_than_frames_is_accepted(built):
    more, fewer = built[1]["3"][1], built[1]["4"][1]
    np.testing.assert_array_equal(more["target"][:, 0], np.float32(ramp(10)))
    np.testing.assert_array_equal(fewer["target"][:, 0], np.float32([*ramp(9), np.nan]))
    lines = report_of(built[2])
    assert (lines["3"]["rows_unused"], lines["3"]["places_unused"]) == ("1", "0")
    assert (lines["4"]["rows_unused"], lines["4"]["places_unused"]) == ("0", "2")


def test_bad_recordings_are_left_out_with_a_reason_and_the_others_are_built(tmp_path, built):
    facts, tracks, folder = built
    assert set(tracks) == {"1", "2", "3", "4", "20", "21"}
    reasons = {
        "few": "train/few.mp4: video 'few' has 8 labels, but 10 frames and 10 files of boxes; ",
        "range": "valence/range.txt: line 3: valence -1.25 is outside [-1, 1]",
        "unequal": "valence/unequal.txt: has 3 rows, but ",
        "cut": "cut.mp4: the video is truncated after ",
        "bare": "bare.mp4: cannot find annotations/train/valence/bare.txt and annotations",
        "lost": "valence/lost.txt: there is no video 'lost' in videos/train; add the video, or "
        "remove its labels",
        "torn": "bboxs/train/torn/2.pts: line 5: '}' is not a point",
        "placeless": "placeless.mp4: cannot find folder bboxes/train/placeless; add it",
        "22": "22.avi: cannot find annotations/test/arousal/22.txt; add the labels",
    }
    assert set(facts["refused"]) == set(reasons)
    for video, reason in reasons.items():
        assert reason in facts["refused"][video], video
        assert "\n" not in facts["refused"][video]
    assert "arousal/unequal.txt has 2; both must" in facts["refused"]["unequal"]
    assert "of 4.000 s; copy it again" in facts["refused"]["cut"]
    lines = report_of(folder)
    assert {video for video, line in lines.items() if line["status"] == "refused"} == set(reasons)
    with pytest.raises(InputError, match=r"bare\.mp4: cannot find annotations"):
        build("aff_wild/112", tmp_path, folder / "in", strict=True)


def test_test_videos_without_annotations_are_built_unlabelled(built):
    facts, tracks, _ = built
    assert {tracks[video][0]["split"] for video in ("20", "21")} == {"test"}
    assert np.isnan(tracks["20"][1]["target"]).all()
    np.testing.assert_array_equal(tracks["21"][1]["target"][:, 0], np.float32(ramp(4)))
    assert tracks["20"][1]["face"].tolist() == [True, True, False, True]
    assert facts["counts"]["test"]["labelled"] == 4


def test_a_tree_without_annotations_of_test_gives_an_unlabelled_test_split(tmp_path):
    root = tmp_path / "in"
    write_plain(root, "1")
    write_plain(root, "9", split="test")
    shutil.rmtree(root / "annotations" / "test")
    facts, _ = build_set(tmp_path, "aff_wild/112")
    labelled = {split: count["labelled"] for split, count in facts["counts"].items()}
    assert labelled == {"train": 3, "test": 0}


def test_the_metadata_describe_crops_labels_and_splits(built):
    facts = built[0]
    assert facts["crop"]["source"] == "boxes"
    assert facts["labels"]["range"] == [-1, 1]
    assert "number of the box" in facts["labels"]["join"]
    splits = {key: facts["splits"][key] for key in ("drawn", "seed", "fractions")}
    assert splits == {"drawn": True, "seed": 0, "fractions": {"train": 0.85, "dev": 0.15}}
    assert facts["splits"]["test"] == "official"
    assert facts["splits"]["subjects"] == "each video its own"


def face_points():
    """68 points: eyes level at (20, 18) and (40, 18), mouth corners at (22, 30) and (38, 30)."""
    points = np.full((68, 2), (30.0, 25.0))
    points[36:42], points[42:48] = (20, 18), (40, 18)
    points[48], points[54] = (22, 30), (38, 30)
    return points.tolist()


def test_crops_can_be_aligned_by_landmarks(tmp_path):
    root = tmp_path / "in"
    write_plain(root, "1", 12)
    write_labels(root, "1", ramp(3))
    write_places(root / "landmarks" / "train" / "1", {n: face_points() for n in (10, 2, 3)})
    shutil.rmtree(root / "bboxes")
    facts, tracks = build_set(tmp_path, "aff_wild/96_landmarks")
    _, track = tracks["1"]
    shows = [1, 2, 9]
    assert np.flatnonzero(track["face"]).tolist() == shows
    np.testing.assert_array_equal(track["target"][shows, 0], np.float32(ramp(3)))
    np.testing.assert_allclose(centre(track["frames"][9]), (30, 24), atol=0.7)
    # half the square's side is the eyes' distance, 20; its middle is (30, 24)
    expected = (np.array(face_points()) - (10, 4)) / 40
    np.testing.assert_allclose(track["landmarks"][9], expected, rtol=1e-5)
    assert facts["crop"]["source"] == "landmarks"


def test_the_detector_needs_no_boxes_but_labels_can_be_joined_by_them(tmp_path):
    configs = {config.name: config for config in Builder.BUILDER_CONFIGS}
    assert {name.partition("_")[2] for name in configs} == {"", "landmarks", "detect"}
    detect = configs["112_detect"]
    assert (configs["96"].points, configs["96_landmarks"].points, detect.points) == (68, 68, 5)
    write_plain(tmp_path, "1", 12)
    files = {dim: str(tmp_path / "annotations" / "train" / dim / "1.txt") for dim in DIMS}
    files["video"] = str(tmp_path / "videos" / "train" / "1.mp4")
    material = read(Recording("1", "1", "1", files), detect)
    assert (material.faces, material.first, material.places) == ("detect", 1, None)
    write_labels(tmp_path, "1", ramp(2))
    write_places(tmp_path / "boxes", {n: corners(*box(n)) for n in (10, 9)})
    material = read(Recording("1", "1", "1", {**files, "boxes": str(tmp_path / "boxes")}), detect)
    assert material.labels.number.tolist() == [9, 10]
    with pytest.raises(InputError, match="2 labels, but 12 frames and 0 files of boxes"):
        read(Recording("1", "1", "1", files), detect)


def test_files_numbered_from_0_are_refused(tmp_path):
    write_plain(tmp_path / "in", "1")
    write_boxes(tmp_path / "in", "1", [0])
    with pytest.raises(InputError, match=r"0\.pts: frames are numbered from 1, not 0"):
        build("aff_wild/112", tmp_path / "data", tmp_path / "in")


def test_dev_is_held_out_by_subject(tmp_path):
    root = tmp_path / "in"
    subjects = {f"{n}": f"s{n // 3}" for n in range(1, 12)}
    for video in subjects:
        write_plain(root, video, 2)
    write_plain(root, "90", 2, split="test")
    rows = "".join(f"{video}.mp4;{subject}\n" for video, subject in subjects.items())
    write_text(root / "subjects.csv", "\ufeffVideo;Subject\n" + rows + "90;t\n")
    facts, tracks = build_set(tmp_path, "aff_wild/112", "seed=3")
    where = {video: row["split"] for video, (row, _) in tracks.items()}
    assert where.pop("90") == "test"
    assert {tracks[video][0]["subject_id"] for video in subjects} == {"s0", "s1", "s2", "s3"}
    by_subject = {}
    for video, split in where.items():
        by_subject.setdefault(subjects[video], set()).add(split)
    assert sorted(map(sorted, by_subject.values())) == [["dev"], ["train"], ["train"], ["train"]]
    assert facts["splits"]["subjects"] == "subjects.csv"
    assert facts["splits"]["seed"] == 3


def test_a_subject_of_two_splits_stops_the_build(tmp_path):
    root = tmp_path / "in"
    write_plain(root, "1")
    write_plain(root, "9", split="test")
    write_text(root / "subjects.csv", "video,subject\n1,a\n9,a\n")
    with pytest.raises(InputError, match=r"subjects\.csv: line 3: subject 'a' is in test"):
        build("aff_wild/112", tmp_path / "data", root)


def test_a_video_of_two_splits_stops_the_build(tmp_path):
    root = tmp_path / "in"
    write_plain(root, "1")
    write_plain(root, "1", split="test")
    with pytest.raises(InputError, match="video '1' is in train and in test; remove it"):
        build("aff_wild/112", tmp_path / "data", root)


def test_a_tree_that_is_one_folder_deeper_is_found(tmp_path):
    write_plain(tmp_path / "in" / "aff_wild_new", "1")
    (tmp_path / "in" / "extras").mkdir()
    assert set(build_set(tmp_path, "aff_wild/112")[1]) == {"1"}


@pytest.mark.parametrize("lacking", ["videos", "annotations", "bboxes"])
def test_another_tree_is_refused_in_one_line(tmp_path, lacking):
    write_plain(tmp_path / "in", "1")
    shutil.rmtree(tmp_path / "in" / lacking)
    with pytest.raises(InputError, match=f"no folder .*{lacking}.*train") as caught:
        build("aff_wild/112", tmp_path / "data", tmp_path / "in")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("folds=5", "folds=5, fold=0: Aff-Wild has an official test split"),
        ("dims=valence", "dims=valence: must be valence and arousal"),
        ("faces=crops", "faces='crops' is not one of boxes, landmarks, detect"),
    ],
)
def test_options_that_do_not_apply_are_refused(tmp_path, option, message):
    with pytest.raises(InputError, match=message):
        build("aff_wild/112", tmp_path / "data", tmp_path, options=[option])
