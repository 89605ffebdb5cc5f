"""Features of a frozen backbone: training from them equals training from frames."""

import json
import shutil

import jax
import numpy as np
import pytest

from tests.train.loop_test import tiny
from va_jax.cli.command import main
from va_jax.config import with_values
from va_jax.data import features, sources, splits
from va_jax.evaluation.cache_features import cache
from va_jax.evaluation.evaluate import restore
from va_jax.evaluation.predict_split import predict_split
from va_jax.train.checkpoints import read_best
from va_jax.train.loop import train
from va_jax.types import InputError

HEAD = {
    "optim.rates.backbone": 0.0, "augment.crop": 1.0, "augment.rotation_deg": 0.0,
    "augment.brightness": 0.0, "augment.contrast": 0.0, "augment.saturation": 0.0,
    "augment.hue": 0.0,
}  # fmt: skip
"""What training from features requires."""


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="module")
def config(tiny_data, tiny_run):
    return tiny(tiny_data, **HEAD, **{"init.from_workdir": str(tiny_run), "train.steps": 2})


@pytest.fixture(scope="module")
def cached(tmp_path_factory, config):
    """Features in float32, also of mirrored frames."""
    out = tmp_path_factory.mktemp("features") / "cached"
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        cache(config, out, "float32", flip=True)
    return out


def traces(config, workdir, data):
    trained = restore(config, workdir, ("valence", "arousal"), 32)
    opened = splits.open_split(data, "dev")
    return predict_split(config, trained.predictor, trained.variables, opened)


def test_labels_and_tracks_are_those_of_the_data_set(config, cached):
    for split in ("train", "dev", "test"):
        frames = sources.open_split(config.data.dir, config.data.name, split)
        pooled = features.open_split(cached, split)
        assert pooled.tracks == frames.tracks
        for track in range(len(frames.tracks)):
            for one, other in zip(pooled.labels(track)[:3], frames.labels(track)[:3], strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_training_from_features_equals_training_from_frames(config, cached, tmp_path):
    train(config, tmp_path / "frames")
    reading = with_values(config, **{"data.features": str(cached)})
    train(reading, tmp_path / "features")
    one, other = (read_best(tmp_path / name)[0] for name in ("frames", "features"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, other)
    joined = traces(reading, tmp_path / "features", config.data)
    alone = traces(reading, tmp_path / "features", reading.data)
    for a, b in zip(joined, alone, strict=True):
        np.testing.assert_allclose(a.pred, b.pred, atol=1e-5)


@pytest.mark.slow
def test_half_precision_is_close(config, cached, tmp_path):
    cache(config, tmp_path / "half")
    one, other = (features.open_split(each, "dev").values for each in (cached, tmp_path / "half"))
    assert other.dtype == np.float16
    assert np.abs(one - other).max() < 1e-3 * np.abs(one).max()


@pytest.mark.slow
def test_an_interrupted_command_goes_on_and_ends_with_the_same_files(
    config, cached, tmp_path, monkeypatch
):
    monkeypatch.setattr("va_jax.evaluation.cache_features.SAVE_EVERY", 1)
    left = [2]

    def interrupt():
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache(config, tmp_path / "again", "float32", True, interrupt)
    assert not (tmp_path / "again").exists()
    with pytest.raises(InputError, match=r"type='float32', but this command uses 'float16'"):
        cache(config, tmp_path / "again", "float16", True)
    larger = with_values(config, **{"eval.batch_size": 2 * config.eval.batch_size})
    with pytest.raises(InputError, match=r"batch=\d+, but this command uses \d+; use the same"):
        cache(larger, tmp_path / "again", "float32", True)
    seen = []
    cache(config, tmp_path / "again", "float32", True, lambda: seen.append(1))
    assert not (tmp_path / "again.parts").exists()
    names = sorted(path.name for path in cached.iterdir())
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == names
    for name in names:
        if name.endswith(".npy"):
            one, other = (np.load(each / name) for each in (cached, tmp_path / "again"))
            np.testing.assert_allclose(one, other, atol=1e-6)
    with pytest.raises(InputError, match="already exists"):
        cache(config, tmp_path / "again")


def changed(cached, tmp_path, **facts):
    """A copy of the features with other facts."""
    shutil.copytree(cached, tmp_path / "changed")
    path = tmp_path / "changed" / features.NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    return str(tmp_path / "changed")


def test_features_of_another_backbone_are_refused_with_both_named(config, cached, tmp_path):
    folder = changed(cached, tmp_path, backbone="0" * 64, source="run elsewhere")
    with pytest.raises(InputError, match=r"backbone of run elsewhere \(SHA-256 0{12}\), but"):
        train(with_values(config, **{"data.features": folder}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_features_of_a_set_that_was_built_again_are_refused(config, cached, tmp_path):
    metadata = json.loads((cached / features.NAME).read_text())["metadata"]
    folder = changed(cached, tmp_path, metadata=metadata | {"split_hash": "old-older"})
    with pytest.raises(InputError, match=r"split hash old-older, but .* was built again"):
        train(with_values(config, **{"data.features": folder}), tmp_path / "run")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (
            {"augment.brightness": 0.1},
            r"augment\.brightness=0\.1: set it to 0\.0, or remove data\.feat",
        ),
        ({"optim.rates.backbone": 0.1}, r"optim\.rates\.backbone=0\.1: set it to 0\.0"),
        ({"model.branches": ("conv",), "model.fc": ()}, r"model\.branches.*remove conv"),
        ({"data.size": 16}, r"frames of 32 px, but data\.size=16"),
        (
            {"data.name": "synthetic_faces/other"},
            r"data set 'synthetic_faces/tiny', but data\.nam",
        ),
        ({"data.train": "third"}, "no features of split 'third', only of"),
        (
            {"data.features": "nowhere"},
            r"data\.features='nowhere': contains no file features\.json",
        ),
    ],
)
def test_a_config_that_does_not_suit_features_is_refused(config, cached, tmp_path, values, named):
    with pytest.raises(InputError, match=named):
        train(with_values(config, **({"data.features": str(cached)} | values)), tmp_path / "run")


def test_mirroring_needs_features_of_mirrored_frames(config, cached, tmp_path):
    folder = changed(cached, tmp_path, mirrored=False)
    with pytest.raises(
        InputError, match=r"augment\.flip=True: data\.features contains no features"
    ):
        train(with_values(config, **{"data.features": folder}), tmp_path / "run")


@pytest.mark.parametrize("name", ["train.npy", "train.npz"])
@pytest.mark.parametrize("left", [0, 50, -100])
def test_damaged_features_are_refused(config, cached, tmp_path, name, left):
    folder = changed(cached, tmp_path)
    path = tmp_path / "changed" / name
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(InputError, match=rf"{name}: cannot be read .*cache the features again"):
        train(with_values(config, **{"data.features": folder}), tmp_path / "run")


def test_a_folder_of_the_user_is_left_alone(config, tmp_path):
    (tmp_path / "out.parts").mkdir()
    (tmp_path / "out.parts" / "thesis.txt").write_text("mine")
    with pytest.raises(
        InputError,
        match=r"out\.parts: this folder contains files other than features; choose a different",
    ):
        cache(config, tmp_path / "out")
    assert (tmp_path / "out.parts" / "thesis.txt").read_text() == "mine"


@pytest.mark.slow
def test_the_commands_from_a_run_to_a_report_and_a_prediction(tiny_run, tiny_data, tmp_path):
    """Cache, train and evaluate from features alone, export, and predict from frames."""
    cached, run = tmp_path / "cached", tmp_path / "run"
    assert main(["features", str(tiny_run), f"--out={cached}", "--flip"]) == 0
    flags = [f"--{key}={value}" for key, value in HEAD.items()]
    flags += [f"--init.from_workdir={tiny_run}", "--data.dir=elsewhere"]
    words = ["train", "--config=quickstart.py:tiny", f"--data.features={cached}", *flags]
    assert main([*words, f"--workdir={run}"]) == 0
    assert (run / "report.html").exists()
    assert main(["export", str(run), f"--out={tmp_path / 'model'}"]) == 0
