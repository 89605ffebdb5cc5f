"""The largest batch that fits: predicted from two small ones, checked, stored and kept."""

import importlib

import jax
import pytest

from va_jax.config import parse, with_values
from va_jax.models.build import build_model
from va_jax.train import batch, devices, workdir
from va_jax.train.loop import train
from va_jax.types import DIMS, InputError

pytestmark = pytest.mark.usefixtures("without_page")
HERE = devices.Devices("2 x TPU", (None, None), "tpu", 1000)
MANY = 10**6


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def config(**changes):
    tree = importlib.import_module("configs.quickstart").get_config("tiny")
    tree.log.progress = False
    return with_values(parse(tree), **{"train.batch_size": 0} | changes)


MODEL = build_model(config().model, DIMS)


def largest(monkeypatch, peak, windows=MANY, here=HERE, **changes):
    tried = []

    def compiled(config, model, size, windows, here):
        tried.append(windows)
        return peak(windows)

    monkeypatch.setattr(batch, "_peak", compiled)
    return batch.largest(config(**changes), MODEL, 32, windows, here), tried


def test_two_small_batches_predict_the_largest_and_it_is_checked(monkeypatch):
    found, tried = largest(monkeypatch, lambda windows: 100 + 10 * windows)
    assert found == 80  # 100 + 800 bytes are 90 % of 1,000
    assert tried == [2, 4, 80]


@pytest.mark.parametrize(
    "peak",
    [
        lambda n: 100 + 10 * n + (50 if n > 70 else 0),  # a step upwards
        lambda n: 100 if n <= 16 else 100 + 10 * (n - 16),  # flat at first
        lambda n: 400 if n <= 2 else 100 + 5 * n,  # a large first batch
        lambda n: 100 + 10 * n if n < 70 else None,  # no figure for what is too large
    ],
)
def test_a_wrong_prediction_is_corrected_within_a_few_batches(monkeypatch, peak):
    fits = [n for n in range(2, 400, 2) if peak(n) is not None and peak(n) <= 900]
    found, tried = largest(monkeypatch, peak)
    assert 0.9 * max(fits) <= found <= max(fits)
    assert len(tried) <= batch.TRIALS


def test_pieces_and_the_data_set_limit_the_batch(monkeypatch):
    assert largest(monkeypatch, lambda n: n, windows=25)[0] == 24
    assert largest(monkeypatch, lambda n: n, windows=1)[0] == 2
    changes = {"train.accumulate": 3}
    assert largest(monkeypatch, lambda n: 100 + 10 * n, **changes)[0] == 78


@pytest.mark.parametrize("peak", [901, None])
def test_a_smallest_batch_that_does_not_fit_is_refused(monkeypatch, peak):
    needs = r"smallest batch, 2, needs (0\.00 GiB, )?more than the 0\.00 GiB per device"
    with pytest.raises(InputError, match=rf"{needs} .*; set model.remat=True.* or lower data.size"):
        largest(monkeypatch, lambda n: peak)
    on_cpu = HERE._replace(backend="cpu")
    with pytest.raises(InputError, match=rf"{needs} .*; lower window.length or lower data.size$"):
        largest(monkeypatch, lambda n: peak, here=on_cpu)


def test_devices_of_unknown_memory_and_features_are_refused(monkeypatch):
    with pytest.raises(InputError, match="set a batch size"):
        largest(monkeypatch, lambda n: n, here=HERE._replace(memory=None))
    changes = {"data.features": "cached", "optim.rates.backbone": 0.0}
    changes |= {"augment.brightness": 0.0, "augment.contrast": 0.0}
    with pytest.raises(InputError, match=r"not for data\.features"):
        batch.with_batch_size(config(**changes), MODEL, 32, [])


@pytest.mark.slow
def test_a_run_keeps_the_batch_that_it_started_with(tiny_data, tmp_path, capsys, monkeypatch):
    given = config(**{"data.dir": str(tiny_data), "train.steps": 1})
    train(given, tmp_path)
    size = workdir.load(tmp_path).train.batch_size
    assert size > 0
    assert size % jax.device_count() == 0
    assert f"train.batch_size={size} is the largest" in capsys.readouterr().out
    monkeypatch.setattr(batch, "largest", None)  # the batch is not decided again
    train(with_values(given, **{"train.steps": 2}), tmp_path)
    assert workdir.load(tmp_path).train.batch_size == size
    assert workdir.for_evaluation(tmp_path, given).train.batch_size == size
    assert workdir.with_decided(given, tmp_path).train.batch_size == size


@pytest.mark.slow
def test_a_stored_batch_that_the_devices_cannot_divide_is_one_line(
    tiny_data, tmp_path, monkeypatch
):
    given = config(**{"data.dir": str(tiny_data), "train.steps": 1})
    monkeypatch.setattr(batch, "largest", lambda *args: 6)
    with pytest.raises(InputError, match=r"train\.batch_size=6 is not a multiple of 4"):
        train(given, tmp_path)
