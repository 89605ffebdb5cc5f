"""After SIGKILL at any moment, the same command ends with the same files as if never killed."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from va_jax.predict.selftest import PUBLISHED

ROOT = pathlib.Path(__file__).resolve().parents[2]

Ready = Callable[[pathlib.Path], bool]
"""Whether the folder of a command shows that the moment to kill it has come."""


def start(words: list[str], folder: pathlib.Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "va_jax", *words],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(words: list[str], folder: pathlib.Path) -> str:
    """Run a command to its end, and return what it printed to standard error."""
    process = start(words, folder)
    printed = process.communicate(timeout=300)[1]
    assert process.returncode == 0, printed
    return printed


def kill(words: list[str], folder: pathlib.Path, ready: Ready) -> None:
    """Kill a command at the moment at which its folder is ready."""
    process = start(words, folder)
    while not ready(folder) and process.poll() is None:
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before the moment came"


def content(folder: pathlib.Path) -> dict[str, bytes]:
    """Return the files in a folder, without the date in the report."""
    files = (path for path in folder.rglob("*") if path.is_file())
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    date = re.compile(rb"\d\d \w+ \d{4}, \d\d:\d\d")
    return {name: date.sub(b"", data) for name, data in found.items() if "compiled" not in name}


def exists(pattern: str) -> Ready:
    return lambda folder: any(folder.glob(pattern))


@pytest.mark.slow
def test_a_folder_is_predicted_as_if_never_killed(tmp_path, whole_folder):
    shutil.copytree(whole_folder / "clips", tmp_path / "clips")
    words = ["predict", str(PUBLISHED / "model"), "clips", "--no-progress", "--every=5"]
    for ready in (exists("*/0.csv"), exists("*/.[12].csv.*")):  # between videos; between rows
        kill(words, tmp_path, ready)
    there = sorted(path.stem for path in tmp_path.glob("*/[0-9].csv"))
    printed = run(words, tmp_path)
    assert re.findall(r"skipped: clips/(\d)", printed) == there
    assert re.findall(r"done: clips/(\d)", printed) == [n for n in "012" if n not in there]
    assert content(tmp_path / "clips_predictions").keys() == {
        "0.csv", "1.csv", "2.csv", "predict.json", "summary.csv",
    }  # fmt: skip
    for number in "012":
        name = f"clips_predictions/{number}.csv"
        assert (tmp_path / name).read_bytes() == (whole_folder / name).read_bytes()


@pytest.fixture(scope="module")
def whole_folder(tmp_path_factory) -> pathlib.Path:
    """A folder with three videos, and their predictions."""
    top = tmp_path_factory.mktemp("whole")
    (top / "clips").mkdir()
    for number in range(3):
        shutil.copy(PUBLISHED / "clip.mp4", top / "clips" / f"{number}.mp4")
    run(["predict", str(PUBLISHED / "model"), "clips", "--no-progress", "--every=5"], top)
    return top


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, tiny_run) -> pathlib.Path:
    """A run and its evaluation by the command, which was never killed."""
    top = tmp_path_factory.mktemp("evaluated")
    shutil.copytree(tiny_run, top / "run")
    run(["evaluate", "run", "--out=out"], top)
    return top


@pytest.mark.slow
def test_an_evaluation_ends_as_if_never_killed(tmp_path, evaluated):
    shutil.copytree(evaluated / "run", tmp_path / "run")
    for ready in (exists("out/traces/dev"), exists("out/plots")):
        kill(["evaluate", "run", "--out=out"], tmp_path, ready)
    run(["evaluate", "run", "--out=out"], tmp_path)
    assert content(tmp_path / "out") == content(evaluated / "out")


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tiny_run) -> pathlib.Path:
    """An export by the command, which was never killed."""
    top = tmp_path_factory.mktemp("exported")
    shutil.copytree(tiny_run, top / "run")
    run(["export", "run", "--out=ex"], top)
    return top / "ex"


@pytest.mark.slow
def test_an_export_ends_as_if_never_killed(tmp_path, tiny_run, exported):
    shutil.copytree(tiny_run, tmp_path / "run")
    for ready in (exists(".ex.*/model.npz"), exists(".ex.*/passport.json")):
        kill(["export", "run", "--out=ex"], tmp_path, ready)
        assert not (tmp_path / "ex").exists()
    run(["export", "run", "--out=ex"], tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["ex", "run"]
    assert content(tmp_path / "ex") == content(exported)
