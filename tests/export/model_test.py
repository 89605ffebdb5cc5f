"""The Python API: predictions equal the evaluation's, streams, refusals, documented examples."""

import functools
import json
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy

import va_jax
from tests import fakes
from tests.tiny_networks import POINTS, SIDE, STACKS, tiny, variables_of
from tests.tiny_networks import predict as reference
from va_jax import config as configuration
from va_jax.data import sources
from va_jax.evaluation import postprocess
from va_jax.evaluation.predictors import make_predictor
from va_jax.export import arrays, metadata
from va_jax.export.model import Model
from va_jax.train import checkpoints, sharding
from va_jax.train import workdir as run_config
from va_jax.types import InputError

ROOT = pathlib.Path(__file__).resolve().parents[2]


@functools.cache
def parts(network, devices, evaluation):
    mesh = sharding.make_mesh(jax.devices()[:devices])
    predictor = make_predictor(network, mesh, evaluation)
    return predictor, sharding.replicate(mesh, variables_of(network)), mesh


def model_of(stride=1, devices=1, evaluation=(), post_processing=None, **changes):
    """A model of random weights, as if loaded."""
    config = configuration.parse(
        {
            "data": {"name": "some_set"},
            "window": {"stride": stride},
            "eval": {"length": 16, "hop": 16} | dict(evaluation),
        }
    )
    known = {"input": {"size": SIDE}, "fps": 25.0, "post_processing": post_processing}
    predictor, variables, mesh = parts(tiny(**changes), devices, config.eval)
    return Model(predictor, variables, config, known, mesh)


def track(frames=40, seed=0, size=SIDE):
    """Noise frames, and which show a face: the first ones do."""
    rng = np.random.default_rng(seed)
    face = rng.random(frames) < 0.8
    face[:3] = True
    return rng.integers(0, 256, (frames, size, size, 3), np.uint8), face


def points_of(frames, seed=0):
    """Landmarks in units of the frame's side, some unknown."""
    points = np.random.default_rng(seed).random((frames, POINTS, 2)).astype(np.float32)
    points[5, 1] = np.nan
    return points


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tiny_run):
    """The files of an export that loading needs; copy it to change it."""
    folder = tmp_path_factory.mktemp("api") / "exported"
    folder.mkdir()
    shutil.copy(tiny_run / "config.json", folder)
    metadata.write(folder, metadata.of_run(tiny_run))
    arrays.write(folder, checkpoints.read_best(tiny_run)[0])
    return folder


@pytest.fixture(scope="module")
def loaded(exported):
    return va_jax.load(exported)


def test_importing_the_package_does_not_import_jax():
    code = "import sys, va_jax; va_jax.load; assert 'jax' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("place", ["run", "export"])
def test_frames_in_memory_get_the_predictions_of_the_evaluation(place, tiny_run, loaded, tiny_data):
    model = loaded if place == "export" else va_jax.load(str(tiny_run))
    source = sources.open_split(str(tiny_data), "synthetic_faces/tiny", "dev")
    for index, row in enumerate(source.tracks[:2]):
        frames = np.empty((row.frames, model.size, model.size, 3), np.uint8)
        labels = source.read(index, np.arange(row.frames), frames)
        csv = tiny_run / "traces" / "dev" / f"{row.track_id}.csv"
        written = np.genfromtxt(csv, delimiter=",", names=True)
        expected = np.stack([written[dim] for dim in model.dims], -1)
        assert expected.std(0).min() > 1e-4
        np.testing.assert_allclose(model(frames, labels.face), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("stride", "evaluation", "devices"), [(2, {}, 1), (1, {"state": "window", "hop": 5}, 4)]
)
def test_tracks_in_a_batch_are_predicted_like_each_alone(stride, evaluation, devices):
    model = model_of(stride, devices, evaluation)
    frames, face = zip(*(track(37, seed) for seed in range(2)), strict=True)
    together = model(np.stack(frames), np.stack(face))
    alone = np.stack([model(*each) for each in zip(frames, face, strict=True)])
    assert together.shape == (2, 37, 2)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
    assert abs(alone[0] - alone[1]).max() > 1e-3


def test_a_longer_sequence_is_not_compiled_again_and_frames_show_a_face_by_default():
    model = model_of()
    frames, _ = track(300)
    expected = model(frames[:1], np.ones(1, bool))
    programs = model._predictor.step._cache_size()
    np.testing.assert_allclose(model(frames)[:1], expected, rtol=0, atol=1e-6)
    assert model._predictor.step._cache_size() == programs


def kept(name, **constants):
    """One fitted step, as post-processing is stored."""
    scores = {"ccc_before": 0.1, "ccc_after": 0.2}
    return {"steps": [{"name": name, "constants": constants, "kept": True} | scores]}


LATE = {"valence": kept("lag", lag_s=0.2), "arousal": kept("centre", bias=0.5)}


def test_post_processing_uses_the_frame_rate_of_the_training_data():
    model = model_of(post_processing=LATE)
    frames, face = track()
    raw, processed = model(frames, face), model(frames, face, processed=True)
    held = np.minimum(np.arange(40) + 5, 39)  # 0.2 s at 25 fps
    np.testing.assert_array_equal(processed[:, 0], raw[held, 0])
    np.testing.assert_array_equal(processed[:, 1], raw[:, 1] + np.float32(0.5))


def test_post_processing_uses_the_times_that_are_given():
    model = model_of(post_processing=LATE)
    frames, face = track()
    raw = model(frames, face)
    processed = model(frames, face, processed=True, time_s=np.arange(40) / 10)
    np.testing.assert_array_equal(processed[:, 0], raw[np.minimum(np.arange(40) + 2, 39), 0])


def test_traces_of_a_source_hold_its_labels_and_take_another_stride():
    source = fakes.source((33, 20), size=SIDE)
    traces = model_of(stride=1).traces(source, stride=2)
    expected = model_of(stride=2).traces(source)
    for ours, theirs, row in zip(traces, expected, source.tracks, strict=True):
        assert ours.track == row
        np.testing.assert_array_equal(ours.pred, theirs.pred)
        np.testing.assert_array_equal(ours.target, source.labels(source.tracks.index(row)).target)


def pushed(stream, frames, face, points=None):
    each = [None] * len(frames) if points is None else points
    rows = zip(frames, face.tolist(), each, strict=True)
    return np.stack([stream.push(*row) for row in rows])


STREAMED = {
    "gru": (1, {}),
    "lstm": (3, {"temporal": "lstm", "layers": 2, "peepholes": True, "landmarks": "after_fc"}),
    "frame by frame": (2, {"temporal": "none"}),
    **{name: (2, changes) for name, changes in STACKS.items()},
}


def check_stream(stride, changes, count):
    frames, face = track(count)
    points = points_of(count) if "landmarks" in changes else None
    ours = pushed(model_of(stride, **changes).stream(), frames, face, points)
    fed = None
    if points is not None:
        known = (face[:, None] & np.isfinite(points).all(-1))[..., None]
        fed = np.where(known, 2 * points - 1, 0).astype(np.float32)
    network, expected = tiny(**changes), np.zeros_like(ours)
    for phase in range(stride):
        inputs = [None if x is None else x[None, phase::stride] for x in (frames, face, fed)]
        pred, _ = reference(network, variables_of(network), *inputs[:2], landmarks=inputs[2])
        expected[phase::stride] = pred[0]
    assert expected.std(0).min() > 1e-3
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "changes"), STREAMED.values(), ids=STREAMED)
def test_a_stream_predicts_like_one_pass_over_every_subtrack(stride, changes):
    check_stream(stride, changes, 20 * stride)


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "changes"), STREAMED.values(), ids=STREAMED)
def test_a_stream_still_does_so_after_1000_frames(stride, changes):
    check_stream(stride, changes, 1002)


def test_a_stream_starts_again_after_a_reset_and_compiles_once():
    model = model_of(2)
    stream, (frames, face) = model.stream(), track(21)
    first = pushed(stream, frames, face)
    stream.reset()
    np.testing.assert_array_equal(pushed(stream, frames, face), first)
    np.testing.assert_array_equal(pushed(model.stream(), frames, face), first)
    assert model._step._cache_size() == 1


def test_a_refused_frame_leaves_a_stream_as_it_was():
    stream, (frames, face) = model_of().stream(), track(10)
    expected = pushed(model_of().stream(), frames, face)
    pushed(stream, frames[:4], face[:4])
    with pytest.raises(InputError, match="64 x 64"):
        stream.push(np.zeros((64, 64, 3), np.uint8))
    np.testing.assert_array_equal(pushed(stream, frames[4:], face[4:]), expected[4:])


def test_without_a_face_no_frame_is_needed_and_a_recurrent_network_repeats_itself():
    stream, (frames, _) = model_of(2).stream(), track(3)
    said = [stream.push(frame) for frame in frames]
    np.testing.assert_array_equal(stream.push(None, face=False), said[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temporal": "lstm", "bidirectional": True}, r"model\.bidirectional=True.*whole seq"),
        ({"temporal": "tcn", "bidirectional": True}, r"model\.bidirectional=True.*whole seq"),
        ({"temporal": "none", "inflation": {"taps": 3}}, r"model\.inflation: \d+ frames"),
    ],
)
def test_a_network_that_uses_later_frames_has_no_stream(changes, message):
    model = model_of(evaluation={"state": "window"}, **changes)
    with pytest.raises(InputError, match=message):
        model.stream()


def test_the_stream_of_a_network_evaluated_on_windows_carries_its_state_and_warns():
    with pytest.warns(UserWarning, match=r"windows of 16 frames"):
        stream = model_of(evaluation={"state": "window"}).stream()
    frames, face = track()
    expected = model_of(evaluation={"state": "carry"})(frames, face)
    np.testing.assert_allclose(pushed(stream, frames, face), expected, rtol=0, atol=1e-5)


FRAMES = track(8)[0]
BAD = {
    "floats": (
        {"frames": FRAMES / 255},
        r"float64; expected uint8 RGB \[time, 16, 16, 3\].*255",
    ),
    "one frame": ({"frames": FRAMES[0]}, r"shape \(16, 16, 3\); expected uint8 RGB \[time, "),
    "another size": ({"frames": track(8, size=20)[0]}, "20 x 20 pixels.*16 x 16; crop and scale"),
    "grey": ({"frames": FRAMES[..., :1]}, "1 channels.*convert them to RGB"),
    "channels first": ({"frames": FRAMES.transpose(0, 3, 1, 2)}, "move the channels"),
    "none": ({"frames": FRAMES[:0]}, "at least one frame"),
    "face of another length": ({"face": np.ones(7, bool)}, r"shape \(7,\); expected bool \[8\]"),
    "face as numbers": ({"face": np.ones(8)}, r"face has type float64.*expected bool \[8\]"),
    "landmarks unasked": ({"landmarks": points_of(8)}, "does not use any; omit them"),
    "no times": ({"time_s": np.zeros(8)}, "time_s is not finite or does not increase"),
    "times of another length": ({"time_s": np.arange(9.0)}, r"expected float32 \[8\], in seconds"),
    "nothing fitted": ({"processed": True}, "processed=True.*va_jax evaluate"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_wrong_input_is_refused_with_its_value_and_a_remedy(changes, message):
    with pytest.raises(InputError, match=message) as refusal:
        model_of()(**{"frames": FRAMES} | changes)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        (None, r"are missing; this network requires float32 \[8, 2, 2\]"),
        (points_of(8)[:, :1], r"shape \(8, 1, 2\); expected float32 \[8, 2, 2\]"),
        (100 * points_of(8), "units of the frame's side"),
    ],
)
def test_landmarks_that_do_not_fit_are_refused(landmarks, message):
    with pytest.raises(InputError, match=message):
        model_of(landmarks="after_fc")(FRAMES, landmarks=landmarks)


def test_landmarks_are_scaled_to_the_network():
    model, (frames, face), points = model_of(landmarks="after_fc"), track(16), points_of(16)
    known = (face[:, None] & np.isfinite(points).all(-1))[..., None]
    fed = np.where(known, 2 * points - 1, 0).astype(np.float32)
    network = tiny(landmarks="after_fc")
    expected, _ = reference(
        network, variables_of(network), frames[None], face[None], landmarks=fed[None]
    )
    np.testing.assert_allclose(model(frames, face, points), expected[0], rtol=0, atol=1e-5)


def test_a_source_without_the_landmarks_of_the_network_is_refused():
    with pytest.raises(InputError, match=r"has 0 landmarks .* takes 2; open the source"):
        model_of(landmarks="after_fc").traces(fakes.source((9,), size=SIDE))
    with pytest.raises(InputError, match="stride=0"):
        model_of().traces(fakes.source((9,), size=SIDE), stride=0)


def changed(path, change):
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))


def arrays_changed(folder, change):
    stored = arrays.read(folder)
    change(stored)
    (folder / arrays.SAFETENSORS).write_bytes(safetensors.numpy.save(stored))


HEAD = "params/head_valence/kernel"
BROKEN = {
    "no folder": (shutil.rmtree, "no such folder; pass the workdir of a run"),
    "no parameters": (
        lambda f: (f / arrays.SAFETENSORS).unlink(),
        r"model\.safetensors is missing",
    ),
    "no config": (lambda f: (f / "config.json").unlink(), r"config\.json: not found"),
    "no metadata": (lambda f: (f / "passport.json").unlink(), r"passport\.json: .*va_jax export"),
    "cut": (
        lambda f: (f / arrays.SAFETENSORS).write_bytes(b"abc"),
        r"safetensors: the file cannot be read",
    ),
    "config that is not JSON": (
        lambda f: (f / "config.json").write_text("{"),
        r"config\.json: .*JSON.*restore",
    ),
    "config with an unknown key": (
        lambda f: changed(f / "config.json", lambda tree: tree["eval"].update(hops=3)),
        r"config\.json: .*eval\.hops.*restore",
    ),
    "illegal value": (
        lambda f: changed(f / "config.json", lambda tree: tree["model"].update(units=0)),
        r"config\.json: model\.units=0",
    ),
    "another stride": (
        lambda f: changed(f / "passport.json", lambda tree: tree.update(stride=7)),
        r"passport\.json: stride=7 does not match 2 in config\.json; .*va_jax export",
    ),
    "an array less": (
        lambda f: arrays_changed(f, lambda stored: stored.pop(HEAD)),
        rf"{HEAD} \(absent in the file, float32 \(8, 1\) in the network\)",
    ),
    "another shape": (
        lambda f: arrays_changed(f, lambda stored: stored.update({HEAD: np.ones((9, 1), "f4")})),
        rf"{HEAD} \(float32 \(9, 1\) in the file, float32 \(8, 1\) in the network\).*va_jax export",
    ),
    "another type": (
        lambda f: arrays_changed(f, lambda stored: stored.update({HEAD: np.ones((8, 1), "f2")})),
        rf"{HEAD} \(float16 \(8, 1\) in the file",
    ),
    "an array more": (
        lambda f: arrays_changed(f, lambda stored: stored.update(more=np.ones(2, "f4"))),
        r"more \(float32 \(2,\) in the file, absent in the network\)",
    ),
}


@pytest.mark.parametrize(("harm", "message"), BROKEN.values(), ids=BROKEN)
def test_an_incomplete_folder_is_refused_in_one_line_that_names_it(
    harm, message, exported, tmp_path
):
    folder = tmp_path / "broken"
    shutil.copytree(exported, folder)
    harm(folder)
    with pytest.raises(InputError, match=message) as refusal:
        va_jax.load(folder)
    assert str(folder) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"neither model\.safetensors nor checkpoints/"):
        va_jax.load(tmp_path)


def test_a_model_has_the_metadata_of_its_run(loaded, tiny_run):
    assert loaded.dims == ("valence", "arousal")
    assert loaded.size == 32
    assert loaded.config == run_config.load(tiny_run)
    assert loaded.metadata == json.loads(json.dumps(metadata.of_run(tiny_run)))
    stored = checkpoints.read_beside(tiny_run, loaded.metadata["checkpoint_step"], postprocess.NAME)
    assert loaded.post_processing.to_json() == stored


def test_a_model_describes_itself_in_one_line(loaded):
    text = repr(loaded)
    assert "\n" not in text
    for fact in (
        "resnet with a width of 8, GRU with 1 x 8 units", "valence, arousal from 32 px",
        "synthetic_faces/tiny, step 1;", "windows of 16 frames", "10 frames per second",
    ):  # fmt: skip
        assert fact in text


DOCUMENTATION = (ROOT / "docs" / "api.md").read_text()


@pytest.mark.filterwarnings("ignore:this model was trained on drawings")
def test_the_documented_examples_run_and_print_what_they_show(
    exported, tmp_path, monkeypatch, capsys
):
    (tmp_path / "exported").symlink_to(exported)
    shutil.copy(ROOT / "va_jax" / "published" / "clip.mp4", tmp_path)
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", DOCUMENTATION, re.DOTALL)
    assert len(examples) == 4
    scope = {}
    for example in examples:
        exec(example, scope)
        shown = re.findall(r"print\(.*\)  # (.*)", example)
        assert capsys.readouterr().out.splitlines() == shown
