"""The metric card: aggregations, baselines and the text table."""

import numpy as np
import pytest

from va_jax.card import Trace, metric_card, scores, table
from va_jax.metrics import Moments
from va_jax.schema import Track

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
    card = scores(TRACES, [t.pred for t in TRACES], DIMS)
    single = np.array([ccc(t) for t in TRACES])
    for i, dim in enumerate(DIMS):
        rows = {name: row["ccc"] for name, row in card[dim].items()}
        assert rows["pooled"] == pytest.approx(ccc(*TRACES)[i])
        assert rows["mean_of_recordings"] == pytest.approx(single[:, i].mean())
        weighted = (single[:, i] * [300, 100, 200]).sum() / 600
        assert rows["length_weighted"] == pytest.approx(weighted)
        assert rows["group:a"] == pytest.approx(ccc(TRACES[0], TRACES[2])[i])
        assert card[dim]["group:a"]["n"] == 500
        assert card[dim]["group:a"]["recordings"] == 2
        assert card[dim]["pooled"]["n"] == 600


def test_a_recording_without_a_valid_frame_is_left_out_of_every_mean():
    blank = Trace(
        TRACES[0].track, np.zeros((50, 2), np.float32), np.full((50, 2), np.nan, np.float32),
        np.ones(50, bool), np.arange(50, dtype=np.float32),
    )  # fmt: skip
    traces = [*TRACES, blank]
    assert scores(traces, [t.pred for t in traces], DIMS) == scores(
        TRACES, [t.pred for t in TRACES], DIMS
    )


def test_baselines_are_the_constants_they_claim_to_be():
    card = metric_card(TRACES, DIMS, {"valence": 0.1, "arousal": -0.2})
    constant = card["baselines"]["train_mean"]["valence"]["pooled"]
    assert constant["ccc"] == 0
    target = np.concatenate([t.target[:, 0] for t in TRACES])
    assert constant["rmse"] == pytest.approx(np.sqrt(np.mean((target - 0.1) ** 2)), rel=1e-5)
    oracle = card["baselines"]["recording_mean_oracle"]["valence"]["pooled"]
    means = np.concatenate([np.full(len(t.target), t.target[:, 0].mean()) for t in TRACES])
    expected = Moments.of(means[:, None], target[:, None], np.ones(len(target), bool))
    assert oracle["ccc"] == pytest.approx(expected.ccc()[0], rel=1e-5)


def test_the_held_label_is_the_last_one_before_each_ten_seconds():
    long = trace(5, 250)
    card = metric_card([long], DIMS, {"valence": 0.0, "arousal": 0.0})
    held = np.concatenate(
        [np.zeros(100), np.full(100, long.target[99, 0]), np.full(50, long.target[199, 0])]
    )
    expected = Moments.of(held[:, None], long.target[:, :1], np.ones(250, bool))
    measured = card["baselines"]["label_held_oracle"]["valence"]["pooled"]["ccc"]
    assert measured == pytest.approx(expected.ccc()[0], rel=1e-5)


def test_the_table_shows_every_row_and_the_ceiling():
    card = metric_card(TRACES, DIMS, {"valence": 0.1, "arousal": -0.2})
    text = table("dev", card, {"valence": 0.91, "arousal": 0.93})
    for part in ("dev: 3 tracks, 600 frames", "pooled", "group:a", "train mean", "0.910", "0.930"):
        assert part in text


def test_a_split_without_labels_says_so():
    blank = [
        Trace(t.track, t.pred, np.full_like(t.target, np.nan), t.face, t.time_s) for t in TRACES
    ]
    card = metric_card(blank, DIMS, {"valence": 0.1, "arousal": -0.2})
    assert card["scores"] == {"valence": {}, "arousal": {}}
    assert "predictions only" in table("test", card, {})
