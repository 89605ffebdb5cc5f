"""Compiling a config: figures by hand, what does not fit, refusals, and TPUs that are elsewhere."""

import dataclasses
import importlib.util
import json
import subprocess
import sys

import jax
import pytest

from va_jax import config as configuration
from va_jax import keys
from va_jax.models import forms
from va_jax.models.build import build_model, parameter_count
from va_jax.train import devices, sharding
from va_jax.train.compile import Compiled, compile_steps, table, to_json, training_step
from va_jax.train.state import initial_variables
from va_jax.types import DIMS, InputError

SMALL = {
    "data.name": "none",
    "data.size": 16,
    "window.length": 4,
    "train.batch_size": 4,
    "eval.batch_size": 4,
    "eval.length": 4,
    "eval.hop": 4,
    "model.backbone": "resnet",
    "model.width": 4,
    "model.stage_sizes": (1,),
    "model.layers": 1,
    "model.units": 4,
}
FACTS = Compiled(4, 8, 16, 2**20, 3 * 2**20, 2e9, (), 1.5)


@pytest.fixture(autouse=True)
def default_promotion():
    """Optax promotes types and ranks."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def settings(**changes):
    """Return a small network; `a__b` is the key `a.b`."""
    given = {key.replace("__", "."): value for key, value in changes.items()}
    return configuration.parse(keys.unflatten(SMALL | given))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="carried", marks=pytest.mark.slow),
        pytest.param({"eval__state": "window", "eval__hop": 2}, id="cached"),
        pytest.param(
            {"eval__state": "window", "model__inflation__taps": 3, "model__temporal": "none"},
            id="separate",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_parameters_optimiser_batch_and_gradient_are_those_by_hand(changes):
    config, here = settings(**changes), devices.at_hand()
    steps = compile_steps(config, here)
    variables = initial_variables(build_model(config.model, DIMS), 16, 0)
    parameters = 4 * parameter_count(variables["params"])
    training, evaluation = steps["training"], steps["evaluation"]
    statistics = training.parameters - parameters
    assert 0 < statistics < parameters
    assert evaluation.parameters == training.parameters
    assert 0 <= training.optimiser - 2 * parameters < 100  # counters of steps
    assert evaluation.optimiser == 0
    assert training.batch == 4 * (3 * 16**2 + 1 + 1 + 2 * 4)  # one window per device
    exchanged = sum(each.bytes for each in training.collectives if each.kind == "all-reduce")
    assert parameters < exchanged < parameters + 2 * statistics + 200
    assert training.peak > training.temporaries + training.parameters + training.optimiser


@pytest.mark.parametrize(
    ("backend", "changes", "message"),
    [
        (
            "cpu",
            {"train__batch_size": 8},
            r"the training step needs .* GiB on each of 4 x cpu; 0.00 GiB is free for each; "
            r"lower train.batch_size=8 \(the minimum is 4\) or lower window.length$",
        ),
        (
            "gpu",
            {"model__compute_dtype": "float32"},
            r"each has 0.00 GiB; set model.remat=True, set model.compute_dtype='bfloat16' or "
            r"lower window.length$",
        ),
        (
            "gpu",
            {"train__batch_size": 16, "model__remat": True},
            r"lower train.batch_size=16 \(the minimum is 4\), raise train.accumulate=1 or "
            r"lower window.length$",
        ),
        pytest.param(
            "gpu",
            {"train__batch_size": 8, "train__accumulate": 2},
            r"each has 0.00 GiB; set model.remat=True or lower window.length$",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_step_that_does_not_fit_names_the_keys_to_change(backend, changes, message):
    tiny = devices.at_hand()._replace(memory=1000, backend=backend)
    with pytest.raises(InputError, match=message):
        compile_steps(settings(**changes), tiny)


def test_an_evaluation_step_that_does_not_fit_names_its_own_keys():
    config = settings(eval__batch_size=64, eval__length=64, eval__hop=64)
    here = devices.at_hand()._replace(memory=None)
    steps = compile_steps(config, here)
    between = here._replace(memory=(steps["training"].peak + steps["evaluation"].peak) // 2)
    assert steps["training"].peak < steps["evaluation"].peak
    message = r"the evaluation step .*lower eval.batch_size=64 \(the minimum is 4\).* eval.length$"
    with pytest.raises(InputError, match=message):
        compile_steps(config, between)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data__size": 0}, r"data.size=0"),
        ({"train__batch_size": 0}, r"train.batch_size=0 is decided when a run starts"),
        ({"data__features": "cached", "optim__rates__backbone": 0.0}, r"data.features='cached'"),
        ({"train__batch_size": 6}, r"train.batch_size=6 is not a multiple of 4, .*set it to 8"),
        ({"eval__batch_size": 2}, r"eval.batch_size=2 is not a multiple of 4, .*set it to 4"),
    ],
)
def test_a_config_that_cannot_be_compiled_is_refused_before(changes, message):
    with pytest.raises(InputError, match=message):
        compile_steps(settings(**changes), devices.at_hand())


def test_the_table_and_the_json_show_the_same():
    from va_jax.train.hlo import Collective

    found = {
        "training": dataclasses.replace(FACTS, collectives=[Collective("all-reduce", 2**21, True)]),
        "evaluation": FACTS,
    }
    chips = devices.Devices("2 x TPU", (), "tpu", 4 * 2**20)
    rows = {label: cells for label, *cells in table(found, chips).rows}
    assert rows["peak, % of the memory"] == ["75.0", "75.0"]
    assert rows["all-reduce, MiB"] == ["2.0", "0.0"]
    assert rows["of these, asynchronous"] == ["1", "0"]
    facts = json.loads(to_json(found, chips))
    assert facts["steps"]["training"]["collectives"][0]["bytes"] == 2**21
    assert facts["memory"] == 4 * 2**20


def test_pieces_are_looped_over_as_on_the_devices_that_are_compiled_for():
    config = settings(train__batch_size=16, train__accumulate=4)
    model, mesh = build_model(config.model, DIMS), sharding.make_mesh(jax.devices())
    programs = {}
    for pieces in ("unrolled", "looped"):
        with forms.using(dataclasses.replace(forms.BY_BACKEND["cpu"], pieces=pieces)):
            step = training_step(config, model, 16, mesh)
            programs[pieces] = step.step.lower(*step.arguments).as_text()
    assert len(programs["looped"]) < len(programs["unrolled"])
    assert forms.BY_BACKEND["tpu"].pieces == "looped"


def test_devices_trace_with_their_own_forms():
    with devices.Devices("1 x TPU", (), "tpu", None).forms():
        assert forms.chosen() == forms.BY_BACKEND["tpu"]
    assert forms.chosen() == forms.BY_BACKEND["cpu"]


def va_jax_compile(*flags):
    line = [sys.executable, "-m", "va_jax", "compile", "--config=quickstart.py", *flags]
    small = ["--data.size=48", "--train.batch_size=16", "--eval.batch_size=8"]
    return subprocess.run([*line, *small], capture_output=True, text=True, check=False)


def test_without_the_tpu_compiler_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install -e '.\[tpu-compile\]'"):
        devices.of_topology("v5e:2x2")


needs_libtpu = pytest.mark.skipif(
    not importlib.util.find_spec("libtpu"), reason="libtpu, the TPU compiler, is not installed"
)


@pytest.mark.slow
@needs_libtpu
def test_the_quickstart_compiles_for_four_tpus_and_exchanges_its_gradient():
    done = va_jax_compile("--topology=v5e:2x2", "--json", "--model.compute_dtype=float32")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["devices"] == "4 x TPU v5 lite (v5e:2x2)"
    step = facts["steps"]["training"]
    exchanged = sum(each["bytes"] for each in step["collectives"] if each["kind"] == "all-reduce")
    assert exchanged == pytest.approx(step["parameters"], rel=0.05)
    assert step["peak"] < 2**30


@pytest.mark.slow
@needs_libtpu
def test_a_batch_that_is_too_large_for_a_tpu_exits_with_1_and_names_the_key():
    done = va_jax_compile("--topology=v5e:2x2", "--window.length=100000")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "the training step needs" in line
    assert "lower train.batch_size=16 (the minimum is 4)" in line


@pytest.mark.slow
@needs_libtpu
@pytest.mark.parametrize("name", ["v5e:3x5", "gpu"])
def test_a_topology_that_does_not_exist_is_one_line(name):
    done = va_jax_compile(f"--topology={name}")
    assert done.returncode == 1
    assert f"error: --topology={name}: the TPU compiler does not accept it" in done.stderr
