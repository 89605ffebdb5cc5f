"""The networks for VEATIC are legal, read the right data set, and train."""

import pathlib

import jax
import pytest

from configs import veatic
from tfds_builders.build import make_builder
from va_jax import config as configuration
from va_jax.config import with_values
from va_jax.evaluation.cache_features import cache
from va_jax.evaluation.evaluate import evaluate
from va_jax.models.build import build_model
from va_jax.train.loop import train
from va_jax.types import DIMS

ALL = [
    *veatic.VARIANTS,
    *(f"{net},{stack}" for net in ("features", "resnet50") for stack in veatic.STACKS),
]


@pytest.mark.parametrize("variant", ALL)
def test_every_variant_is_legal_and_names_a_set_that_can_be_built(variant):
    config = configuration.parse(veatic.get_config(variant))
    build_model(config.model, DIMS)
    if config.optim.rates.backbone == 0:
        with_values(config, **{"data.features": "cached"})
    for name in (config.data.name, f"{config.data.name}_official"):
        assert make_builder(name, pathlib.Path("nowhere")).crop["size"] >= config.data.size


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("lru", "'lru' is unknown; use one word of each group: features | resnet50 | frame"),
        ("features,lstm", "'lstm' is unknown"),
        ("frame,gru", "'frame' has no temporal stack; remove 'gru'"),
    ],
)
def test_an_unknown_word_is_refused_with_the_file(variant, message):
    with pytest.raises(ValueError, match=message.replace("|", r"\|")) as refusal:
        veatic.get_config(variant)
    assert str(refusal.value).startswith(f"configs/veatic.py:{variant}: ")


@pytest.mark.slow
@pytest.mark.usefixtures("without_page")
def test_the_tiny_networks_train(tmp_path, tiny_data):
    here = {"data.dir": str(tiny_data)}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        config = configuration.parse(veatic.get_config("resnet50,gru,tiny"))
        train(with_values(config, **here), tmp_path / "resnet50")
        whole = configuration.parse(veatic.get_config("frame,tiny"))
        train(with_values(whole, **here, **{"optim.rates.backbone": 1.0}), tmp_path / "whole")
        for variant in ("features,lru,tiny", "frame,tiny"):
            config = configuration.parse(veatic.get_config(variant))
            start = {"init.from_workdir": str(tmp_path / "whole")}
            config = with_values(config, **here, **start)
            cached, run = tmp_path / f"{variant}.cached", tmp_path / variant
            cache(config, cached, flip=True)
            config = with_values(config, **{"data.features": str(cached)})
            train(config, run)
            evaluate(config, run)
            assert (run / "metrics.json").is_file()
