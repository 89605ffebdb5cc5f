"""Landmarks move with their pixels, are mirrored with the face, and are 0 where unknown."""

import dataclasses
import types

import numpy as np
import pytest

from tests import fakes
from tests.data.pipeline_test import AUGMENT, PLAIN, config_of, read_one, take
from tfds_builders import parts
from va_jax.data import eval_plan, pipeline, sources, windows
from va_jax.data.landmarks import MIRROR, move
from va_jax.data.pipeline import TrainingData
from va_jax.data.transforms import Geometry, draw, warp
from va_jax.faces.crop import five_points
from va_jax.types import InputError

STORED = 64  # side of the drawn images, pixels


def symmetrical_face():
    """68 points in the order of 300-W, x to the right and y down, mirrored about x = 0."""

    def around(x, y, radius, count):
        """Clockwise as seen, from the left."""
        angle = np.pi - 2 * np.pi * np.arange(count) / count
        return [x, y] + radius * np.stack([np.cos(angle), -np.sin(angle)], 1)

    turn = np.linspace(0, np.pi, 17)
    jaw = np.stack([-np.cos(turn), np.sin(turn)], 1)
    brow_x = np.array([-0.8, -0.7, -0.5, -0.3, -0.2, 0.2, 0.3, 0.5, 0.7, 0.8])
    brows = np.stack([brow_x, -0.7 + (abs(brow_x) - 0.5) ** 2], 1)
    bridge = np.stack([np.zeros(4), np.linspace(-0.4, 0, 4)], 1)
    nostrils = np.stack([np.linspace(-0.2, 0.2, 5), np.full(5, 0.1)], 1)
    eyes = [around(-0.45, -0.4, 0.15, 6), around(0.45, -0.4, 0.15, 6)]
    mouth = [around(0, 0.5, 0.3, 12), around(0, 0.5, 0.2, 8)]
    return np.concatenate([jaw, brows, bridge, nostrils, *eyes, *mouth])


def faces():
    whole = symmetrical_face()
    inner = np.delete(whole, [*range(17), 60, 64], axis=0)
    return {68: whole, 49: inner, 5: five_points(whole)}


@pytest.mark.parametrize("points", [68, 49, 5])
def test_a_point_and_its_mirror_image_lie_opposite_each_other(points):
    face = faces()[points]
    distance = np.linalg.norm(face[:, None] * [-1, 1] - face[None], axis=-1)
    np.testing.assert_allclose(distance.min(1), 0, atol=1e-12)
    np.testing.assert_array_equal(MIRROR[points], distance.argmin(1))


@pytest.mark.parametrize("points", [68, 49, 5])
def test_the_mirror_image_of_a_mirror_image_is_the_point(points):
    np.testing.assert_array_equal(MIRROR[points][MIRROR[points]], np.arange(points))


def blob(x, y):
    """A frame that is black but for a blob at (x, y), in units of its side."""
    centres = (np.arange(STORED) + 0.5) / STORED
    square = ((centres[:, None] - y) ** 2 + (centres[None] - x) ** 2) * STORED**2
    return np.repeat(np.round(250 * np.exp(-square / 8))[..., None], 3, -1).astype(np.uint8)


def centroid(frame):
    """Of the brightness; x and y from -1 to 1."""
    weight = frame[..., 0].astype(float)
    centres = 2 * (np.arange(len(frame)) + 0.5) / len(frame) - 1
    return np.array([weight.sum(0) @ centres, weight.sum(1) @ centres]) / weight.sum()


@pytest.mark.parametrize("size", [STORED, 40, 96])
@pytest.mark.parametrize(
    "only",
    [
        {"flip": True},
        {"crop": 0.6},
        {"rotation_deg": 40.0},
        {"flip": True, "crop": 0.8, "rotation_deg": 30.0},
    ],
)
def test_a_landmark_moves_with_its_pixels(size, only):
    settings = dataclasses.replace(
        AUGMENT, **{"flip": False, "crop": 1.0, "rotation_deg": 0.0} | only
    )
    compared = flipped = 0
    for seed in range(20):
        rng = np.random.default_rng([seed, size])
        points = rng.uniform(0.15, 0.85, (5, 2)).astype(np.float32)
        frames = np.stack([blob(*point) for point in points])  # frame p shows point p alone
        geometry, _ = draw(np.random.default_rng(seed), settings)
        out = warp(frames, size, geometry)
        moved = move(np.repeat(points[None], 5, 0), np.ones(5, bool), geometry)
        for shown, frame in enumerate(out):
            rim = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]])
            if frame.max() < 100 or rim.max() > 2:
                continue  # the blob was cut off
            index = [1, 0, 2, 4, 3][shown] if geometry.flip else shown
            gap_pixels = (moved[shown, index] - centroid(frame)) * size / 2
            assert np.abs(gap_pixels).max() < 0.2
            compared += 1
        flipped += geometry.flip
    assert compared > 50
    assert (flipped > 0) == settings.flip


def test_unknown_points_and_frames_without_a_face_give_zeros():
    points = np.full((3, 5, 2), 0.75, np.float32)
    points[0, 3, 1] = np.nan
    face = np.array([True, False, True])
    expected = np.full((3, 5, 2), 0.5)
    expected[0, 3], expected[1] = 0, 0
    np.testing.assert_array_equal(move(points, face, Geometry()), expected)
    expected[..., 0] *= -1
    expected[0, [3, 4]] = expected[0, [4, 3]]
    np.testing.assert_array_equal(move(points, face, Geometry(flip=True)), expected)


@pytest.mark.parametrize("stride", [1, 3])
def test_a_window_holds_the_landmarks_of_its_frames_and_zeros_elsewhere(stride):
    source = fakes.source(landmarks=68, faceless={(1, 40)}, unplaced={(1, 37, 5), (0, 37, 6)})
    item = read_one(source, windows.Window(1, 34), stride)
    assert item["landmarks"].shape == (16, 68, 2)
    assert item["landmarks"].dtype == np.float32
    for number, points in zip(34 + stride * np.arange(16), item["landmarks"], strict=True):
        expected = 2 * np.array([fakes.place(1, number, p) for p in range(68)]) - 1
        if number >= 45 or number == 40:
            expected[:] = 0
        elif number == 37:
            expected[5] = 0
        np.testing.assert_allclose(points, expected, atol=1e-6)


@pytest.mark.parametrize("size", [16, 24])
def test_evaluation_batches_only_change_the_unit_of_landmarks(size):
    source = fakes.source(landmarks=5)
    plan = [step.read for step in eval_plan.plan_whole_tracks(source.tracks, 4, 16, 1)]
    batches = pipeline.evaluation_batches(source, plan, pipeline.WindowShape(16, 1, size), 2)
    for items, batch in zip(plan, batches, strict=True):
        for row, window in enumerate(items):
            np.testing.assert_array_equal(
                batch["landmarks"][row], read_one(source, window)["landmarks"]
            )


def test_a_training_batch_moves_landmarks_as_it_moves_its_frames():
    """A rotation keeps distances to the centre; the test above checks its direction."""
    source = fakes.source(landmarks=5)
    plain, turned = (
        take(TrainingData(source, config_of(settings)).batches(0, 1), 4)
        for settings in (PLAIN, dataclasses.replace(PLAIN, rotation_deg=30.0))
    )
    for still, moved in zip(plain, turned, strict=True):
        radii = (np.linalg.norm(batch["landmarks"], axis=-1) for batch in (still, moved))
        np.testing.assert_allclose(*radii, atol=1e-6)
        assert (still["landmarks"] != moved["landmarks"])[still["face"]].any(-1).all()
        assert (moved["landmarks"][~still["face"]] == 0).all()


def test_without_landmarks_a_batch_has_the_rest_and_no_such_key():
    with_points, without = (
        next(TrainingData(fakes.source(landmarks=n), config_of()).batches(0, 1)) for n in (5, 0)
    )
    assert with_points.keys() - without.keys() == {"landmarks"}
    for key, values in without.items():
        np.testing.assert_array_equal(values, with_points[key])


def test_landmarks_are_read_only_on_request(tiny_data):
    name = "synthetic_faces/tiny"
    without, source = (
        sources.open_split(str(tiny_data), name, "train", landmarks=n) for n in (0, 5)
    )
    assert (without.landmarks, source.landmarks) == (0, 5)
    assert without.labels(0).landmarks is None
    labels = source.labels(0)
    assert labels.landmarks.shape == (source.tracks[0].frames, 5, 2)
    np.testing.assert_array_equal(labels.face, np.isfinite(labels.landmarks).all((1, 2)))
    images = np.empty((3, source.size, source.size, 3), np.uint8)
    numbers = np.array([2, 31, 33])
    np.testing.assert_array_equal(
        source.read(0, numbers, images).landmarks, labels.landmarks[numbers]
    )


def test_another_number_of_landmarks_than_the_stored_one_is_refused(tiny_data, monkeypatch):
    name = "synthetic_faces/tiny"
    line = f"model.landmark_points=68, but data set '{name}' contains %s model.landmarks='none'"
    with pytest.raises(InputError) as refusal:
        sources.open_split(str(tiny_data), name, "train", landmarks=68)
    assert str(refusal.value) == line % "5 landmarks per frame; set model.landmark_points=5 or"
    info = types.SimpleNamespace(
        metadata={"tracks": {"train": []}}, features=parts.features(("valence", "arousal"), 0)
    )
    monkeypatch.setattr(sources, "_builder", lambda _: types.SimpleNamespace(info=info))
    with pytest.raises(InputError) as refusal:
        sources.open_split(str(tiny_data), name, "train", landmarks=68)
    assert str(refusal.value) == line % "no landmarks per frame; set"


def test_flipping_points_of_an_unknown_order_is_refused():
    source = fakes.source(landmarks=21)
    with pytest.raises(InputError, match=r"augment.flip=True.* 21 landmarks .*5, 49, 68.*False"):
        TrainingData(source, config_of())
    batch = next(TrainingData(source, config_of(PLAIN)).batches(0, 1))
    assert batch["landmarks"].shape == (4, 16, 21, 2)
