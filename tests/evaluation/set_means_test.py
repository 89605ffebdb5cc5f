"""Means of scores over data sets, and their intervals."""

import numpy as np
import pytest

from va_jax.evaluation import bootstrap, score_table
from va_jax.evaluation.metrics import METRICS
from va_jax.evaluation.set_means import mean_over_sets
from va_jax.types import Trace, Track

DIMS = ("valence", "arousal")


def traces(recordings, seed, noise=0.3):
    """Recordings of 40 frames whose predictions are the labels with noise."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(recordings):
        target = np.clip(rng.normal(rng.normal(0, 0.3), 0.2, (40, 2)), -1, 1).astype(np.float32)
        pred = (target + rng.normal(0, noise, target.shape)).astype(np.float32)
        face, time_s = rng.random(40) < 0.9, np.arange(40, dtype=np.float32)
        track = Track(str(number), str(number), str(number), "", 1.0, 40, 0)
        found.append(Trace(track, pred, target, face, time_s))
    return found


def scored(*sets):
    return [(each, [trace.pred for trace in each]) for each in sets]


def pooled(each):
    table = score_table.scores(each, [t.pred for t in each], DIMS, resamples=bootstrap.RESAMPLES)
    return {dim: table[dim]["pooled"] for dim in DIMS}


def test_each_set_counts_equally_however_many_frames_it_has():
    small, large = traces(5, 0), traces(30, 1, noise=0.8)
    found = mean_over_sets(scored(small, large), DIMS)
    for dim in DIMS:
        for metric in METRICS:
            expected = np.mean([pooled(each)[dim][metric] for each in (small, large)])
            assert found[dim][metric] == pytest.approx(expected)


def test_the_interval_of_the_mean_of_one_set_is_that_of_the_set():
    one = traces(12, 3)
    found = mean_over_sets(scored(one), DIMS)
    for dim in DIMS:
        for metric in METRICS:
            assert found[dim]["interval"][metric] == pytest.approx(
                pooled(one)[dim]["interval"][metric]
            )


def test_the_interval_of_the_mean_of_independent_sets_is_narrower_than_theirs():
    sets = [traces(20, seed) for seed in range(4)]
    low, high = mean_over_sets(scored(*sets), DIMS)["valence"]["interval"]["ccc"]
    own = [pooled(each)["valence"]["interval"]["ccc"] for each in sets]
    widths = [end - start for start, end in own]
    assert high - low == pytest.approx(np.mean(widths) / 2, rel=0.25)  # four sets: half as wide


def test_there_is_no_interval_if_a_set_has_too_few_recordings():
    found = mean_over_sets(scored(traces(20, 0), traces(bootstrap.FEWEST - 1, 1)), DIMS)
    assert all(found[dim]["interval"] is None for dim in DIMS)
