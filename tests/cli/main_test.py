"""The command line as a user types it: what each mode prints, and mistakes as one line."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def command(*flags):
    line = [sys.executable, "-m", "va_jax.main", *flags]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_a_summary_needs_neither_workdir_nor_data_set(tmp_path):
    done = command(
        "--mode=summary",
        "--config=configs/kollias2017.py:affwildnet_resnet50,gru",
        f"--config.data.dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    total = next(line for line in done.stdout.splitlines() if line.startswith("total"))
    assert "24,443,202" in total
    assert "backbone/layer4_2" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--mode=summary"], "error: --config is missing; name a file"),
        (["--config=configs/kollias2017.py:resnet50_cnn,gru,gru"], "'gru' is unknown; legal"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(flags, message):
    done = command(*flags)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
