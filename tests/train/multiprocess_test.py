"""Whole runs as a user starts them: device and process counts, and kills at random moments."""

import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from tests.train.loop_test import assert_identical, parameters, pooled, tiny

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS = 6


def start(workdir, data_dir, devices=1, *flags):
    command = [
        sys.executable, "-m", "va_jax.main", "--config=configs/quickstart.py:tiny",
        f"--workdir={workdir}", f"--config.data.dir={data_dir}", "--config.log.progress=False",
        f"--config.train.steps={STEPS}", "--config.optim.name=sgd", *flags,
    ]  # fmt: skip
    env = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    return subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process):
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output[-3000:]
    return output


def losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").open()]
    return [line["loss"] for line in lines if line["kind"] == "train"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_data):
    """An uninterrupted run on one device."""
    workdir = tmp_path_factory.mktemp("whole")
    output = finish(start(workdir, tiny_data))
    assert "pooled" in output
    return workdir


def config_of(tiny_data):
    return tiny(tiny_data, **{"train.steps": STEPS, "optim.name": "sgd"})


def assert_close_runs(workdir, whole, tiny_data):
    # SGD: Adam would blow up the rounding of gradients near 0 to whole steps.
    np.testing.assert_allclose(losses(workdir), losses(whole), rtol=1e-5)
    config = config_of(tiny_data)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5),
        parameters(workdir, config)["params"],
        parameters(whole, config)["params"],
    )


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 4])
def test_a_run_on_several_devices_follows_the_run_on_one(tmp_path, tiny_data, whole, devices):
    finish(start(tmp_path, tiny_data, devices))
    assert_close_runs(tmp_path, whole, tiny_data)


def start_two(workdir, data_dir):
    """Two processes of two devices each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        job = (f"--coordinator=127.0.0.1:{free.getsockname()[1]}", "--processes=2")
    return [start(workdir, data_dir, 2, *job, f"--process={i}") for i in range(2)]


@pytest.mark.slow
def test_two_processes_follow_the_run_of_one(tmp_path, tiny_data, whole):
    outputs = [finish(process) for process in start_two(tmp_path, tiny_data)]
    assert "pooled" in outputs[0]
    assert "pooled" not in outputs[1]
    assert_close_runs(tmp_path, whole, tiny_data)


@pytest.mark.slow
def test_four_devices_then_one_then_two_processes_of_two_follow_the_run_of_one(
    tmp_path, tiny_data, whole
):
    for devices, step in ((4, 2), (1, 4)):
        process = start(tmp_path, tiny_data, devices)
        wait_for(process, lambda step=step: (tmp_path / "checkpoints" / str(step)).exists())
        kill(process)
        saved = [int(x.name) for x in tmp_path.glob("checkpoints/*") if x.name.isdecimal()]
        assert max(saved) == step  # something is left for those who come after
    for process in start_two(tmp_path, tiny_data):
        finish(process)
    assert_close_runs(tmp_path, whole, tiny_data)


@pytest.mark.slow
def test_evaluating_again_gives_the_same_numbers_from_the_workdir_alone(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    command = [sys.executable, "-m", "va_jax.main", "--mode=eval", f"--workdir={tmp_path}/run"]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    again = (tmp_path / "run" / "metrics.json").read_text()
    first = json.loads((whole / "metrics.json").read_text())["splits"]
    for split, card in json.loads(again)["splits"].items():
        for dim in card["scores"]:
            assert pooled(card, dim) == pytest.approx(pooled(first[split], dim), rel=1e-4)


def wait_for(process, condition, limit_s=120):
    end = time.monotonic() + limit_s
    while process.poll() is None and time.monotonic() < end and not condition():
        time.sleep(0.002)


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_a_run_killed_again_and_again_ends_bit_identical(tmp_path, tiny_data, whole, seed):
    draw = random.Random(seed)
    moments = {
        "start-up": lambda: True,
        "compile": (tmp_path / "config.json").exists,
        "step": lambda: (tmp_path / "checkpoints" / "2").exists(),
        "save": lambda: any((tmp_path / "checkpoints").glob("*tmp*")),
        "eval": (tmp_path / "traces" / "dev").exists,
    }
    for moment, reached in moments.items():
        process = start(tmp_path, tiny_data)
        wait_for(process, reached)
        time.sleep(draw.random() * (2.0 if moment in ("start-up", "compile") else 0.05))
        kill(process)
    finish(start(tmp_path, tiny_data))
    config = config_of(tiny_data)
    assert_identical(parameters(tmp_path, config), parameters(whole, config))
    assert (tmp_path / "metrics.json").read_text() == (whole / "metrics.json").read_text()


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.model.unit=3", "unit"),
        slow("--config.window.length=0", "window.length=0"),
        slow("--config.data.name=no_such_set", "data.name='no_such_set'"),
        slow("--config.eval.batch_size=6", None),
    ],
)
def test_bad_input_is_one_line_and_exit_code_one(tmp_path, tiny_data, flag, message):
    devices = 4 if message is None else 1
    process = start(tmp_path / "run", tiny_data, devices, "--config.data.build_missing=False", flag)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 1, output
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, output
    assert "Traceback" not in output
    assert (message or "eval.batch_size=6 is not a multiple of the 4 devices; set 8") in errors[0]
    assert not (tmp_path / "run").exists()
