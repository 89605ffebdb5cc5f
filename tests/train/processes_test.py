"""Processes come together, or say in one line why not, and refuse to run different things."""

import os
import subprocess

import jax
import pytest

from benchmarks import kills
from tests.train.faults_test import ROOT, command
from tests.train.loop_test import tiny
from va_jax.train import processes
from va_jax.types import InputError


@pytest.fixture(autouse=True)
def _no_job(monkeypatch):
    for name in ("JAX_COORDINATOR_ADDRESS", "JAX_PROCESS_ID", "JAX_NUM_PROCESSES"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("", 1, 2), "--process=1 and --processes=2 need --coordinator"),
        (("host:1", None, 2), "--process=None: expected a number.*JAX_PROCESS_ID"),
        (("host:1", 0, None), "--processes=None: expected a number"),
        (("host:1", 2, 2), "--process=2: expected a number from 0 to 1"),
        (("host", 0, 2), "'host': expected the HOST:PORT"),
        (("host:port", 0, 2), "'host:port': expected the HOST:PORT"),
    ],
)
def test_half_a_job_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        processes.start(*given)


def test_the_environment_can_say_what_the_flags_do_not(monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "host:7")
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "3")
    seen = {}
    monkeypatch.setattr(jax.distributed, "initialize", lambda **given: seen.update(given))
    processes.start("", None, None)
    assert (seen["coordinator_address"], seen["process_id"], seen["num_processes"]) == (
        "host:7", 1, 3,
    )  # fmt: skip
    assert seen["heartbeat_timeout_seconds"] == processes.LOST_S


def test_one_process_needs_no_job(monkeypatch):
    monkeypatch.setattr(jax.distributed, "initialize", None)
    processes.start("", None, None)


def test_a_process_tells_its_devices_in_a_line():
    line = processes.device_line()
    assert line.startswith("process 0 of 1 on ")
    assert line.endswith(f"{jax.device_count()} x cpu (devices in the job: {jax.device_count()})")


def test_differences_are_keys_with_both_values(tiny_data):
    here = processes.facts(tiny(tiny_data))
    there = processes.facts(tiny(tiny_data, **{"optim.learning_rate": 0.5, "data.threads": 7}))
    found = processes.differences(there, here)
    assert found == [f"optim.learning_rate=0.5, but process 0 has {here['optim.learning_rate']!r}"]
    assert len(here["code"]) == 12
    assert "jax" in here


@pytest.mark.slow
def test_processes_with_different_flags_all_stop_and_name_the_key(tmp_path, tiny_data):
    job = kills.Job(tmp_path / "run", tiny_data, 2, own={1: ["--config.seed=3"]})
    assert job.wait() == [1, 1]
    line = "process 1: seed=3, but process 0 has 0; start"
    assert job.output().count(line) == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_process_whose_job_nobody_leads_stops_in_time(tmp_path, tiny_data):
    flags = ["--coordinator=127.0.0.1:1", "--process=1", "--processes=2", "--join_s=5"]
    done = subprocess.run(
        command(tmp_path / "run", tiny_data, *flags),
        env=os.environ | {"JAX_PLATFORMS": "cpu"}, cwd=ROOT, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: --coordinator=127.0.0.1:1: the processes did not join the job within 5 s;"
    )
