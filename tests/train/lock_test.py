"""Two runs do not share a workdir, and a killed run leaves no lock."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from va_jax.train import lock
from va_jax.types import InputError

HOLD = """
import pathlib, sys, time
from va_jax.train import lock
with lock.hold(pathlib.Path(sys.argv[1])):
    pathlib.Path(sys.argv[1], "config.json").touch()
    print("locked", flush=True)
    time.sleep(100)
"""


def test_a_second_run_is_refused_until_the_first_is_killed(tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, run]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "locked\n"
        named = rf"run: process {first.pid} on .*--workdir"
        with pytest.raises(InputError, match=named), lock.hold(run):
            pass
        os.kill(first.pid, signal.SIGKILL)
    with lock.hold(run):
        assert f"process {os.getpid()} on" in (run / lock.NAME).read_text()
    assert sorted(path.name for path in run.iterdir()) == ["config.json", lock.NAME]


@pytest.mark.parametrize("name", ["lock", "data.json", "report.html"])
def test_files_of_the_user_that_are_called_like_ours_are_kept(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=rf"{name}: not a file of a run"), lock.hold(tmp_path):
        pass
    assert (tmp_path / name).read_text() == "mine"


def test_a_run_that_is_refused_leaves_no_workdir(tmp_path):
    with pytest.raises(InputError, match="the config"), lock.hold(tmp_path / "run"):
        raise InputError("the config")
    assert not (tmp_path / "run").exists()


def test_all_processes_of_a_job_hear_that_the_first_did_not_get_the_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(lock.jax, "process_count", lambda: 2)
    monkeypatch.setattr(lock.jax, "process_index", lambda: 1)
    heard = []

    def broadcast(taken):
        heard.append(bool(taken))
        return False

    monkeypatch.setattr(lock.multihost_utils, "broadcast_one_to_all", broadcast)
    with pytest.raises(InputError, match="another process is training"), lock.hold(tmp_path):
        pass
    assert heard == [False]
    assert list(pathlib.Path(tmp_path).iterdir()) == []
