"""Whole runs as a user starts them: device and process counts, and kills at random moments."""

import json
import os
import pathlib
import random
import re
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
from va_jax.train.loop import train

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS = 6


def start(workdir, data_dir, devices=1, *flags):
    command = [
        sys.executable, "-m", "tests.without_page", "--config=configs/quickstart.py:tiny",
        f"--workdir={workdir}", f"--config.data.dir={data_dir}", "--config.log.progress=False",
        "--config.log.writers=('jsonl',)", f"--config.train.steps={STEPS}",
        "--config.checkpoint.keep=9", "--config.optim.name=sgd", *flags,
    ]  # fmt: skip
    xla_flags = re.sub(r"device_count=\d+", f"device_count={devices}", os.environ["XLA_FLAGS"])
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": xla_flags}
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
    changes = {"train.steps": STEPS, "checkpoint.keep": 9, "optim.name": "sgd"}
    return tiny(tiny_data, **changes, **{"log.writers": ("jsonl",)})


def train_here(workdir, data_dir):
    """Train in this process, which has four devices."""
    assert jax.device_count() == 4
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        train(config_of(data_dir), workdir)


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
def test_a_run_on_four_devices_follows_the_run_on_one(tmp_path, tiny_data, whole):
    train_here(tmp_path, tiny_data)
    assert_close_runs(tmp_path, whole, tiny_data)


def start_two(workdir, data_dir, *flags):
    """Two processes of two devices each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        job = (f"--coordinator=127.0.0.1:{free.getsockname()[1]}", "--processes=2")
    return [start(workdir, data_dir, 2, *job, f"--process={i}", *flags) for i in range(2)]


@pytest.mark.slow
def test_two_processes_follow_the_run_of_one(tmp_path, tiny_data, whole):
    outputs = [finish(process) for process in start_two(tmp_path, tiny_data)]
    assert "pooled" in outputs[0]
    assert "pooled" not in outputs[1]
    assert_close_runs(tmp_path, whole, tiny_data)


@pytest.mark.slow
def test_one_device_then_four_then_two_processes_of_two_follow_the_run_of_one(
    tmp_path, tiny_data, whole
):
    workdir = shutil.copytree(whole, tmp_path / "run")
    forget_after(workdir, 2)
    train_here(workdir, tiny_data)
    assert losses(workdir)[:2] == losses(whole)[:2]  # not taken again
    forget_after(workdir, 4)
    for process in start_two(workdir, tiny_data):
        finish(process)
    assert_close_runs(workdir, whole, tiny_data)


def forget_after(workdir, step):
    """Remove all later checkpoints, as if the run had been killed."""
    saved = {int(x.name): x for x in (workdir / "checkpoints").iterdir() if x.name.isdecimal()}
    assert step in saved
    for number, path in saved.items():
        if number > step:
            shutil.rmtree(path)


@pytest.mark.slow
def test_evaluating_again_gives_the_same_numbers_from_the_workdir_alone(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    program = [sys.executable, "-m", "tests.without_page"]
    command = [*program, "--mode=eval", f"--workdir={tmp_path}/run"]
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
def test_a_run_killed_again_and_again_ends_bit_identical(tmp_path, tiny_data, whole):
    draw = random.Random(0)
    moments = {
        "compile": (tmp_path / "config.json").exists,
        "save": lambda: any((tmp_path / "checkpoints").glob("*tmp*")),
        "eval": (tmp_path / "traces" / "dev").exists,
    }
    for moment, reached in moments.items():
        process = start(tmp_path, tiny_data)
        wait_for(process, reached)
        time.sleep(draw.random() * (2.0 if moment == "compile" else 0.05))
        kill(process)
    finish(start(tmp_path, tiny_data))
    config = config_of(tiny_data)
    assert_identical(parameters(tmp_path, config), parameters(whole, config))
    assert (tmp_path / "metrics.json").read_text() == (whole / "metrics.json").read_text()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.model.unit=3", "unit"),
        pytest.param(
            "--config.eval.batch_size=6",
            "eval.batch_size=6 is not a multiple of 4, the number of devices; set it to 8",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_one(tmp_path, tiny_data, flag, message):
    process = start(tmp_path / "run", tiny_data, 4, flag)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 1, output
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, output
    assert "Traceback" not in output
    assert message in errors[0]
    assert not (tmp_path / "run").exists()
