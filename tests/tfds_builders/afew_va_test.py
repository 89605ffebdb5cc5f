"""AFEW-VA: labels join images by number, landmarks align the crops, actors share no split."""

import json

import cv2
import numpy as np
import pytest

from tests.tfds_builders.layouts import (
    build,
    build_set,
    picture,
    report_of,
    shown,
    write_text,
    write_video,
)
from tfds_builders.afew_va.afew_va_dataset_builder import Builder
from va_jax import faces
from va_jax.types import InputError
from va_jax.video import jpeg

WIDTH, HEIGHT = 96, 64


def face(x=48.0, y=32.0, side=24.0, roll=0.2):
    """Return 68 points around x, y: a jaw, a mouth and, `side` apart, two eyes; all rolled."""
    points = np.zeros((68, 2))
    points[:17] = [[np.cos(a), np.sin(a)] for a in np.linspace(np.pi, 0, 17)]
    points[17:36] = np.linspace([-0.6, -0.7], [0.6, 0.3], 19)
    ring = 0.1 * np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0, 2 * np.pi, 7)[:-1]])
    points[36:42], points[42:48] = ring - (0.5, 0.4), ring - (-0.5, 0.4)
    points[48:] = np.linspace([-0.3, 0.4], [0.3, 0.4], 20)
    turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    return np.round(side * points @ turn + [x, y], 3)


def frame(valence=0, arousal=0, points=None):
    points = face() if points is None else points
    return {"landmarks": points.tolist(), "valence": valence, "arousal": arousal}


def write_clip(folder, frames, images=(), actor="Someone", suffix=".png"):
    """Write a clip whose pictures encode their number; `frames` are by key. Return its JSON."""
    for number in images:
        data = cv2.imencode(suffix, picture(number, WIDTH, HEIGHT)[..., ::-1])[1].tobytes()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:05d}{suffix}").write_bytes(data)
    content = {"actor": actor, "frames": frames}
    return write_text(folder / f"{folder.name}.json", json.dumps(content))


@pytest.fixture
def tree(tmp_path):
    """Write clips of two parts, with and without quirks."""
    root = tmp_path / "in" / "AFEW-VA"
    values = {"00002": (-10, 10), "00000": (3, -7), "00005": (0, 1), "00001": (10, 9)}
    frames = {
        key: frame(*each, face(40 + 2 * int(key), roll=int(key) / 10))
        for key, each in values.items()
    }
    write_clip(root / "01" / "001", frames, [0, 1, 2, 3])  # no image 5, no label 3, 4
    flat = np.tile([7.0, 7.0], (68, 1))
    one_eyed = face()
    one_eyed[42:48] = one_eyed[36:42]
    odd = {"1": frame(1, 2), "02": frame(3, 4, flat), "003": frame(5, 6, one_eyed)}
    write_clip(root / "01" / "002", odd, [1, 2, 3], " Someone ELSE", ".jpg")
    write_clip(root / "12" / "600", {"00000": frame()}, [0], "someone  else")
    bad = {"00000": frame(), "00001": frame(11)}
    write_clip(root / "12" / "599", bad, [0, 1])
    write_clip(root / "12" / "598", {"00000": frame()}, [0]).unlink()
    write_text(root / "12" / "597" / "597.json", json.dumps({"actor": "", "frames": {}}))
    return root


def test_labels_join_images_by_number(tmp_path, tree):
    facts, tracks = build_set(tmp_path, "afew_va/96")
    row, track = tracks["001"]
    assert (row["frames"], row["fps"], row["subject_id"]) == (6, 25, "someone")
    nothing = [np.nan, np.nan]
    expected = [[0.3, -0.7], [1, 0.9], [-1, 1], nothing, nothing, [0, 0.1]]
    np.testing.assert_array_equal(track["target"], np.array(expected, np.float32))
    assert track["face"].tolist() == [True] * 3 + [False] * 3
    np.testing.assert_allclose(track["time_s"], np.arange(6) / 25, rtol=1e-6)
    line = report_of(tmp_path)["001"]
    assert (line["no_image"], line["no_place"], line["rows"]) == ("2", "1", "4")
    assert line["used"] == "3"
    assert facts["labels"] == {
        "source": "JSON of each clip",
        "range": [-10, 10],
        "join": "frame number",
    }
    assert facts["splits"] == {"drawn": True, "seed": 0, "folds": 0, "fold": 0}


def test_landmarks_align_the_crop_and_are_stored_in_its_units(tmp_path, tree):
    facts, tracks = build_set(tmp_path, "afew_va/96")
    _, track = tracks["001"]
    for number in range(3):
        points = face(40 + 2 * number, roll=number / 10)
        image = picture(number, WIDTH, HEIGHT)
        crop, matrix = faces.align(image, faces.five_points(points), 96)
        assert track["frames"][number] == jpeg.encode(crop)
        expected = (faces.transform_points(matrix, points) + 0.5) / 96
        np.testing.assert_allclose(track["landmarks"][number], expected, atol=1e-6)
        eyes = [track["landmarks"][number][part].mean(0) for part in (slice(36, 42), slice(42, 48))]
        mouth = track["landmarks"][number][[48, 54]].mean(0)
        assert eyes[0][1] == pytest.approx(eyes[1][1], abs=1e-4)
        np.testing.assert_allclose((np.mean(eyes, 0) + mouth) / 2, [0.5, 0.5], atol=1e-4)
        assert eyes[1][0] - eyes[0][0] == pytest.approx(0.5, abs=1e-4)  # half of the square
    assert np.isnan(track["landmarks"][3:]).all()
    assert facts["crop"]["source"] == "landmarks"
    held = (shown(track["frames"][4]), shown(track["frames"][5]))
    assert held == (shown(track["frames"][3]),) * 2


def test_landmarks_that_do_not_place_a_face_leave_the_frame_without_one(tmp_path, tree):
    _, tracks = build_set(tmp_path, "afew_va/96")
    row, track = tracks["002"]
    assert row["frames"] == 3  # numbers begin at 1, in JSON and images
    assert track["face"].tolist() == [True, False, False]
    expected = np.array([[1, 2], [3, 4], [5, 6]], np.float32) / np.float32(10)
    np.testing.assert_array_equal(track["target"], expected)
    assert report_of(tmp_path)["002"]["no_place"] == "2"


def test_the_case_and_blanks_of_an_actors_name_do_not_matter(tmp_path, tree):
    _, tracks = build_set(tmp_path, "afew_va/96")
    assert tracks["002"][0]["subject_id"] == tracks["600"][0]["subject_id"] == "someone else"
    assert tracks["002"][0]["split"] == tracks["600"][0]["split"]


def test_bad_clips_are_left_out_with_a_reason_and_the_others_are_built(tmp_path, tree):
    facts, tracks = build_set(tmp_path, "afew_va/96")
    assert set(tracks) == {"001", "002", "600"}
    assert "599.json: frame '00001': valence 11 is not a number from" in facts["refused"]["599"]
    assert "598.json: No such file" in facts["refused"]["598"]
    assert "597.json: contains no frames" in facts["refused"]["597"]
    with pytest.raises(InputError, match=r"59\d\.json"):
        build("afew_va/96", tmp_path / "other", tmp_path / "in", strict=True)


def test_the_detector_can_find_the_faces_instead(tmp_path):
    write_clip(tmp_path / "in" / "001", {"00000": frame(), "00002": frame(5, 5)}, [0, 1])
    options = ("faces=detect", "no_face=mask", "min_face=80")  # more than the picture is high
    facts, tracks = build_set(tmp_path, "afew_va/96", *options)
    row, track = tracks["001"]
    assert track["landmarks"].shape == (3, 5, 2)
    assert track["target"][2].tolist() == [0.5, 0.5]
    assert (row["frames"], facts["crop"]["source"]) == (3, "detect")


@pytest.mark.parametrize("place", ["01/{}", "AFEW-VA/{}", "{}", "AFEW-VA/AFEW-VA/07/{}"])
def test_clips_are_found_inside_and_outside_parts(tmp_path, place):
    for name in ("001", "002"):
        write_clip(tmp_path / "in" / place.format(name), {"00000": frame()}, [0], name)
    (tmp_path / "in" / ".cache").mkdir()
    found = Builder(data_dir=tmp_path / "data").scan(tmp_path / "in")
    assert [each.track_id for each in found] == ["001", "002"]
    assert [each.problem for each in found] == ["", ""]


def test_a_clip_in_two_places_and_a_tree_without_clips_are_refused(tmp_path):
    builder = Builder(data_dir=tmp_path / "data")
    (tmp_path / "in" / "empty").mkdir(parents=True)
    write_video(tmp_path / "in" / "other" / "film.mp4", 2)
    with pytest.raises(InputError, match=r"in: contains no clips such as 01/001/001\.json"):
        builder.scan(tmp_path / "in")
    for part in ("01", "02"):
        write_clip(tmp_path / "in" / part / "001", {"0": frame()}, [0])
    with pytest.raises(
        InputError, match=r"02/001: clip 001 also exists in .*01/001; remove one of the two"
    ):
        builder.scan(tmp_path / "in")


def test_the_actor_is_known_even_if_a_frame_is_bad(tmp_path, tree):
    found = Builder(data_dir=tmp_path / "data").scan(tmp_path / "in")
    subjects = {each.track_id: each.subject_id for each in found}
    assert (subjects["599"], subjects["598"], subjects["597"]) == ("someone", "598", "597")


def test_a_clip_without_an_actor_is_its_own_subject(tmp_path):
    for name in ("001", "002"):
        write_clip(tmp_path / "in" / name, {"0": frame()}, [0], actor=" ")
    found = Builder(data_dir=tmp_path / "data").scan(tmp_path / "in")
    assert [each.subject_id for each in found] == ["001", "002"]


def test_folds_share_no_actor_and_test_each_once(tmp_path):
    actors = [f"actor {n % 8}" for n in range(20)]
    for n, actor in enumerate(actors):
        write_clip(tmp_path / "in" / f"{n:03d}", {"0": frame()}, [0], actor)
    tested = []
    for fold in range(5):
        builder = Builder(data_dir=tmp_path / "data", config=f"96_fold{fold}")
        splits = builder.recordings(tmp_path / "in")
        subjects = {split: {each.subject_id for each in found} for split, found in splits.items()}
        assert set(subjects) == {"train", "dev", "test"}
        assert sum(map(len, subjects.values())) == len(set().union(*subjects.values())) == 8
        assert sum(map(len, splits.values())) == 20
        tested += subjects["test"]
    assert sorted(tested) == sorted(set(actors))


def test_configs_have_three_sizes_and_five_folds_and_store_68_points():
    names = [config.name for config in Builder.BUILDER_CONFIGS]
    folds = [f"{size}_fold{k}" for size in (112, 96, 224) for k in range(5)]
    assert sorted(names) == sorted(["112", "96", "224", *folds])
    assert names[0] == "112"
    assert {config.points for config in Builder.BUILDER_CONFIGS} == {68}
    assert Builder.expected == {"all": 600}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("fps=0", r"fps=0\.0 must be above 0"),
        ("dims=liking", "dims=liking: AFEW-VA has only valence, arousal"),
        ("faces=boxes", "faces='boxes' is not one of landmarks, detect"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, tree, option, message):
    with pytest.raises(InputError, match=message):
        build_set(tmp_path, "afew_va/96", option)
