"""The metrics table: aggregations, intervals, baselines, recordings."""

import json

import numpy as np
import pytest

from va_jax.evaluation.metrics import METRICS, Moments
from va_jax.evaluation.score_table import metrics_table, scores
from va_jax.types import Trace, Track

DIMS = ("valence", "arousal")


def trace(index, frames, group="", seed=None, fps=10.0):
    rng = np.random.default_rng(index if seed is None else seed)
    target = np.cumsum(rng.normal(size=(frames, 2)), 0).astype(np.float32) / 10
    pred = (0.6 * target + 0.1 * rng.normal(size=target.shape)).astype(np.float32)
    track = Track(f"t{index}", f"v{index}", f"s{index}", group, fps, frames, 0)
    times = (np.arange(frames) / fps).astype(np.float32)
    return Trace(track, pred, target, np.ones(frames, bool), times)


TRACES = [trace(0, 300, "a"), trace(1, 100, "b"), trace(2, 200, "a")]


def ccc(*traces):
    joined = [np.concatenate([getattr(t, key) for t in traces]) for key in ("pred", "target")]
    return Moments.of(*joined, np.ones(len(joined[0]), bool)).ccc()


def test_every_aggregation_is_what_its_name_says():
    table = scores(TRACES, [t.pred for t in TRACES], DIMS)
    single = np.array([ccc(t) for t in TRACES])
    for i, dim in enumerate(DIMS):
        rows = {name: row["ccc"] for name, row in table[dim].items()}
        assert rows["pooled"] == pytest.approx(ccc(*TRACES)[i])
        assert rows["mean_of_recordings"] == pytest.approx(single[:, i].mean())
        weighted = (single[:, i] * [300, 100, 200]).sum() / 600
        assert rows["length_weighted"] == pytest.approx(weighted)
        assert rows["group:a"] == pytest.approx(ccc(TRACES[0], TRACES[2])[i])
        assert table[dim]["group:a"]["n"] == 500
        assert table[dim]["group:a"]["recordings"] == 2
        assert table[dim]["pooled"]["n"] == 600


def test_a_recording_without_a_valid_frame_is_left_out_of_every_mean():
    blank = Trace(
        TRACES[0].track, np.zeros((50, 2), np.float32), np.full((50, 2), np.nan, np.float32),
        np.ones(50, bool), np.arange(50, dtype=np.float32),
    )  # fmt: skip
    traces = [*TRACES, blank]
    assert scores(traces, [t.pred for t in traces], DIMS) == scores(
        TRACES, [t.pred for t in TRACES], DIMS
    )


def test_baselines_are_the_constants_that_their_names_say():
    table = metrics_table(TRACES, DIMS, {"valence": 0.1, "arousal": -0.2})
    constant = table["baselines"]["train_mean"]["valence"]["pooled"]
    assert constant["ccc"] == 0
    target = np.concatenate([t.target[:, 0] for t in TRACES])
    assert constant["rmse"] == pytest.approx(np.sqrt(np.mean((target - 0.1) ** 2)), rel=1e-5)
    oracle = table["baselines"]["recording_mean_oracle"]["valence"]["pooled"]
    means = np.concatenate([np.full(len(t.target), t.target[:, 0].mean()) for t in TRACES])
    expected = Moments.of(means[:, None], target[:, None], np.ones(len(target), bool))
    assert oracle["ccc"] == pytest.approx(expected.ccc()[0], rel=1e-5)


def test_the_held_label_is_the_last_one_before_each_ten_seconds():
    long = trace(5, 250)
    table = metrics_table([long], DIMS, {"valence": 0.0, "arousal": 0.0})
    held = np.concatenate(
        [np.zeros(100), np.full(100, long.target[99, 0]), np.full(50, long.target[199, 0])]
    )
    expected = Moments.of(held[:, None], long.target[:, :1], np.ones(250, bool))
    measured = table["baselines"]["label_held_oracle"]["valence"]["pooled"]["ccc"]
    assert measured == pytest.approx(expected.ccc()[0], rel=1e-5)


def test_every_score_of_a_split_lies_in_its_interval_and_few_recordings_have_none():
    many = [trace(i, 60 + i, "ab"[i % 2]) for i in range(12)]
    table = metrics_table(many, DIMS, resamples=200)
    for dim in DIMS:
        assert list(table["scores"][dim])[:3] == ["pooled", "mean_of_recordings", "length_weighted"]
        for row in table["scores"][dim].values():
            assert set(row["interval"]) == set(METRICS)
            for metric, (low, high) in row["interval"].items():
                assert low <= row[metric] <= high, (dim, metric)
    few = metrics_table(many[:4], DIMS, resamples=200)
    assert all(row["interval"] is None for row in few["scores"]["valence"].values())
    assert table["bootstrap"]["resamples"] == 200


def test_the_table_is_json_and_always_the_same():
    first, second = (json.dumps(metrics_table(TRACES * 2, DIMS, resamples=50)) for _ in range(2))
    assert first == second
    assert "NaN" not in first
    assert "Infinity" not in first


def test_signals_that_are_the_same_constant_on_both_sides_are_counted():
    constant = np.full((40, 2), 0.25, np.float32)
    still = Trace(TRACES[0].track, constant, constant, np.ones(40, bool), np.arange(40.0))
    table = scores([*TRACES, still], [*(t.pred for t in TRACES), constant], DIMS)
    undefined = {name: row["undefined"] for name, row in table["valence"].items()}
    assert undefined["pooled"] == 0
    assert undefined["mean_of_recordings"] == undefined["length_weighted"] == 1
    alone = scores([still], [constant], DIMS)["valence"]["pooled"]
    assert alone["undefined"] == 1
    assert alone["ccc"] == 0


def test_each_recording_has_the_scores_of_its_own_frames():
    table = metrics_table(TRACES, DIMS, resamples=0)
    for each in TRACES:
        row = table["recordings"][each.track.track_id]["arousal"]
        assert row["ccc"] == pytest.approx(ccc(each)[1])
        assert row["n"] == len(each.pred)


def test_without_the_mean_of_training_labels_that_baseline_is_left_out():
    table = metrics_table(TRACES, DIMS)
    assert list(table["baselines"]) == ["label_held_oracle", "recording_mean_oracle"]
