"""Training with frames weighted by the spread between raters: invariances, and a whole run."""

import jax
import numpy as np
import pytest

from tests.conftest import built_once
from tests.train.loop_test import run_steps, tiny
from tfds_builders import build
from va_jax.config import with_values
from va_jax.data import splits
from va_jax.evaluation.cache_features import cache
from va_jax.evaluation.evaluate import evaluate
from va_jax.io import read_csv
from va_jax.train.loop import train
from va_jax.types import InputError


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="session")
def rated_data(tmp_path_factory):
    """Data folder that holds `synthetic_faces/tiny` with the spread between its raters."""
    options = ("keep_raters=true", "careless=2", "noise_free=test")

    def make(folder):
        name = "synthetic_faces/tiny"
        build.build_set(build.BuildOptions(name, folder, None, config_options=options))

    return built_once(tmp_path_factory, "rated_data", make)


SGD = {
    "optim.name": "sgd", "loss.rater_weight": 10.0, "optim.rates.backbone": 0.0,
    "optim.warmup_steps": 0,
}  # fmt: skip


def weighted(folder, **overrides):
    return tiny(folder, **(SGD | overrides))


def assert_close(one, other):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=2e-6), one, other)


@pytest.mark.slow
def test_weights_change_the_gradient(rated_data):
    plain = run_steps(weighted(rated_data, **{"loss.rater_weight": 0.0}), 1, jax.devices()[:1])[1]
    found = run_steps(weighted(rated_data), 1, jax.devices()[:1])[1]
    changed = jax.tree.map(lambda x, y: bool((x != y).any()), found.params, plain.params)
    assert changed["head_valence"]["kernel"]
    assert changed["head_arousal"]["kernel"]


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [2, 4])
def test_a_weighted_batch_in_pieces_has_the_gradient_of_the_whole(rated_data, pieces):
    whole = run_steps(weighted(rated_data), 2, jax.devices()[:1])[1]
    cut = run_steps(weighted(rated_data, **{"train.accumulate": pieces}), 2, jax.devices()[:1])[1]
    assert_close(cut.params, whole.params)


@pytest.mark.slow
def test_a_weighted_step_does_not_depend_on_the_number_of_devices(rated_data):
    one, many = (run_steps(weighted(rated_data), 2, jax.devices()[:n])[1] for n in (1, 4))
    assert_close(many.params, one.params)


def test_a_set_without_spread_is_refused_and_leaves_no_workdir(tmp_path, tiny_data):
    with pytest.raises(InputError, match=r"loss\.rater_weight=10: .*synthetic_faces/tiny"):
        train(weighted(tiny_data), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_weighted_run_is_evaluated_with_the_spread_in_its_traces(tmp_path, rated_data):
    config = weighted(rated_data)
    train(config, tmp_path / "run")
    evaluate(config, tmp_path / "run")
    source = splits.open_split(config.data, "dev")
    for index, track in enumerate(source.tracks):
        file = read_csv(tmp_path / "run" / "traces" / "dev" / f"{track.track_id}.csv")
        columns = file.columns("valence_spread", "arousal_spread")
        found = [[float(cells[column]) for column in columns] for _, cells in file.rows]
        np.testing.assert_allclose(found, source.labels(index).spread, atol=1e-6)
    free_of_noise = next((tmp_path / "run" / "traces" / "test").glob("*.csv"))
    assert "valence_spread" not in read_csv(free_of_noise).header
    page = (tmp_path / "run" / "report.html").read_text()
    assert "one rater and the mean of the others, 6 raters" in page


@pytest.mark.slow
def test_cached_features_contain_the_spread(tmp_path, rated_data, without_page):
    config = weighted(rated_data, **{"augment.brightness": 0.0, "augment.contrast": 0.0})
    train(config, tmp_path / "frames")
    start = {"init.from_workdir": str(tmp_path / "frames")}
    cache(with_values(config, **start), tmp_path / "cached", flip=True)
    reading = with_values(config, **{**start, "data.features": str(tmp_path / "cached")})
    one, other = (splits.open_split(each.data, "train") for each in (config, reading))
    assert other.spread == one.spread
    np.testing.assert_array_equal(other.labels(1).spread, one.labels(1).spread)
    train(reading, tmp_path / "features")
