"""Post-processing finds planted errors, keeps only steps that help, and keeps its constants."""

import dataclasses
import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.evaluation.lags_test import times, trace, uneven_times, wandering
from tfds_builders.synthetic_faces import behaviour
from tfds_builders.synthetic_faces.synthetic_faces_dataset_builder import PLAY, Builder, script
from va_jax import config as configuration
from va_jax import keys
from va_jax.config import Post
from va_jax.evaluation.fitting import CURVE_POINTS, fit
from va_jax.evaluation.metrics import Moments
from va_jax.evaluation.postprocess import STEPS, PostProcessing
from va_jax.types import DIMS, InputError, Trace

ONE = ("valence",)


def settings(**changes):
    return keys.parse(Post, {"max_lag_s": 3.0} | changes)


def pooled(traces):
    parts = [Moments.of(t.pred, t.target, t.mask) for t in traces]
    return Moments.stack(parts).merged().ccc()


def processed(fitted, traces, dims=ONE):
    return [dataclasses.replace(t, pred=fitted.apply(t.pred, t.time_s, dims)) for t in traces]


def steps_of(fitted, dim="valence"):
    return {step.name: step for step in fitted.steps[dim]}


def planted(lag=7, gain=0.5, bias=-0.2, noise=0.0, recordings=6):
    """Return predictions `lag` frames after the labels, with less spread and another mean."""
    rng = np.random.default_rng(0)
    traces = []
    for seed in range(recordings):
        base = wandering(700, seed)[:, 0]
        pred = gain * base[50 - lag : 650 - lag] + bias
        traces.append(trace(pred + noise * rng.normal(size=600), base[50:650]))
    return traces


def test_planted_delay_gain_and_bias_are_found():
    fitted = fit(planted(), ONE, settings())
    found = steps_of(fitted)
    assert found["lag"].constants["lag_s"] == pytest.approx(0.7)
    assert found["scale"].constants["factor"] == pytest.approx(1 / 0.5, rel=0.02)
    # mean of y - (g y + b) is (1 - g) mean y - b
    mean = np.mean([t.target.mean() for t in planted()])
    assert found["centre"].constants["bias"] == pytest.approx(0.5 * mean + 0.2, abs=0.01)
    assert pooled(processed(fitted, planted()))[0] > 0.99
    assert found["lag"].ccc_after == pytest.approx(pooled(processed(fitted, planted()))[0])


def test_scaling_as_avec_did_multiplies_the_biased_signal():
    traces = planted(lag=0)
    fitted = fit(traces, ONE, settings(steps=("scale",), scale="avec"))
    target, pred = (np.concatenate([getattr(t, key) for t in traces]) for key in ("target", "pred"))
    constants = steps_of(fitted)["scale"].constants
    assert constants == {"factor": pytest.approx(target.std() / pred.std()), "about": 0.0}


def test_the_window_of_the_median_is_the_one_of_highest_ccc():
    traces = planted(lag=0, gain=1.0, bias=0.0, noise=0.4)
    fitted = fit(traces, ONE, settings(steps=("median",), medians_s=(0.4, 1.2, 3.0, 8.0)))
    scores = {}
    for half in (2, 6, 15, 40):
        smooth = []
        for each in traces:
            padded = np.pad(each.pred[:, 0], half, mode="edge")
            windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
            smooth.append(dataclasses.replace(each, pred=np.median(windows, -1)[:, None]))
        scores[half] = pooled(smooth)[0]
    best = {2: 0.4, 6: 1.2, 15: 3.0, 40: 8.0}[max(scores, key=scores.get)]
    step = steps_of(fitted)["median"]
    assert (step.kept, step.constants) == (True, {"window_s": best})
    assert step.ccc_after == pytest.approx(max(scores.values()), abs=1e-6)


def test_steps_that_do_not_help_are_not_kept():
    traces = planted(lag=0, gain=1.0, bias=0.0)
    fitted = fit(traces, ONE, settings())
    assert not fitted
    assert [step.kept for step in fitted.steps["valence"]] == [False] * 4
    np.testing.assert_array_equal(processed(fitted, traces)[0].pred, traces[0].pred)


def test_steps_follow_the_order_of_the_settings_and_each_starts_from_the_one_before():
    fitted = fit(planted(), ONE, settings(steps=("lag", "scale", "centre")))
    steps = fitted.steps["valence"]
    assert [step.name for step in steps] == ["lag", "scale", "centre"]
    for last, step in itertools.pairwise(steps):
        assert step.ccc_before == (last.ccc_after if last.kept else last.ccc_before)
    assert fitted.curves["valence"].best_lag_s == pytest.approx(0.7)  # of the raw predictions


def test_constants_are_applied_unchanged_to_other_predictions():
    fitted = fit(planted(lag=0), ONE, settings(steps=("centre", "scale")))
    bias, scale = (steps_of(fitted)[name].constants for name in ("centre", "scale"))
    other = 3 + 2 * wandering(50, 9)
    about, factor = scale["about"], scale["factor"]
    expected = about + factor * (other + bias["bias"] - about)
    result = fitted.apply(other, times(50), ONE)
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    assert result.dtype == np.float32


def test_every_dimension_has_its_own_constants():
    late, early = planted(lag=4), planted(lag=-9)
    both = [
        Trace(a.track, *(np.hstack([getattr(x, k) for x in (a, b)]) for k in ("pred", "target")),
              a.face, a.time_s)
        for a, b in zip(late, early, strict=True)
    ]  # fmt: skip
    fitted = fit(both, DIMS, settings())
    lags_s = [steps_of(fitted, dim)["lag"].constants["lag_s"] for dim in DIMS]
    assert lags_s == pytest.approx([0.4, -0.9])
    np.testing.assert_array_equal(
        processed(fitted, both, DIMS)[0].pred[:, :1],
        processed(fit(late, ONE, settings()), late)[0].pred,
    )


def test_frames_that_do_not_count_are_shifted_but_not_fitted_to():
    whole = planted()
    face = np.arange(600) % 7 > 0
    spoilt = [
        dataclasses.replace(t, face=face, target=np.where(face[:, None], t.target, 50 + t.target))
        for t in whole
    ]
    unlabelled = [
        dataclasses.replace(t, target=np.where(face[:, None], t.target, np.nan)) for t in whole
    ]
    assert fit(spoilt, ONE, settings()) == fit(unlabelled, ONE, settings())
    fitted = fit(spoilt, ONE, settings(steps=("lag",)))
    np.testing.assert_array_equal(processed(fitted, spoilt)[0].pred[:-7], whole[0].pred[7:])


def test_without_labels_nothing_is_fitted():
    traces = [dataclasses.replace(t, target=np.full_like(t.target, np.nan)) for t in planted()]
    fitted = fit(traces, ONE, settings())
    assert not fitted
    assert fitted.describe() == {"valence": "as predicted"}
    np.testing.assert_array_equal(processed(fitted, traces)[0].pred, traces[0].pred)
    assert PostProcessing.from_json(fitted.to_json(), "x") == fitted


@pytest.mark.slow
@examples(max_examples=40)
@given(st.integers(0, 100_000))
def test_a_fit_never_lowers_the_pooled_dev_ccc(seed):
    rng = np.random.default_rng(seed)
    traces = []
    for frames in rng.integers(1, 80, rng.integers(1, 4)):
        pred, target = (wandering(frames, rng.integers(999))[:, 0] for _ in range(2))
        pred = rng.choice([pred, target + 0.3 * pred, np.full_like(pred, rng.normal())])
        target = np.where(rng.random(frames) < rng.choice([0, 0.3, 1]), np.nan, target)
        time_s = uneven_times(frames, seed) if rng.random() < 0.5 else times(frames)
        traces.append(trace(pred, target, rng.random(frames) < 0.8, time_s))
    steps = tuple(rng.permutation(list(STEPS)).tolist())
    how = {"steps": steps, "max_lag_s": 1.0, "scale": str(rng.choice(["about_mean", "avec"]))}
    fitted = fit(traces, ONE, settings(medians_s=(0.4, 2.0), **how))
    before, after = pooled(traces)[0], pooled(processed(fitted, traces))[0]
    assert after > before if fitted else after == before
    assert all(np.isfinite(t.pred).all() for t in processed(fitted, traces))
    assert PostProcessing.from_json(json.loads(json.dumps(fitted.to_json())), "x") == fitted


def test_the_description_names_every_step_that_was_kept_and_the_gain():
    found = fit(planted(), ONE, settings()).to_json()
    values = {"window_s": 1.2, "bias": -0.031, "factor": 1.32, "about": 0.041, "lag_s": -0.8}
    scores = [0.512, 0.52, 0.53, 0.54, 0.548]
    for i, step in enumerate(found["valence"]["steps"]):
        step["constants"] = {key: values[key] for key in step["constants"]}
        step |= {"kept": True, "ccc_before": scores[i], "ccc_after": scores[i + 1]}
    assert PostProcessing.from_json(found, "x").describe() == {
        "valence": "median over 1.2 s, - 0.031, x 1.32 about 0.041, moved 0.80 s later: "
        "dev CCC 0.512 -> 0.548"
    }


def test_a_long_curve_is_thinned_and_json_restores_everything():
    fitted = fit(planted(recordings=2), ONE, settings(max_lag_s=20.0))
    text = json.dumps(fitted.to_json())
    assert len(json.loads(text)["valence"]["lag_curve"]["lags_s"]) <= CURVE_POINTS
    again = PostProcessing.from_json(json.loads(text), "x")
    assert again == fitted
    np.testing.assert_array_equal(
        processed(again, planted())[0].pred, processed(fitted, planted())[0].pred
    )


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ([], [], "post.json is []"),
        (["valence"], 3, "post.json.valence is 3"),
        (["valence", "steps"], None, "post.json.valence.steps is missing"),
        (["valence", "steps", 1, "name"], "clip", "valence.steps[1].name is 'clip'"),
        (["valence", "steps", 1, "constants"], {}, "steps[1].constants.bias is missing"),
        (["valence", "steps", 0, "constants", "window_s"], "2", "window_s is '2', not a number"),
        (["valence", "steps", 3, "constants", "lag_s"], float("nan"), "lag_s is nan, not a number"),
        (["valence", "steps", 2, "kept"], 1, "steps[2].kept is 1"),
        (["valence", "lag_curve", "ccc"], [0.1], "lag_curve.ccc has 1 numbers"),
        (["valence", "lag_curve", "ccc", 4], True, "lag_curve.ccc[4] is True, not a number"),
    ],
)
def test_a_damaged_file_is_refused_with_key_and_value(path, value, message):
    tree = {"": fit(planted(recordings=2), ONE, settings()).to_json()}
    inside, keys = tree, ["", *path]
    for key in keys[:-1]:
        inside = inside[key]
    inside[keys[-1]] = value
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        PostProcessing.from_json(tree[""], "post.json")
    assert "\n" not in str(caught.value)


def test_a_dimension_without_fitted_steps_is_refused():
    fitted = fit(planted(recordings=1), ONE, settings())
    with pytest.raises(InputError, match=r"'dominance'.*valence"):
        fitted.apply(np.zeros((3, 1), np.float32), times(3), ("dominance",))


def test_the_config_names_the_steps():
    assert set(configuration.POST_STEPS) == set(STEPS)


def framewise(config, recordings, rng):
    """Return predictions like those of a network that sees single frames, with noise.

    Their spread is too small and their mean is off, as those of networks are.
    """
    traces = []
    for recording in recordings:
        scene = script(recording, config)
        play = np.random.default_rng([config.seed, PLAY, recording.details["number"]])
        latent = behaviour.simulate(play, recording.details["frames"], config.fps, config)
        shown = latent.at_frames(latent.values)
        pred = 0.6 * shown + 0.1 + 0.15 * rng.normal(size=shown.shape)
        plain = trace(shown[:, 0], shown[:, 0], scene.face, times(len(shown), config.fps))
        traces.append(dataclasses.replace(plain, pred=pred.astype(np.float32), target=scene.target))
    return traces


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("delay_s", "options", "tolerance_s"),
    [
        # A lag, then a response that takes one step of the generator's grid, 0.02 s; with raters
        # who agree it is found to the nearest frame.
        (0.6 + 0.02, {"lag_s": 0.6, "response_s": 1e-3, "rater_drift": 0.0}, 0.05),
        slow(1.4 + 0.02, {"lag_s": 1.4, "response_s": 1e-3, "rater_drift": 0.0}, 0.05),
        # Lag and mean delay of the response; with raters who drift it is found within a frame.
        slow(0.6 + 0.3, {}, 0.1),
        slow(1.2 + 0.6, {"lag_s": 1.2, "response_s": 0.6}, 0.1),
    ],
)
def test_the_delay_of_drawn_faces_labels_is_found_and_helps_on_test(delay_s, options, tolerance_s):
    builder = Builder(config="quickstart", data_dir="/nowhere", options=options)
    config, recordings = builder.builder_config, builder.recordings()
    rng = np.random.default_rng(0)
    dev, test = (framewise(config, recordings[split], rng) for split in ("dev", "test"))
    fitted = fit(dev, DIMS, settings(steps=("lag",)))
    for dim in DIMS:  # labels come after predictions: negative
        assert fitted.curves[dim].best_lag_s == pytest.approx(-delay_s, abs=tolerance_s + 1e-6)
    later = pooled(processed(fitted, test, DIMS))
    assert (later > pooled(test) + 0.03).all()
    whole = fit(dev, DIMS, settings(medians_s=(1.2,)))
    assert (pooled(processed(whole, test, DIMS)) > later).all()
