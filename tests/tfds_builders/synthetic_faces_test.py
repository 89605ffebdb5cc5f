"""Rendered faces: their expressions, their labels, and the best possible score."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import simplejpeg
import tensorflow_datasets as tfds

from tfds_builders import workers
from tfds_builders.raters import fuse_raters
from tfds_builders.synthetic_faces import behaviour, identity, raters, render
from tfds_builders.synthetic_faces.behaviour import UNITS, Behaviour, Motion
from tfds_builders.synthetic_faces.synthetic_faces_dataset_builder import (
    Builder,
    Observer,
    SyntheticFacesConfig,
    extract,
    panel,
    script,
)
from va_jax.types import CLIP_FRAMES, InputError, Track


def still(frames=1, **changes) -> Motion:
    """Return a face at rest: frontal, centred, evenly lit, seen by a camera without noise."""
    motion = Motion(
        units=np.zeros((frames, len(UNITS))),
        blink=np.zeros(frames),
        gaze=np.zeros((frames, 2)),
        pose=np.zeros((frames, 3)),
        place=np.zeros((frames, 3)),
        light=np.zeros((frames, 3)),
        hand=np.full((frames, 2), np.nan),
        present=np.ones(frames, bool),
        noise=0.0,
    )
    return motion._replace(**changes)


def showing(valence, arousal) -> Motion:
    levels = np.array([[valence, arousal]])
    weights = np.stack([behaviour.VALENCE_TO_UNITS, behaviour.AROUSAL_TO_UNITS])
    return still(units=levels @ weights)


def draw(who, motion, size=64):
    return render.render(who, motion, size, np.random.default_rng(0))


def person(number=0):
    return identity.identity(np.random.default_rng([77, number]))


def plan(name, folder="/nowhere", **options):
    builder = Builder(config=name, data_dir=folder, options=options)
    return builder.builder_config, builder.recordings(None)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    builder = Builder(config="tiny", data_dir=tmp_path_factory.mktemp("data"))
    builder.download_and_prepare()
    return tfds.builder_from_directory(builder.data_dir)


@pytest.fixture(scope="module")
def quickstart():
    """Return the config and the scripts of the default set, without pixels."""
    config, recordings = plan("quickstart")
    return config, {split: [script(r, config) for r in each] for split, each in recordings.items()}


def lag_of_peak(signals, labels, fps, longest_s=3.0):
    """Return the delay in seconds at which labels agree best with earlier signals."""

    def agreement(lag):
        pairs = zip(signals, labels, strict=True)
        return sum(((s - s.mean())[: len(s) - lag] * (y - y.mean())[lag:]).mean() for s, y in pairs)

    return max(range(int(longest_s * fps)), key=agreement) / fps


@pytest.mark.parametrize("lag_s", [0.2, 0.6, 1.4])
def test_fused_labels_follow_the_latent_by_the_lag_and_the_response(lag_s):
    constants, fps = Behaviour(lag_s=lag_s), 25.0
    latents, labels = [], []
    team = raters.draw_panel(np.random.default_rng(1), constants)
    for number in range(24):
        rng = np.random.default_rng([2, number])
        latent = behaviour.simulate(rng, 1500, fps, constants)
        ratings = raters.rate(rng, latent, team, constants)
        for d in range(2):
            latents.append(latent.at_frames(latent.values)[:, d])
            labels.append(fuse_raters(ratings[..., d]))
    assert lag_of_peak(latents, labels, fps) == pytest.approx(
        lag_s + constants.response_s, abs=0.09
    )


def test_a_rater_without_noise_reports_the_delayed_latent_up_to_gain_and_bias():
    constants = Behaviour(rater_drift=0.0, response_s=1e-3, raters=3)
    rng = np.random.default_rng(0)
    latent = behaviour.simulate(rng, 200, 10.0, constants)
    team = raters.draw_panel(rng, constants)
    # a response of almost no time still takes one grid step
    grid = latent.values[: -round(constants.lag_s / latent.step_s) - 1]
    delayed = grid[::-1][latent.every - 1 :: latent.every][:200][::-1]
    expected = team.gain[:, None] * delayed + team.bias[:, None]
    np.testing.assert_allclose(raters.rate(rng, latent, team, constants), expected, atol=1e-9)


def test_the_latent_has_the_documented_range_and_correlation_time():
    constants = Behaviour()
    latent = behaviour.simulate(np.random.default_rng(3), 200_000, 10.0, constants)
    assert np.abs(latent.values).max() < 1
    valence = np.arctanh(latent.at_frames(latent.values)[:, 0])
    valence = (valence - valence.mean()) / valence.std()
    lags = range(1, 200)
    tail = sum(float(np.mean(valence[:-lag] * valence[lag:])) for lag in lags)
    assert (0.5 + tail) / 10 == pytest.approx(constants.latent_s, rel=0.15)


def test_mouth_corners_rise_and_pixels_change_with_valence():
    who = person()
    heights = [render.landmarks(who, showing(v, 0.0))[0, 3:, 1] for v in (-1, -0.5, 0, 0.5, 1)]
    assert np.all(np.diff(heights, axis=0) < -0.01)  # y points down
    sad, glad = (draw(who, showing(v, 0.0))[0].astype(int) for v in (-0.8, 0.8))
    changed = np.abs(sad - glad).max(-1) > 40
    assert changed[32:].sum() > 20


def test_eyes_open_with_arousal():
    who = dataclasses.replace(person(), glasses="", hair_style="crop")
    x, y = render.landmarks(who, still())[0, 1]
    rows = slice(int((y - 0.1) * 64), int((y + 0.1) * 64))
    columns = slice(int((x - 0.1) * 64), int((x + 0.1) * 64))
    calm, awake = (draw(who, showing(0.0, a))[0, rows, columns].astype(int) for a in (-0.9, 0.9))
    assert np.abs(calm - awake).max(-1).mean() > 10


def test_identities_differ_at_the_same_expression():
    faces = np.stack([draw(person(n), still())[0].astype(float) for n in range(6)])
    gaps = [np.abs(a - b).mean() for i, a in enumerate(faces) for b in faces[:i]]
    assert min(gaps) > 10


def test_resting_faces_differ_about_as_much_as_expressions():
    config, _ = plan("quickstart")
    people = [identity.identity(np.random.default_rng([config.seed, 0, n])) for n in range(100)]
    resting = config.neutral_spread * np.std([who.neutral for who in people], axis=0)
    latent = behaviour.simulate(np.random.default_rng(0), 20_000, 10.0, config).values
    weights = np.stack([behaviour.VALENCE_TO_UNITS, behaviour.AROUSAL_TO_UNITS])
    ratio = resting / (latent @ weights).std(0)
    assert np.all((ratio > 0.4) & (ratio < 2.5))


def test_heads_move_more_when_arousal_is_high():
    constants = Behaviour()
    rng = np.random.default_rng(5)
    latent = behaviour.simulate(rng, 20_000, 10.0, constants)
    motion = behaviour.perform(rng, latent, np.zeros(len(UNITS)), constants)
    speed = np.abs(np.diff(motion.pose, axis=0)).sum(1)
    arousal = latent.at_frames(latent.values)[1:, 1]
    assert speed[arousal > 0.4].mean() > 1.8 * speed[arousal < -0.4].mean()


def test_landmarks_move_with_the_face():
    who = person()
    shift = np.array([[0.05, -0.03, 0.0]])
    moved = render.landmarks(who, still(place=shift)) - render.landmarks(who, still())
    np.testing.assert_allclose(moved, np.broadcast_to(shift[:, None, :2], moved.shape), atol=1e-12)
    left, right, nose = render.landmarks(who, still())[0, :3]
    assert left[0] < nose[0] < right[0]
    assert nose[1] > left[1]
    turned = render.landmarks(who, still(pose=np.array([[0.3, 0, 0]])))[0, 2]
    assert turned[0] > nose[0] + 0.03


def test_eye_landmarks_lie_on_the_pupils():
    who = dataclasses.replace(person(1), skin=np.full(3, 230.0), glasses="", hair_style="bald")
    motion = still(place=np.array([[0.04, 0.02, 0.05]]))
    image = draw(who, motion, 96)[0].mean(-1)
    for x, y in render.landmarks(who, motion)[0, :2]:
        assert image[int(y * 96), int(x * 96)] < 90


def test_an_absent_face_leaves_only_the_background():
    who, absent = person(), np.zeros(1, bool)
    empty = draw(who, still(present=absent))
    np.testing.assert_array_equal(empty, draw(who, showing(0.9, 0.9)._replace(present=absent)))
    assert np.abs(empty.astype(int) - draw(who, still())).max() > 60


def test_a_hand_hides_the_face_only_at_its_middle():
    hand = np.array([[np.nan, np.nan], [0.5, 0.55], [0.7, 0.85], [0.5, 0.55]])
    motion = still(4, hand=hand, present=np.array([True, True, True, False]))
    np.testing.assert_array_equal(behaviour.face_shown(motion), [True, False, True, False])
    known = np.isfinite(render.landmarks(person(), motion)).all((1, 2))
    np.testing.assert_array_equal(known, [True, False, True, False])
    clean, covered, aside = draw(person(), motion._replace(present=np.ones(4, bool)))[:3]
    assert (clean != covered).any()
    assert (clean != aside).any()


def test_a_recording_depends_on_seed_config_and_number_alone():
    config, recordings = plan("tiny")
    again, same = plan("tiny", test=5, recordings=2)
    one, other = recordings["train"][3], same["train"][3]
    for a, b in zip(
        extract(one, config, Counter())[1], extract(other, again, Counter())[1], strict=True
    ):
        assert a.frames == b.frames
        np.testing.assert_array_equal(a.target, b.target)
    reseeded = dataclasses.replace(config, seed=1)
    assert np.abs(script(one, config).target - script(one, reseeded).target).max() > 0.1


def test_splits_share_no_subject_and_no_face():
    for name in ("tiny", "quickstart", "large"):
        _, recordings = plan(name)
        subjects = [{r.subject_id for r in each} for each in recordings.values()]
        assert len(set.union(*subjects)) == sum(map(len, subjects))
        numbers = [r.details["number"] for each in recordings.values() for r in each]
        assert len(set(numbers)) == len(numbers)


@pytest.mark.slow
def test_the_ceiling_of_the_default_set_is_high_but_below_one(quickstart):
    _, scripts = quickstart
    observer = Observer.fit(scripts["train"])
    for split in scripts:
        for value in observer.ccc(scripts[split]).values():
            assert 0.85 < value < 0.99


@pytest.mark.slow
def test_no_other_scale_or_offset_beats_the_ceiling_on_train(quickstart):
    _, scripts = quickstart
    best = Observer.fit(scripts["train"])
    top = best.ccc(scripts["train"])
    for factor, shift in ((0.9, 0.0), (1.1, 0.0), (1.0, 0.05), (1.0, -0.05)):
        other = Observer(best.scale * factor, best.offset + shift).ccc(scripts["train"])
        assert all(other[dim] < top[dim] for dim in top)


def test_the_ceiling_can_be_recomputed_from_the_records(tiny):
    config, recordings = plan("tiny")
    truth = tiny.info.metadata["truth"]
    predictions, labels = [], []
    records = iter(tiny.as_data_source("test"))
    for each in recordings["test"]:
        signal = script(each, config).perceived[:, 0]
        rows = [next(records) for _ in range(-(-len(signal) // CLIP_FRAMES))]
        face = np.concatenate([row["face"] for row in rows])
        labels.append(np.concatenate([row["target"] for row in rows])[face, 0])
        scale, offset = (truth[f"observer_{key}"]["valence"] for key in ("scale", "offset"))
        predictions.append(scale * signal[face] + offset)
    pred, labels = np.concatenate(predictions), np.concatenate(labels)
    covariance = np.cov(pred, labels, bias=True)
    gap = (pred.mean() - labels.mean()) ** 2
    ccc = 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + gap)
    assert tiny.info.metadata["ceiling"]["test"]["valence"] == pytest.approx(ccc, abs=1e-6)
    assert np.shape(truth["rater_gain"]) == panel(config).gain.shape


def test_records_follow_the_schema(tiny):
    facts = tiny.info.metadata
    config = SyntheticFacesConfig(name="tiny")
    assert facts["dims"] == ["valence", "arousal"]
    faceless = 0
    for split, rows in facts["tracks"].items():
        source = tiny.as_data_source(split)
        tracks = [Track(**row) for row in rows]
        assert {track.frames for track in tracks} == {70, 45}
        assert {track.group for track in tracks} <= {"glasses", "no_glasses"}
        for track in tracks:
            clips = [source[track.first_record + n] for n in range(track.records)]
            assert [clip["first_frame"] for clip in clips] == [32 * n for n in range(len(clips))]
            assert sum(len(clip["frames"]) for clip in clips) == track.frames
            for clip in clips:
                n = len(clip["frames"])
                assert clip["target"].shape == (n, 2)
                assert np.all(np.abs(clip["target"]) <= 1)
                assert clip["landmarks"].shape == (n, 5, 2)
                known = np.isfinite(clip["landmarks"]).all((1, 2))
                np.testing.assert_array_equal(known, clip["face"])
                np.testing.assert_allclose(
                    clip["time_s"], (clip["first_frame"] + np.arange(n)) / config.fps, rtol=1e-6
                )
                assert simplejpeg.decode_jpeg(bytes(clip["frames"][0])).shape == (32, 32, 3)
                faceless += int((~clip["face"]).sum())
        assert len(source) == sum(track.records for track in tracks)
    assert faceless > 0


@pytest.mark.slow
def test_two_processes_build_the_same_set_as_one(tiny, tmp_path):
    Builder(config="tiny", data_dir=tmp_path, run=workers.processes(2)).download_and_prepare()
    other = tfds.builder_from_directory(next(tmp_path.glob("synthetic_faces/tiny/*.*.*")))
    assert other.info.metadata == tiny.info.metadata
    pairs = zip(tiny.as_data_source("train"), other.as_data_source("train"), strict=True)
    for a, b in pairs:
        assert list(a["frames"]) == list(b["frames"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lengths": ("long",)}, "lengths="),
        ({"lengths": (1,)}, "lengths="),
        ({"size": 8}, "size=8"),
        ({"fps": 0.0}, "fps=0.0"),
        ({"train": 0}, "train=0"),
        ({"lag_s": 20.0}, "lag_s=20.0"),
    ],
)
def test_impossible_options_are_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        SyntheticFacesConfig(name="bad", **options)


def careless_scripts(name, split):
    config, recordings = plan(name)
    return config, [script(each, config) for each in recordings[split][:12]]


def test_a_careless_rater_changes_labels_only_in_part_of_the_time_and_no_faces():
    config, careless = careless_scripts("careless_rater", "train")
    _, careful = careless_scripts("careful_raters", "train")
    for one, other in zip(careless, careful, strict=True):
        for a, b in zip(one.motion, other.motion, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(one.perceived, other.perceived)
    same = np.concatenate([a.spread == b.spread for a, b in zip(careless, careful, strict=True)])
    assert 1 - same.mean() == pytest.approx(config.careless_share, abs=0.12)
    spreads = [np.concatenate([each.spread for each in s]) for s in (careless, careful)]
    assert spreads[0][~same].mean() > 2 * spreads[1][~same].mean()


def test_a_noise_free_split_is_labelled_with_what_a_rater_without_noise_perceives():
    config, scripts = careless_scripts("careless_rater", "test")
    assert config.noise_free == ("test",)
    for scene in scripts:
        np.testing.assert_array_equal(scene.target, scene.perceived.astype(np.float32))
        assert scene.spread is None


def test_raters_are_stored_only_on_request(tmp_path, tiny):
    assert "spread" not in tiny.info.features
    assert "rater_agreement" not in tiny.info.metadata
    builder = Builder(config="tiny", data_dir=tmp_path, options={"keep_raters": True})
    builder.download_and_prepare()
    rated = tfds.builder_from_directory(builder.data_dir)
    assert rated.info.metadata["split_hash"] == tiny.info.metadata["split_hash"]
    assert rated.info.metadata["rater_agreement"]["dev"]["arousal"]["raters"] == 6
    one, other = (next(iter(each.as_data_source("dev"))) for each in (tiny, rated))
    spread = other.pop("spread")
    assert spread.shape == one["target"].shape
    assert (spread > 0).all()
    for key, value in one.items():
        np.testing.assert_array_equal(other[key], value)


@pytest.mark.parametrize(
    "options", [{"careless": 4}, {"careless_share": 1.0}, {"noise_free": ("x",)}]
)
def test_impossible_raters_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        plan("careless_rater", **options)
