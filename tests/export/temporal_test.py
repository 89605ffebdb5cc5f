"""Every temporal stack trains on drawn faces, is scored, exported and streamed."""

import json

import jax
import numpy as np
import pytest

from tests.train.loop_test import tiny
from va_jax.evaluation.evaluate import evaluate
from va_jax.export.export import export
from va_jax.export.model import load
from va_jax.train.loop import train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_page")]


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def trained(stack, workdir, data_dir, **changes):
    small = {"model.temporal": stack, "model.layers": 2, "train.steps": 1}
    config = tiny(data_dir, **small, **changes)
    train(config, workdir)
    evaluate(config, workdir)
    scores = json.loads((workdir / "metrics.json").read_text())["splits"]["dev"]["scores"]
    assert np.isfinite([scores[dim]["pooled"]["ccc"] for dim in scores]).all()
    export(workdir, workdir / "export")
    return load(workdir / "export")


@pytest.mark.parametrize("stack", ["tcn_lru", "transformer"])  # tcn_lru has the blocks of both
def test_a_stack_trains_is_scored_exported_and_streamed(stack, tmp_path, tiny_data):
    model = trained(stack, tmp_path / "run", tiny_data)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (20, model.size, model.size, 3), np.uint8)
    face = rng.random(20) < 0.7
    stream = model.stream()
    pushed = [stream.push(*row) for row in zip(frames, face.tolist(), strict=True)]
    np.testing.assert_allclose(pushed, model(frames, face), rtol=0, atol=1e-5)
    assert (tmp_path / "run" / "export" / "stream.jaxexport").is_file()


def test_a_stack_that_reads_both_ways_trains_and_is_exported_without_a_stream(tmp_path, tiny_data):
    changes = {"model.bidirectional": True, "eval.state": "window"}
    model = trained("tcn_lru", tmp_path / "run", tiny_data, **changes)
    assert model.metadata["temporal"] == "both_ways"
    assert not (tmp_path / "run" / "export" / "stream.jaxexport").exists()
