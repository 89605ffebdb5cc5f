"""`va_jax preview`: the picture of a training config, and its refusals."""

import pathlib
import subprocess
import sys

import cv2
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def command(*flags):
    line = [sys.executable, "-m", "va_jax", "preview", *flags]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_the_command_draws_a_training_config_with_overrides(tmp_path, tiny_data):
    path = tmp_path / "sheet.png"
    done = command(
        "synthetic_faces/tiny", "--config=configs/quickstart.py:tiny", f"--data_dir={tiny_data}",
        "--windows=2", "--window.length=12", "--data.train=dev", f"--out={path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *windows, last = done.stdout.splitlines()
    assert last == str(path)
    assert len(windows) == 2
    assert all(" in steps of 2, " in line and ", mean valence" in line for line in windows)
    height, width, _ = cv2.imread(str(path)).shape
    assert 1200 < width < 1600
    assert 900 < height < 1300
    assert [each.name for each in tmp_path.iterdir()] == ["sheet.png"]


def test_a_mistake_in_the_command_is_one_line_and_an_exit_code(tmp_path):
    done = command("aff_wild", f"--data_dir={tmp_path}", f"--out={tmp_path}/sheet.png")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: data.name='aff_wild': not found in data.dir=")
    assert len(done.stderr.strip().splitlines()) == 1
