"""A backbone in bfloat16 learns what the same backbone in float32 learns."""

import json
import os
import subprocess
import sys

import pytest

STEPS = 80
TOLERANCE = 0.1
"""Arousal is learned at once. Valence waits on a plateau that seeds leave at different steps, so
it cannot be compared after so few steps (docs/accelerators.md)."""


def run(*command):
    """Run va_jax as users do, with a compiler that optimises."""
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-m", "va_jax", *command], env=env, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr


@pytest.mark.slow
def test_the_quickstart_reaches_the_same_ccc_in_bfloat16_and_in_float32(tmp_path):
    few = ["train=80", "dev=16", "test=1"]
    data = tmp_path / "data"
    run("build", "synthetic_faces/quickstart", f"--data_dir={data}", "--config_options", *few)
    ccc = {}
    for dtype in ("float32", "bfloat16"):
        folder = tmp_path / dtype
        run(
            "train", "--config=quickstart.py", f"--workdir={folder}", f"--data.dir={data}",
            f"--model.compute_dtype={dtype}", f"--train.steps={STEPS}", "--data.test=",
            f"--eval.every_steps={STEPS}", f"--checkpoint.every_steps={STEPS}",
            "--log.progress=False",
        )  # fmt: skip
        config = json.loads((folder / "config.json").read_text())
        assert config["model"]["compute_dtype"] == dtype
        metrics = json.loads((folder / "metrics.json").read_text())
        ccc[dtype] = metrics["splits"]["dev"]["scores"]["arousal"]["pooled"]["ccc"]
    assert ccc["float32"] > 0.4
    assert ccc["bfloat16"] == pytest.approx(ccc["float32"], abs=TOLERANCE)
