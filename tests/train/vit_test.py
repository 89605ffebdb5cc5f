"""A tiny Vision Transformer trains from a weight file, and again at another image size."""

import json

import jax
import numpy as np
import pytest

from tests.train.loop_test import tiny
from tests.weights.load_test import saved
from tests.weights.vit_names_test import timm
from va_jax.evaluation.evaluate import evaluate
from va_jax.export.export import export
from va_jax.train.loop import train
from va_jax.train.summary import summary
from va_jax.types import InputError

VIT = {
    "model.backbone": "vit_s16",
    "model.stage_sizes": (2,),
    "model.width": 4,
    "model.temporal": "none",
    "train.steps": 2,
}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_page")]


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def report(workdir):
    """Return the status of every array by its path."""
    arrays = json.loads((workdir / "init.json").read_text())["arrays"]
    return {row["path"]: row["status"] for row in arrays}


def test_a_vit_trains_from_weights_is_exported_and_continues_at_another_size(tmp_path, tiny_data):
    path = saved(tmp_path, timm(grid=14, classes=1000))
    weights = {"init.weights": str(path), "init.format": "timm_vit"}
    config = tiny(tiny_data, **VIT, **weights, **{"data.size": 48, "model.remat": True})
    first, second = tmp_path / "first", tmp_path / "second"
    train(config, first)
    statuses = report(first)
    assert statuses["params/backbone/positions"] == "interpolated (14x14 to 3x3)"
    assert statuses["params/backbone/block1/fc2/kernel"] == "loaded"
    assert statuses["head.weight"] == "left out"
    evaluate(config, first)
    export(first, tmp_path / "out")
    changes = {"data.size": 32, "model.compute_dtype": "bfloat16", "init.from_workdir": str(first)}
    train(tiny(tiny_data, **VIT | changes), second)
    assert report(second)["params/backbone/positions"] == "interpolated (3x3 to 2x2)"
    lines = [json.loads(line) for line in (second / "metrics.jsonl").open()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses
    assert np.isfinite(losses).all()


def test_the_summary_of_a_vit_lists_its_blocks(tiny_data):
    text = summary(tiny(tiny_data, **VIT, **{"data.size": 48}))
    assert "backbone/block1" in text
    assert "10x24" in text


def test_training_at_a_size_that_is_no_multiple_of_the_patch_is_refused(tmp_path, tiny_data):
    with pytest.raises(InputError, match=r"data\.size=40 must be a multiple of 16"):
        train(tiny(tiny_data, **VIT, **{"data.size": 40}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
