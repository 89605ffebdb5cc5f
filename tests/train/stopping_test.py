"""A request to stop is heard wherever a run is: alone, in a job of one, in a job of two."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from benchmarks import kills
from tests.train.faults_test import ROOT, command

AGAIN = "the same command continues the run"


HOLD_S = 8
IMPATIENT = f"""
import sys
from va_jax import main
from va_jax.train import stopping
stopping.HOLD_S = {HOLD_S}
sys.exit(main.main())
"""


def start(workdir, data, *flags):
    """Start a process that holds a request for a shorter time."""
    python, _, _, *words = command(workdir, data, "--coordinator=127.0.0.1:1", *flags)
    return subprocess.Popen(
        [python, "-c", IMPATIENT, *words],
        env=os.environ | {"JAX_PLATFORMS": "cpu"}, cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _compile_fast(monkeypatch):
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


def wait_to_listen(*running):
    """Until SIGTERM is caught in all (Linux); before that it ends a process as any other."""
    for process in running:
        status = pathlib.Path(f"/proc/{process.pid}/status")
        while not caught(status.read_text()) & 1 << (signal.SIGTERM - 1):
            time.sleep(0.01)


def caught(status):
    return int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 3])  # before and after they have joined
def test_of_two_that_start_one_hears_it_and_both_stop(tmp_path, tiny_data, seconds):
    job = kills.Job(tmp_path / "run", tiny_data, 2)
    wait_to_listen(*job.running)
    time.sleep(seconds)
    job.running[seconds % 2].send_signal(signal.SIGTERM)
    assert job.wait() == [0, 0], job.output()
    assert job.output().count("stopped on request") == 2


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["start-up", "step"])
def test_a_job_of_one_process_hears_it(tmp_path, tiny_data, moment):
    job = kills.Job(tmp_path / "run", tiny_data, 1, {0: [*kills.joining(1), "--process=0"]})
    wait_to_listen(*job.running)
    while moment == "step" and not (tmp_path / "run" / "checkpoints" / "20").exists():
        assert job.running[0].poll() is None, job.output()
        time.sleep(0.1)
    job.running[0].send_signal(signal.SIGTERM)
    assert job.wait() == [0]
    assert {"start-up": AGAIN, "step": "and saved at step"}[moment] in job.output()


@pytest.mark.slow
def test_one_whose_others_do_not_come_ends_in_time_and_at_once_when_asked_twice(
    tmp_path, tiny_data
):
    job = ("--process=1", "--processes=2")
    patient, hurried = (start(tmp_path / name, tiny_data, *job) for name in ("one", "other"))
    wait_to_listen(patient, hurried)
    time.sleep(3)
    begun = time.monotonic()
    for process in (patient, hurried):
        process.send_signal(signal.SIGTERM)
    time.sleep(1)
    hurried.send_signal(signal.SIGTERM)
    hurried.communicate()
    assert hurried.returncode == 143
    assert time.monotonic() - begun < HOLD_S / 2
    assert AGAIN in patient.communicate()[0]
    assert patient.returncode == 0
    assert time.monotonic() - begun < HOLD_S + 5


LATE = """
import os, signal
from va_jax.train.stopping import Stopping

class Last:
    def __del__(self, kill=os.kill, process=os.getpid(), number=signal.SIGTERM):
        kill(process, number)  # Python has given all its handlers up by now

last, stop = Last(), Stopping()
stop.listen()
{end}
"""


@pytest.mark.parametrize(("end", "code"), [("stop.end()", 0), ("", -signal.SIGTERM)])
def test_a_request_that_comes_when_all_is_done_changes_nothing(end, code):
    done = subprocess.run([sys.executable, "-c", LATE.format(end=end)], cwd=ROOT, check=False)
    assert done.returncode == code


STEPS = """
import sys, time
from va_jax.train.stopping import Stopped, Stopping

stop = Stopping()
stop.listen()
stop.unsaved = sys.argv[1] == "unsaved"
print("listening", flush=True)
try:
    for _ in range(600):
        time.sleep(0.05)
        if sys.argv[2] == "heeds":
            stop.check()
except Stopped as stopped:
    print(stopped)
    sys.exit(stop.code)
"""


@pytest.mark.parametrize(
    ("number", "unsaved", "heeds", "requests", "code"),
    [
        (signal.SIGTERM, "unsaved", "heeds", 1, 0),
        (signal.SIGINT, "unsaved", "heeds", 1, 130),
        (signal.SIGINT, "saved", "", 1, 130),
        (signal.SIGINT, "unsaved", "", 2, 130),
        (signal.SIGTERM, "unsaved", "", 2, 143),
    ],
)
def test_ctrl_c_stops_a_run_like_sigterm_and_a_second_one_ends_it_at_once(
    number, unsaved, heeds, requests, code
):
    command = [sys.executable, "-c", STEPS, unsaved, heeds]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "listening\n"
        for _ in range(requests):
            process.send_signal(number)
            time.sleep(0.1)
        output = process.stdout.read()
    assert process.returncode == code
    assert (AGAIN in output) == (requests == 1)
    assert "Traceback" not in output
