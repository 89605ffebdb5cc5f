"""SEWA Basic: joins by number on the 50 Hz grid, landmarks, sessions that stay in one split."""

import fractions
import re

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
from tfds_builders.build import builder_class
from va_jax.types import InputError

NAME = "SSL_C2_S055_P109_VC1_004803_004822"
FIRST, COUNT = 4803, 20
TWICE = [n // 2 for n in range(COUNT)]
WIDTH, HEIGHT = 96, 72


def face(x, y):
    """Return 49 points around x, y: level eyes 18 pixels apart, the mouth 16 below them."""
    points = np.random.default_rng(0).uniform(-10, 10, (49, 2))
    ring = np.array([[-2, 0], [-1, -1], [1, -1], [2, 0], [1, 1], [-1, 1]])
    points[19:25], points[25:31] = np.add(ring, [-9, -8]), np.add(ring, [9, -8])
    points[31], points[37] = [-6, 8], [6, 8]
    return np.add(points, [x, y])


def points_text(points):
    """Return the text of a landmark file of 49 points, or of none."""
    line = " ".join(["-1"] * 98 if points is None else [f"{each:.4f}" for each in points.ravel()])
    return f"1.5 -2.25 0.125\n{' '.join(['7.5'] * 20)}\n{line}\n"


def column_text(dim, values, start):
    """Return a label csv with rows from frame number `start`, one per value that is not None."""
    rows = [f"{start + n},0.0,{v}" for n, v in enumerate(values) if v is not None]
    return "\n".join([f"frame_idx,ignored,{dim}", *rows]) + "\n"


def valence(count=COUNT):
    return [round(n / count, 6) for n in range(count)]


def arousal(count=COUNT):
    return [round(1 - n / (2 * count), 6) for n in range(count)]


def write_clip(
    root, name=NAME, start=FIRST, landmark_start=1, numbers=tuple(TWICE), points=None, below=""
):
    """Write a clip; its labels are numbered from `start`, its landmarks from `landmark_start`."""
    folder = root / name
    write_video(folder / f"{name}.avi", 0, WIDTH, HEIGHT, 50, numbers)
    write_text(folder / "metadata.ini", "[Folder]\nsession = 55\n")
    write_text(folder / f"{name}.wav", "x")
    for dim, values in (("Valence", valence()), ("Arousal", arousal())):
        place = folder / below.format(dim)
        write_text(place / f"{name}_{dim}_AV_Aligned.csv", column_text(dim, values, start))
    for n in range(COUNT):
        each = face(40, 30) if points is None else points.get(n, face(40, 30))
        if not isinstance(each, str):
            path = folder / "landmarks" / f"{landmark_start + n:06d}.txt"
            write_text(path, points_text(each))
    return folder


def mapped(frames):
    """Return the targets of frames of the clip, mapped from [0, 1] to [-1, 1]."""
    return np.array([[2 * valence()[n] - 1, 2 * arousal()[n] - 1] for n in frames], np.float32)


@pytest.mark.parametrize(("start", "landmark_start"), [(FIRST, 1), (1, 0), (0, FIRST)])
def test_labels_stay_at_their_frames_when_repeats_are_dropped(tmp_path, start, landmark_start):
    points = {4: None, 6: "absent"}
    write_clip(tmp_path / "in", NAME, start, landmark_start, points=points)
    facts, tracks = build_set(tmp_path, "sewa/96")
    row, track = tracks[NAME]
    kept = np.arange(0, COUNT, 2)
    assert (row["frames"], row["fps"]) == (10, 25)
    assert (row["subject_id"], row["group"], row["video_id"]) == ("C2_P109", "C2", NAME)
    np.testing.assert_allclose(track["time_s"], kept / 50, rtol=1e-6)
    np.testing.assert_allclose(track["target"], mapped(kept), atol=1e-6)
    assert track["face"].tolist() == [n not in points for n in kept]
    line = report_of(tmp_path)[NAME]
    assert [line[key] for key in ("rows", "repeats_dropped", "no_place")] == ["20", "10", "2"]
    source = {"source": "AV annotation", "range": [0, 1], "join": "frame number"}
    assert facts["labels"] == source
    assert facts["crop"]["source"] == "landmarks"


def test_repeated_frames_can_be_kept(tmp_path):
    write_clip(tmp_path / "in")
    _, tracks = build_set(tmp_path, "sewa/96", "repeats=keep")
    row, track = tracks[NAME]
    assert (row["frames"], row["fps"]) == (COUNT, 50)
    np.testing.assert_allclose(track["target"], mapped(range(COUNT)), atol=1e-6)


def test_frames_that_the_video_leaves_empty_do_not_shift_the_labels(tmp_path):
    """A container may store repeats as empty packets, which a decoder skips."""
    folder = write_clip(tmp_path / "in")
    path = folder / f"{NAME}.avi"
    path.unlink()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=50)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = fractions.Fraction(1, 50)
        for number in (0, 1, 3, 6, 8, 10, 13, 16, 19):
            frame = av.VideoFrame.from_ndarray(picture(number, WIDTH, HEIGHT), format="rgb24")
            frame.pts, frame.time_base = number, fractions.Fraction(1, 50)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    row, track = build_set(tmp_path, "sewa/96")[1][NAME]
    kept = [0, 1, 3, 6, 8, 10, 13, 16, 19]
    np.testing.assert_allclose(track["time_s"], np.array(kept) / 50, rtol=1e-6)
    np.testing.assert_allclose(track["target"], mapped(kept), atol=1e-6)
    assert track["face"].all()
    assert row["fps"] == pytest.approx(8 / (19 / 50), abs=1e-5)


def test_crops_are_aligned_by_the_landmarks(tmp_path):
    """The side of the square is twice the eye distance of 18 pixels."""
    points = {n: face(40 + n, 36 - n / 2) for n in range(COUNT)}
    write_clip(tmp_path / "in", points=points)
    _, track = build_set(tmp_path, "sewa/112")[1][NAME]
    assert track["landmarks"].shape == (10, 49, 2)
    for index, n in enumerate(range(0, COUNT, 2)):
        centre = np.array([40 + n, 36 - n / 2])
        expected = (points[n] - centre) / 36 + 0.5
        np.testing.assert_allclose(track["landmarks"][index], expected, atol=2e-4)
        crop = simplejpeg.decode_jpeg(track["frames"][index]).astype(float)
        middle = crop[54:58, 54:58].mean((0, 1))
        ramps = 250 * centre / [WIDTH - 1, HEIGHT - 1]
        np.testing.assert_allclose(middle, [4 * (n // 2), *ramps], atol=6)
        assert shown(track["frames"][index]) == n // 2


def test_rows_missing_in_one_file_are_unlabelled(tmp_path):
    folder = write_clip(tmp_path / "in")
    gappy = [None if n in (0, 7, 8) else v for n, v in enumerate(arousal())]
    gappy[10] = "nan"
    write_text(folder / f"{NAME}_Arousal_AV_Aligned.csv", column_text("arousal", gappy, FIRST))
    _, track = build_set(tmp_path, "sewa/96", "repeats=keep")[1][NAME]
    expected = mapped(range(COUNT))
    expected[[0, 7, 8, 10], 1] = np.nan
    np.testing.assert_allclose(track["target"], expected, atol=1e-6)
    line = report_of(tmp_path)[NAME]
    assert (line["rows"], line["rows_invalid"], line["labelled"]) == ("20", "4", "16")


def test_annotations_and_landmarks_are_found_in_unpacked_archives(tmp_path):
    folder = write_clip(tmp_path / "in" / "SEWA DB v0.2 - BASIC", below="{}")
    packed = folder / "Landmarks" / f"{NAME}-Landmarks"
    packed.parent.mkdir()
    (folder / "landmarks").rename(packed)
    write_text(packed / "readme.txt", "x")
    write_text(tmp_path / "in" / "SEWA DB v0.2 - BASIC" / "licence.txt", "x")
    write_text(tmp_path / "in" / "SEWA DB v0.2 - BASIC" / "SSL_C7_S1_P1_VC1_1_2" / "x.avi", "x")
    facts, tracks = build_set(tmp_path, "sewa/96")
    assert set(tracks) == {NAME}
    assert tracks[NAME][1]["face"].all()
    assert facts["refused"] == {}


def test_the_annotation_can_be_chosen(tmp_path):
    folder = write_clip(tmp_path / "in")
    for dim in ("Valence", "Arousal"):
        path = folder / f"{NAME}_{dim}_V_Aligned.csv"
        write_text(path, column_text(dim, [0.75] * COUNT, FIRST))
    facts, tracks = build_set(tmp_path, "sewa/96", "annotation=V", "dims=arousal,valence")
    np.testing.assert_array_equal(tracks[NAME][1]["target"], np.full((10, 2), 0.5, np.float32))
    assert facts["labels"]["source"] == "V annotation"
    assert facts["dims"] == ["arousal", "valence"]


def test_the_detector_can_find_the_faces_instead(tmp_path):
    folder = write_clip(tmp_path / "in", numbers=(0, 1) * 10)
    for path in (folder / "landmarks").iterdir():
        path.unlink()
    unseen = ("no_face=mask", "min_face=80")  # larger than the picture: nothing is compiled
    facts, tracks = build_set(tmp_path, "sewa/96_detect", *unseen)
    assert tracks[NAME][1]["landmarks"].shape == (COUNT, 5, 2)
    np.testing.assert_allclose(tracks[NAME][1]["target"], mapped(range(COUNT)), atol=1e-6)
    assert facts["crop"]["source"] == "detect"


OTHER = "SAH_C6_S001_P002_VC1_000000_000019"


def drop(pattern):
    def change(folder):
        for path in sorted(folder.glob(pattern)):
            path.unlink()

    return change


def rename_annotation(folder):
    for path in folder.glob("*Valence*"):
        path.rename(path.with_name(path.name.replace("_AV_", "_A_")))


def shorten(folder):
    write_video(folder / f"{OTHER}.avi", 9, WIDTH, HEIGHT, 50)


def second_video(folder):
    write_text(folder / "copy.avi", "x")


def tear_points(folder):
    write_text(folder / "landmarks" / "000003.txt", "1 2 3\n1 2\n4 5 6\n")


def copy_points(folder):
    write_text(folder / "more" / "1.txt", "x")


def other_labels(folder):
    for dim in ("Valence", "Arousal"):
        text = column_text(dim, valence(), FIRST)
        write_text(folder / f"{folder.name}_{dim}_AV_Aligned.csv", text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("landmarks/*"), "no landmarks .* use a `_detect` configuration"),
        (drop("*.avi"), f"{OTHER}: contains 0 videos"),
        (second_video, f"{OTHER}: contains 2 videos"),
        (
            drop("*Valence*"),
            f"no {OTHER}_Valence_AV_Aligned.csv; unpack the annotations of valence",
        ),
        (rename_annotation, "set annotation=A$"),
        (shorten, rf"{OTHER}\.avi: has 9 frames at 50 frames per second, but should have 20 "),
        (tear_points, r"000003\.txt: line 3: contains 3 numbers; expected x and y of 49 points"),
        (copy_points, "landmarks in both .*/landmarks and .*/more; remove one of the two"),
        (other_labels, "frames 4803 to 4822 match neither 0 to 19, .* different clip"),
    ],
)
def test_a_bad_clip_is_left_out_by_name_and_the_others_are_built(tmp_path, change, message):
    write_clip(tmp_path / "in")
    change(write_clip(tmp_path / "in", OTHER, start=0, numbers=range(COUNT)))
    facts, tracks = build_set(tmp_path, "sewa/96")
    assert set(tracks) == {NAME}
    assert re.search(message, facts["refused"][OTHER])
    assert "\n" not in facts["refused"][OTHER]


def test_trees_without_clips_are_refused(tmp_path):
    write_text(tmp_path / "in" / "SSL_C9_S055_P109_VC1_004803_004822" / "x.avi", "x")
    with pytest.raises(InputError, match="contains no folder such as SSL_C2_S055"):
        build("sewa", tmp_path / "data", tmp_path / "in")


def test_a_clip_that_lies_in_two_places_is_refused(tmp_path):
    (tmp_path / "in" / NAME).mkdir(parents=True)
    (tmp_path / "in" / "more" / NAME).mkdir(parents=True)
    with pytest.raises(
        InputError, match=f"more/{NAME}: also exists in .*in; remove one of the two"
    ):
        build("sewa", tmp_path / "data", tmp_path / "in")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("annotation=v", "annotation='v' is not one of A, V, AV"),
        ("repeats=half", "repeats='half' is not one of drop, keep"),
        ("dims=valence,liking", "dims=valence,liking: SEWA Basic has only valence, arousal"),
        ("faces=boxes", "faces='boxes' is not one of landmarks, detect"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, option, message):
    (tmp_path / NAME).mkdir()
    with pytest.raises(InputError, match=message):
        build("sewa", tmp_path / "data", tmp_path, options=[option])


def many_clips(root):
    """Write clips of six cultures with the same ids: six pairs, and one more partner of one."""
    for culture in range(1, 7):
        pairs = [(session, 2 * session + side) for session in range(1, 7) for side in (0, 1)]
        for session, participant in [*pairs, (7, 3), (7, 99)]:
            name = f"SVD_C{culture}_S{session:03d}_P{participant:03d}_VC1_000001_000100"
            (root / name).mkdir(parents=True)
            (root / name.replace("_000001_000100", "_000201_000300")).mkdir()
    return root


def drawn(tmp_path, root, **options):
    builder = builder_class("sewa")(data_dir=tmp_path, config="112", options=options)
    found = builder.recordings(root)
    return [each for split in found.values() for each in split]


@pytest.mark.parametrize(
    "options", [{"seed": seed} for seed in range(4)] + [{"folds": 5, "fold": n} for n in range(5)]
)
def test_people_and_sessions_stay_in_one_split_and_cultures_are_spread(tmp_path, options):
    recordings = drawn(tmp_path, many_clips(tmp_path / "in"), **options)
    assert len(recordings) == 6 * 14 * 2
    for key in ("subject_id", "session"):
        splits = {}
        for each in recordings:
            unit = each.details["session"] if key == "session" else each.subject_id
            splits.setdefault(unit, set()).add(each.split)
        assert all(len(each) == 1 for each in splits.values()), key
    cultures = {(each.split, each.group) for each in recordings}
    assert {group for split, group in cultures if split == "train"} == {
        f"C{n}" for n in range(1, 7)
    }
    assert {split for split, _ in cultures} == {"train", "dev", "test"}


def test_the_folds_test_every_clip_once(tmp_path):
    root = many_clips(tmp_path / "in")
    tested = []
    for fold in range(5):
        tested += [
            each.track_id
            for each in drawn(tmp_path, root, folds=5, fold=fold)
            if each.split == "test"
        ]
    assert sorted(tested) == sorted(path.name for path in root.iterdir())


def test_there_is_a_configuration_for_every_size_variant_and_fold():
    names = {config.name for config in builder_class("sewa").BUILDER_CONFIGS}
    assert {"112", "224", "96_detect", "224_fold4", "112_detect_fold0", "224_V_fold1"} <= names
    assert len(names) == 3 * 6 * 6
    assert next(iter(builder_class("sewa").BUILDER_CONFIGS)).name == "112"
