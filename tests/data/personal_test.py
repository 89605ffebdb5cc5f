"""The frames of a subject are divided by time, exactly once, and read with their own labels."""

import dataclasses

import numpy as np
import pytest

from va_jax.config import Data, defaults, parse
from va_jax.data import personal
from va_jax.data.features import FeatureSource
from va_jax.data.sources import Labels, Source
from va_jax.types import CLIP_FRAMES, InputError, Track

FPS = 8.0  # a clip is 4 s long
DATA = Data(name="set", subject="ann", subject_minutes=1.0)


def columns(tracks, unlabelled=()):
    """Labels of all frames of all tracks; the label of a frame is its place among them."""
    frames = sum(track.frames for track in tracks)
    target = np.repeat(np.arange(frames, dtype=np.float32)[:, None], 2, 1)
    target[list(unlabelled)] = np.nan
    times = np.concatenate([np.arange(track.frames) / FPS for track in tracks])
    return Labels(target, np.ones(frames, bool), times.astype(np.float32))


def subject_tracks(*lengths, subject="ann"):
    tracks, record = [], 0
    for number, frames in enumerate(lengths):
        name = f"{subject}{number}"
        tracks.append(Track(name, name, subject, "", FPS, frames, record))
        record += -(-frames // CLIP_FRAMES)
    return tracks


def frame_source(tracks, unlabelled=()):
    labels, records, start = columns(tracks, unlabelled), [], 0
    for track in tracks:
        for first in range(0, track.frames, CLIP_FRAMES):
            rows = slice(start + first, start + min(first + CLIP_FRAMES, track.frames))
            images = np.full((rows.stop - rows.start, 2, 2, 3), 7, np.uint8)
            fields = dict(zip(("target", "face", "time_s"), labels[:3], strict=True))
            records.append({"frames": images} | {k: v[rows] for k, v in fields.items()})
        start += track.frames
    return Source(
        lambda numbers: [records[n] for n in numbers], tracks, ("valence", "arousal"), size=2
    )


def feature_source(tracks, unlabelled=()):
    labels = columns(tracks, unlabelled)
    first = np.cumsum([0, *(track.frames for track in tracks)])[:-1].tolist()
    dims = ("valence", "arousal")
    return FeatureSource(tracks, dims, 2, 2, labels.target, None, labels, first)


def numbers_of(source, tracks):
    view = source.with_tracks(tracks)
    return [int(n) for i in range(len(tracks)) for n in view.labels(i).target[:, 0]]


@pytest.mark.parametrize("make", [frame_source, feature_source])
def test_the_first_minutes_are_train_and_dev_and_the_rest_is_test(make):
    source = make(subject_tracks(20 * CLIP_FRAMES))  # 80 s
    parts = personal.divide(source, DATA)
    train, dev, test = (numbers_of(source, each) for each in parts)
    assert train == [*range(12 * CLIP_FRAMES)]  # clips that start before 45 s
    assert dev == [*range(13 * CLIP_FRAMES, 15 * CLIP_FRAMES)]  # before 60 s, without a gap
    assert test == [*range(16 * CLIP_FRAMES, 20 * CLIP_FRAMES)]


@pytest.mark.parametrize("make", [frame_source, feature_source])
def test_no_frame_is_in_two_parts_and_only_gaps_are_left_out(make):
    tracks = subject_tracks(70, 300, 33, 500, 31)
    source = make(tracks)
    parts = personal.divide(source, dataclasses.replace(DATA, subject_minutes=0.9))
    numbers = [n for each in parts for n in numbers_of(source, each)]
    assert len(set(numbers)) == len(numbers)
    assert sum(t.frames for t in tracks) - len(numbers) <= 2 * CLIP_FRAMES
    assert {t.subject_id for each in parts for t in each} == {"ann"}


def test_unlabelled_frames_do_not_count_towards_the_minutes():
    half = range(0, 20 * CLIP_FRAMES, 2)
    source = frame_source(subject_tracks(20 * CLIP_FRAMES), unlabelled=half)
    parts = personal.divide(source, dataclasses.replace(DATA, subject_minutes=0.5))
    assert sum(track.frames for track in parts.train) == 12 * CLIP_FRAMES


def test_a_part_of_a_track_keeps_its_times_and_states_its_first_frame():
    source = frame_source(subject_tracks(20 * CLIP_FRAMES))
    (test,) = personal.divide(source, DATA).test
    assert test.track_id == f"ann0 from frame {16 * CLIP_FRAMES}"
    labels = source.with_tracks([test]).labels(0)
    assert labels.time_s[0] == 16 * CLIP_FRAMES / FPS


def test_other_subjects_are_left_out():
    tracks = subject_tracks(640, subject="ann")
    bob = [dataclasses.replace(t, first_record=20) for t in subject_tracks(640, subject="bob")]
    source = feature_source([*tracks, *bob])
    parts = personal.divide(source, dataclasses.replace(DATA, subject="bob"))
    assert min(numbers_of(source, parts.train)) == 640


@pytest.mark.parametrize("minutes", [0.01, 1.34, 20.0])
def test_too_few_labels_are_refused_with_the_subject_and_the_minutes(minutes):
    source = frame_source(subject_tracks(20 * CLIP_FRAMES))
    data = dataclasses.replace(DATA, subject_minutes=minutes)
    with pytest.raises(InputError, match=rf"subject_minutes={minutes:g}.* 1\.33 .*'ann'"):
        personal.divide(source, data)


def test_a_subject_in_no_split_or_in_two_is_refused():
    row = {"subject_id": "ann"}
    assert personal.split_of("ann", {"train": [], "test": [row, row]}) == "test"
    with pytest.raises(InputError, match=r"'ann'.*dev, test"):
        personal.split_of("ann", {"dev": [row], "test": [row]})
    with pytest.raises(InputError, match=r"'bob'.*only ann"):
        personal.split_of("bob", {"dev": [row]})


def test_the_metadata_are_those_of_the_parts():
    tracks = subject_tracks(20 * CLIP_FRAMES)
    source = frame_source(tracks, unlabelled=[0])
    facts = {
        "dims": ["valence", "arousal"],
        "tracks": {"train": [], "dev": [], "test": [t.to_json() for t in tracks]},
        "split_hash": "aa-bb",
        "ceiling": {"test": {}},
    }
    found = personal.metadata(facts, DATA, lambda split: source)
    assert [len(found["tracks"][split]) for split in ("train", "dev", "test")] == [1, 1, 1]
    mean = np.arange(1, 12 * CLIP_FRAMES, dtype=np.float64).mean()
    assert found["train_mean"] == {"valence": mean, "arousal": mean}
    assert found["split_hash"].endswith("-bb")
    assert "ceiling" not in found
    other = personal.metadata(
        facts, dataclasses.replace(DATA, subject_minutes=0.5), lambda split: source
    )
    assert other["split_hash"] != found["split_hash"]


def test_the_three_splits_must_differ():
    config = defaults()
    config.data.name, config.data.subject, config.data.test = "set", "ann", "dev"
    with pytest.raises(InputError, match=r"data\.test.*dev"):
        parse(config)
