"""The spread between raters in records: joined like the labels, and only if there are raters."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.tfds_builders.layouts import build, write_crops, write_text
from tests.tfds_builders.toy import build_toy
from va_jax.data import sources

TIMES = np.arange(5) * 0.5
"""Times of labels at 2 Hz; the crops come at 25 Hz."""


def ratings(seed):
    """Return the values of three raters, [raters, rows], rounded as in a file."""
    return np.round(np.random.default_rng(seed).uniform(-0.9, 0.9, (3, len(TIMES))), 3)


def csv_of(valence, arousal):
    names = [f"{dim}_{r}" for dim in ("valence", "arousal") for r in (1, 2, 3)]
    rows = zip(TIMES, *valence, *arousal, strict=True)
    lines = [",".join("" if cell != cell else f"{cell:g}" for cell in row) for row in rows]
    return "\n".join([",".join(["time_s", *names]), *lines]) + "\n"


@pytest.fixture
def folder(tmp_path):
    """Write two recordings: one with three raters, one with a single rater."""
    valence, arousal = ratings(0), ratings(1)
    valence[1:, 2] = np.nan  # two raters skipped a row
    write_text(tmp_path / "in" / "a.csv", csv_of(valence, arousal))
    write_text(tmp_path / "in" / "b.csv", "time_s,valence,arousal\n0,.1,.1\n.5,.2,.2\n1,.1,.2\n")
    for name in "ab":
        write_crops(tmp_path / "in" / name, range(51 if name == "a" else 26), size=96)
    listing = "video,labels,split\na,a.csv,train\nb,b.csv,train\n"
    write_text(tmp_path / "in" / "videos.csv", listing)
    return tmp_path


def opened(folder, *options):
    build("video_folder/96", folder / "data", folder / "in", options=options, overwrite=True)
    source = sources.open_split(str(folder / "data"), "video_folder/96", "train")
    facts = sources.metadata(str(folder / "data"), "video_folder/96")
    return facts, {t.track_id: source.labels(i) for i, t in enumerate(source.tracks)}, source


def test_the_spread_is_joined_to_the_frames_like_the_labels(folder):
    _, labels, source = opened(folder)
    frame_s = np.arange(51) / 25
    for dim, seed in ((0, 0), (1, 1)):
        between = np.std(ratings(seed), axis=0, ddof=1)
        expected = np.interp(frame_s, TIMES, between)
        known = np.ones(51, bool)
        if dim == 0:  # the row without a spread leaves half a step on either side to its neighbours
            known = np.abs(frame_s - TIMES[2]) >= 0.25
            held = known & (np.abs(frame_s - TIMES[2]) < 0.5)
            nearest = np.rint(frame_s / 0.5).astype(int)
            expected = np.where(held, between[nearest], expected)
        found = labels["a"].spread[:, dim]
        sure = np.abs(np.abs(frame_s - TIMES[2]) - 0.25) > 1e-6  # halfway, either row is nearest
        np.testing.assert_array_equal(np.isfinite(found[sure]), known[sure])
        np.testing.assert_allclose(found[known & sure], expected[known & sure], atol=1e-6)
    np.testing.assert_array_equal(
        source.read(0, np.array([3, 40, 50]), np.zeros((3, 96, 96, 3), np.uint8)).spread,
        labels["a"].spread[[3, 40, 50]],
    )


def test_a_recording_of_a_single_rater_has_no_spread_and_metadata_average_the_others(folder):
    facts, labels, _ = opened(folder)
    assert np.isnan(labels["b"].spread).all()
    assert np.isfinite(labels["b"].target).all()
    spread = labels["a"].spread.astype(np.float64)
    found = facts["rater_spread"]["train"]
    np.testing.assert_allclose([*found.values()], np.nanmean(spread, axis=0), rtol=1e-9)
    assert list(found) == ["valence", "arousal"]
    agreement = facts["rater_agreement"]["train"]["valence"]
    assert (agreement["raters"], agreement["recordings"]) == (3, 1)


def test_the_spread_is_on_the_scale_of_the_stored_labels(folder):
    _, narrow, _ = opened(folder)
    _, wide, _ = opened(folder, "label_range=-2,2")
    np.testing.assert_allclose(2 * wide["a"].spread, narrow["a"].spread, rtol=1e-5)


def test_a_set_of_single_raters_stores_no_spread(folder):
    listing = "video,labels,split\nb,b.csv,train\n"
    write_text(folder / "in" / "videos.csv", listing)
    facts, labels, source = opened(folder)
    assert "rater_spread" not in facts
    assert labels["b"].spread is None
    assert source.spread == {}


def test_records_without_a_spread_have_no_field_for_it(tmp_path):
    reader = tfds.builder_from_directory(build_toy(tmp_path))
    assert "spread" not in reader.info.features
    assert "spread" not in reader.info.metadata
