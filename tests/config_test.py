"""Configs: legal as they stand, refused by key and value, bound to their workdir."""

import importlib
import json
import pathlib
import re

import pytest

from configs import default
from va_jax import config as configuration
from va_jax.config import CHOICES, RANGES, check, claim, load
from va_jax.types import InputError

CONFIGS = [
    path.stem
    for path in pathlib.Path(default.__file__).parent.glob("*.py")
    if path.stem not in ("__init__", "variants")
]


def legal():
    config = default.get_config()
    config.data.name = "some_set"
    return config


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_is_legal(name):
    config = importlib.import_module(f"configs.{name}").get_config()
    config.data.name = config.data.name or "some_set"
    check(config)


def test_every_checked_key_exists_and_every_numeric_key_is_checked():
    flat = configuration._flat(legal().to_dict())
    assert set(CHOICES) | set(RANGES) <= set(flat)
    numeric = {k for k, v in flat.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    assert {key for key in numeric - set(RANGES) if not key.startswith("model.")} == set()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("eval.fusion", "max", "eval.fusion='max' is not one of mean, median, extremum"),
        ("window.length", 0, "window.length=0 is out of range; it must be >= 1"),
        ("augment.hue", 0.7, "augment.hue=0.7 is out of range; it must be from 0 to 0.5"),
        ("optim.learning_rate", float("nan"), "optim.learning_rate=nan is out of range"),
        ("data.name", "", "data.name is empty"),
        ("loss.ccc", 0.0, "leave nothing to learn"),
        ("init.inflate", "middle", "init.inflate='middle' is not one of centred, copied"),
        ("init.fresh", ("(",), "init.fresh: '(' is no regular expression"),
        ("init.leave_out", ("*",), "init.leave_out: '*' is no regular expression"),
        ("model.bidirectional", True, "eval.state='carry' has no state to carry for a network"),
        ("eval.hop", 65, "eval.hop=65 is above eval.length=64"),
        ("post.scale", "spread", "post.scale='spread' is not one of about_mean, avec"),
        ("post.max_lag_s", -1.0, "post.max_lag_s=-1.0 is out of range; it must be from 0 to 60"),
        ("post.steps", ("lag", "clip"), "post.steps: 'clip' is not one of median, centre, scale"),
        ("post.medians_s", (1.0, 0.0), "post.medians_s: 0.0 is out of range; it must be above 0"),
        ("train.accumulate", 3, "train.batch_size=8 is not a multiple of train.accumulate=3"),
    ],
)
def test_an_illegal_value_is_refused_by_key_and_value(key, value, message):
    config = legal()
    section, leaf = key.split(".")
    config[section][leaf] = value
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        check(config)
    assert "\n" not in str(caught.value)


def test_a_workdir_gives_back_the_config_it_was_claimed_with(tmp_path):
    claim(tmp_path / "run", legal())
    assert load(tmp_path / "run").to_json() == legal().to_json()
    claim(tmp_path / "run", legal())


def test_a_workdir_of_another_config_is_refused_with_the_keys_that_differ(tmp_path):
    claim(tmp_path, legal())
    other = legal()
    other.model.units, other.seed = 7, 5
    other.data.threads = 3  # may differ
    message = "model.units (256 there, 7 here), seed (0 there, 5 here)"
    with pytest.raises(InputError, match=re.escape(message)):
        claim(tmp_path, other)


def test_a_workdir_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="workdir of a run"):
        load(tmp_path)


def test_a_resumed_run_may_be_processed_otherwise(tmp_path):
    claim(tmp_path, legal())
    other = legal()
    other.post.steps = ("lag",)
    claim(tmp_path, other)


def test_a_workdir_from_before_a_key_was_there_is_read_with_its_default(tmp_path):
    old = json.loads(legal().to_json())
    for section, keys in configuration.ADDED.items():
        for key in keys:
            del old[section][key]
        if not old[section]:
            del old[section]
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert load(tmp_path).to_json(sort_keys=True) == legal().to_json(sort_keys=True)
    claim(tmp_path, legal())


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"log": 3}', "\x00"])
def test_a_config_that_is_not_one_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json: not the config of a run .*; restore it"):
        load(tmp_path)
