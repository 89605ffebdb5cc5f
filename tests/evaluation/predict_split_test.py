"""Predictions of whole tracks equal those of the whole network on each track or window."""

import functools
import os
import pathlib
import socket
import subprocess
import sys

import flax.linen as nn
import jax
import numpy as np
import pytest

from tests import fakes
from tests.models.inflate_test import NETWORKS, moving, network, reach, run, small_case
from tests.tiny_networks import POINTS, STACKS, tiny, variables_of
from tests.tiny_networks import predict as reference
from va_jax import config as configuration
from va_jax.config import Eval
from va_jax.data import pipeline
from va_jax.data.windows import PADDING, Window, frame_numbers
from va_jax.evaluation import predict_split as predicting
from va_jax.evaluation.filters import FUSIONS, stitch
from va_jax.evaluation.predict_split import _Pieces as Pieces
from va_jax.evaluation.predict_split import predict_split
from va_jax.evaluation.predictors import make_predictor
from va_jax.models import inflate
from va_jax.train import processes, sharding
from va_jax.types import InputError

LENGTHS = (37, 21, 5, 1)
HOLES = {*((0, n) for n in (0, 1, 9, 10, 11, 23)), *((1, n) for n in range(12, 18)), (2, 4)}


class Pixels(nn.Module):
    """A backbone without parameters that records the frames it runs on."""

    inflation = inflate.FLAT
    seen = []  # noqa: RUF012

    @nn.nowrap
    def times(self):
        return []

    @nn.compact
    def __call__(self, x, mask, train):
        jax.debug.callback(self.seen.append, mask)
        y = x[:, :, ::8, ::8]
        return y, y


def slow(*values, id=None):
    return pytest.param(*values, marks=pytest.mark.slow, id=id)


def light(**changes):
    """Return a network without a CNN, which compiles faster."""
    return tiny(**changes).clone(backbone=Pixels())


def config_of(stride=1, **changes):
    tree = {
        "data": {"name": "some_set"},
        "window": {"stride": stride},
        "eval": {"batch_size": 2, "hop": changes.get("length", 64)} | changes,
    }
    return configuration.parse(tree)


@functools.cache
def source(holes=frozenset(HOLES)):
    return fakes.source(LENGTHS, faceless=holes, landmarks=POINTS)


@functools.cache
def predictor_of(model, devices, state, length, hop):
    mesh = sharding.make_mesh(jax.devices()[:devices])
    settings = Eval(state=state, length=length, hop=hop)
    return make_predictor(model, mesh, settings), sharding.replicate(mesh, variables_of(model))


def evaluated(model, config, source, devices=1):
    """Return the predictions of every track."""
    settings = config.eval
    predictor, variables = predictor_of(
        model, devices, settings.state, settings.length, settings.hop
    )
    traces = predict_split(config, predictor, variables, source)
    assert [trace.track for trace in traces] == source.tracks
    return [trace.pred for trace in traces]


def naive(model, source, items, length, stride):
    """Return the predictions of the whole network for each window by itself."""
    filled = [*items, *[PADDING] * (-len(items) % 40)]
    shape = pipeline.WindowShape(length, stride, source.size)
    batch = pipeline.read_batch(source, filled, shape)
    points = batch["landmarks"] if model.landmarks != "none" else None
    pred, _ = reference(
        model, variables_of(model), batch["frames"], batch["face"], landmarks=points
    )
    return np.asarray(pred)[: len(items)]


def long_passes(model, source, stride):
    """Return the predictions for every track in one pass, or one per subtrack if `stride` > 1."""
    items = [
        Window(index, phase)
        for index, track in enumerate(source.tracks)
        for phase in range(min(stride, track.frames))
    ]
    length = max(track.frames for track in source.tracks)
    passes = naive(model, source, items, length, stride)
    expected = [np.zeros((track.frames, 2), np.float32) for track in source.tracks]
    for (index, phase), pred in zip(items, passes, strict=True):
        subtrack = expected[index][phase::stride]
        subtrack[:] = pred[: len(subtrack)]
    return expected


def assert_same_traces(found, expected, atol=1e-5):
    spread = np.concatenate(expected).std(0)
    assert (spread > 1e-3).all()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("changes", "stride", "length"),
    [
        ({"temporal": "gru"}, 2, 7),
        ({"temporal": "lstm", "layers": 2, "peepholes": True}, 1, 16),
        *(slow(changes, 2, 7, id=name) for name, changes in STACKS.items()),
    ],
)
def test_a_state_carried_along_a_track_gives_the_result_of_one_pass(changes, stride, length):
    model = tiny(**changes)
    config = config_of(stride, state="carry", length=length)
    found = evaluated(model, config, source())
    assert_same_traces(found, long_passes(model, source(), stride))


def test_a_prediction_that_is_not_finite_is_named(monkeypatch):
    class Broken(Pieces):
        def join(self, track, frames, fusion):
            pred = super().join(track, frames, fusion)
            pred[0] = np.nan
            return pred

    monkeypatch.setattr(predicting, "_Pieces", Broken)
    model = tiny(temporal="gru")
    first = source().tracks[0].track_id
    with pytest.raises(
        InputError, match=rf"track '{first}', frame 0: the prediction is not finite"
    ):
        evaluated(model, config_of(2, state="carry", length=7), source())


def overlapping(source, length, hop, stride):
    """Return windows every `hop` frames until every frame is in one."""
    items = []
    for index, track in enumerate(source.tracks):
        for phase in range(min(stride, track.frames)):
            start = phase
            items.append(Window(index, start))
            while start + stride * length < track.frames:
                start += stride * hop
                items.append(Window(index, start))
    return items


BOTH_WAYS = {"temporal": "lstm", "bidirectional": True}


def check_windows(model, length, hop, stride):
    items = overlapping(source(), length, hop, stride)
    values = naive(model, source(), items, length, stride)
    for fusion in FUSIONS:
        config = config_of(stride, state="window", length=length, hop=hop, fusion=fusion)
        found = evaluated(model, config, source())
        expected = [
            stitch(
                [v for w, v in zip(items, values, strict=True) if w.track == index],
                [frame_numbers(w, length, stride) for w in items if w.track == index],
                track.frames,
                fusion,
            )
            for index, track in enumerate(source().tracks)
        ]
        assert_same_traces(found, expected)


@pytest.mark.slow
def test_windows_over_cached_features_are_predicted_as_by_the_whole_network():
    model = tiny(temporal="gru", branches=("fc", "conv"), landmarks="after_fc")
    check_windows(model, 8, 3, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "hop"),
    [(BOTH_WAYS, 5), slow(BOTH_WAYS, 8), slow(BOTH_WAYS, 1), slow({"temporal": "lstm"}, 4)],
)
def test_windows_of_any_overlap_and_stride_use_cached_features(changes, hop):
    check_windows(light(**changes), 8, hop, 2)


@pytest.mark.slow
def test_an_inflated_network_runs_on_every_window_by_itself():
    model = tiny(inflation={"taps": 3, "padding": "edge"}, temporal="none")
    check_windows(model, 8, 5, 1)


INFLATED = {
    "zero padding": ({"padding": "zero"}, {}, HOLES, 9),
    "edge padding, dilated": (
        {"padding": "edge", "dilation": (2,), "pool_taps": 3},
        {},
        {*((0, n) for n in (3, 10, 11, 12, 13, 14, 30)), (1, 9)},  # 5 of 12 frames before a chunk
        5,
    ),
    "strided, with a state": (
        {"padding": "zero", "strided": True, "pool_taps": 3},
        {"temporal": "gru", "stage_sizes": (1, 1)},
        HOLES,
        10,
    ),
}


@pytest.mark.parametrize(
    ("inflation", "changes", "holes", "length"),
    [
        pytest.param(*INFLATED["zero padding"], id="zero padding"),
        *(slow(*case, id=name) for name, case in INFLATED.items() if name != "zero padding"),
    ],
)
def test_chunks_that_overlap_by_the_reach_give_the_result_of_one_pass(
    inflation, changes, holes, length
):
    model = tiny(**{"inflation": inflation | {"taps": 3}, "temporal": "none"} | changes)
    tracks = source(frozenset(holes))
    config = config_of(state="carry", length=length)
    found = evaluated(model, config, tracks)
    assert_same_traces(found, long_passes(model, tracks, 1))


def test_a_config_may_carry_an_inflated_network_along_a_track():
    model, evaluation = {"inflation": {"taps": 3}}, {"state": "carry"}
    configuration.parse({"data": {"name": "some_set"}, "model": model, "eval": evaluation})


@pytest.mark.parametrize("name", NETWORKS)
def test_a_backbone_knows_how_far_it_reaches(name):
    for taps, dilation in ((3, ()), (5, (1, 2, 1, 3, 1)[: len(NETWORKS[name][3])])):
        times = network(name, taps=taps, dilation=dilation).times()
        expected = reach(name, taps, dilation=dilation or (1,) * 5)
        assert (inflate.reach(times), inflate.time_stride(times)) == (expected, 1)
    assert inflate.reach(network(name).times()) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "far", "stride"),
    [
        (("vgg16bn", (1, 1), {"padding": "zero", "strided": True}), (1 + 1) + 2 * (1 + 1), 4),
        (
            ("resnet18", (1, 1), {"padding": "edge", "strided": True, "dilation": (2, 1)}),
            1 + 2 + 4 * (2 + 2) + 4 + 8,
            8,
        ),
    ],
)
def test_an_output_strided_in_time_sees_as_far_as_its_backbone_says(case, far, stride):
    net, variables, _, _ = small_case(case)
    times = net.times()
    assert (inflate.reach(times), inflate.time_stride(times)) == (far, stride)
    frames, furthest = 80, 0
    first = np.arange(frames) // stride * stride  # of the frames that an output stands for
    y = run(net, variables, moving(frames))[0]
    for turned in range(36, 36 + stride):
        clip = moving(frames).copy()
        clip[0, turned] *= -9
        seen = (run(net, variables, clip)[0] != y)[:, -2 * net.width :].any(-1)  # the last map
        within = (first - far <= turned) & (turned <= first + stride - 1 + far)
        assert not (seen & ~within).any()
        furthest = max(furthest, (first - turned)[seen].max())
    assert furthest == far


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "chunk"),
    [
        ({"state": "carry", "length": 8}, 8),
        ({"state": "window", "length": 8, "hop": 2}, 8),
        ({"state": "window", "length": 8, "hop": 3}, 6),
        ({"state": "window", "length": 8, "hop": 5}, 5),
    ],
)
def test_the_backbone_runs_once_on_every_frame(settings, chunk):
    Pixels.seen.clear()
    evaluated(light(), config_of(**settings), fakes.source(LENGTHS))
    jax.effects_barrier()
    assert sum(mask.sum() for mask in Pixels.seen) == sum(LENGTHS)  # all show a face
    rows = [-(-LENGTHS[0] // chunk), sum(-(-frames // chunk) for frames in LENGTHS[1:])]
    assert sum(mask.size for mask in Pixels.seen) == 2 * max(rows) * chunk


SETTINGS = {
    "carry": {"state": "carry", "length": 8},
    "window": {"state": "window", "length": 8, "hop": 3},
}


@functools.cache
def with_few_rows(state):
    return evaluated(light(), config_of(2, **SETTINGS[state]), source())


@pytest.mark.parametrize("state", SETTINGS)
@pytest.mark.parametrize(("devices", "batch"), [(4, 12), slow(1, 1), slow(2, 2), slow(4, 4)])
def test_predictions_depend_neither_on_devices_nor_on_the_batch_size(state, devices, batch):
    config = config_of(2, batch_size=batch, **SETTINGS[state])
    found = evaluated(light(), config, source(), devices)
    assert_same_traces(found, with_few_rows(state), atol=1e-6)


@pytest.mark.parametrize("length", [1, 5, 40])
def test_a_track_may_be_read_in_chunks_of_any_length(length):
    config = config_of(2, state="carry", length=length)
    assert_same_traces(evaluated(light(), config, source()), with_few_rows("carry"), atol=1e-6)


def test_windows_and_one_pass_agree_for_a_network_without_a_temporal_part():
    model = light(temporal="none")
    carried, windowed = (
        evaluated(model, config_of(**SETTINGS[state]), source()) for state in SETTINGS
    )
    assert_same_traces(windowed, carried, atol=1e-6)


@pytest.mark.parametrize("state", SETTINGS)
def test_a_second_split_is_predicted_without_compiling_again(state, caplog):
    config = config_of(**SETTINGS[state])
    mesh, model = sharding.make_mesh(jax.devices()[:1]), light()
    predictor = make_predictor(model, mesh, config.eval)
    variables = sharding.replicate(mesh, variables_of(model))
    compiled = []
    for lengths in ((20, 9, 5), (33,)):
        with jax.log_compiles():
            predict_split(config, predictor, variables, fakes.source(lengths))
        compiled.append("_step" in caplog.text)
        caplog.clear()
    assert compiled == [True, False]


def save_predictions(coordinator, process, folder):
    """Save the predictions of one process of two, with two devices each."""
    processes.start(coordinator, process, 2)
    for state, settings in SETTINGS.items():
        found = evaluated(light(), config_of(2, batch_size=4, **settings), source(), devices=4)
        np.savez(pathlib.Path(folder) / f"{state}_{process}.npz", *found)


@pytest.mark.slow
def test_every_process_of_two_predicts_every_frame_as_one_does(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    jobs = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"from tests.evaluation import predict_split_test as this; {call}",
            ],
            cwd=pathlib.Path(__file__).resolve().parents[2],
            env=os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
        )
        for call in (
            f"this.save_predictions({coordinator!r}, {process}, {str(tmp_path)!r})"
            for process in range(2)
        )
    ]
    assert [job.wait(timeout=300) for job in jobs] == [0, 0]
    for state in SETTINGS:
        for process in range(2):
            with np.load(tmp_path / f"{state}_{process}.npz") as saved:
                assert_same_traces(list(saved.values()), with_few_rows(state), atol=1e-6)
