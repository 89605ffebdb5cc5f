"""The configuration: every shipped config is legal, every mistake is named by key and value."""

import importlib
import json
import pathlib
import re

import pytest
from ml_collections import ConfigDict

from configs import default
from va_jax import keys
from va_jax.cli import config_file
from va_jax.config import Config, parse, to_tree, with_values
from va_jax.train.workdir import for_evaluation, load, store
from va_jax.types import InputError

ROOT = pathlib.Path(__file__).resolve().parents[1]
CONFIGS = [
    path.stem
    for path in (ROOT / "configs").glob("*.py")
    if path.stem not in ("__init__", "variants")
]
LEGAL = parse({"data": {"name": "some_set"}})


@pytest.mark.parametrize("name", CONFIGS)
def test_every_shipped_config_is_legal(name):
    config = importlib.import_module(f"configs.{name}").get_config()
    config.data.name = config.data.name or "some_set"
    assert isinstance(parse(config), Config)


def test_the_defaults_of_the_files_and_of_the_typed_config_are_the_same():
    tree = default.get_config().to_dict()
    assert tree == keys.default_tree(Config)
    tree["data"]["name"] = "some_set"
    assert parse(tree) == LEGAL
    assert to_tree(LEGAL) == tree


def test_every_key_has_a_meaning_and_legal_defaults():
    for _, doc, rows in keys.sections(Config):
        assert doc
        assert all(meaning for *_, meaning in rows)


def test_the_page_of_all_keys_is_current():
    """Write it again with `python -m va_jax.config > docs/config.md`."""
    assert (ROOT / "docs" / "config.md").read_text() == keys.page(Config)


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("eval.fusion", "max", "mean, median, extremum"),
        ("window.length", 0, "at least 1"),
        ("window.length", 2.5, "whole number"),
        ("window.length", True, "whole number"),
        ("augment.hue", 0.7, "at most 0.5"),
        ("augment.flip", 1, "True or False"),
        ("optim.learning_rate", float("nan"), "above 0"),
        ("optim.rates.fc", -1.0, "at least 0"),
        ("data.name", "", "built data set"),
        ("data.dev", "", "splits"),
        ("loss.ccc", 0.0, "above 0"),
        ("init.inflate", "middle", "centred, copied"),
        ("init.fresh", ("(",), "regular expression"),
        ("init.leave_out", ("*",), "regular expression"),
        ("model.fc", (16, 0), "at least 1"),
        ("model.dropout", 1.0, "below 1"),
        ("eval.hop", 65, "eval.length=64"),
        ("post.scale", "spread", "about_mean, avec"),
        ("post.max_lag_s", -1.0, "at least 0"),
        ("post.steps", ("lag", "clip"), "median, centre, scale"),
        ("post.medians_s", (1.0, 0.0), "above 0"),
        ("model.bins", 1, "at least 2"),
        ("loss.cross_entropy", 0.1, "set model.bins"),
        ("train.accumulate", 3, "multiple of train.accumulate=3"),
    ],
)
def test_an_illegal_value_is_refused_by_key_and_remedy(key, value, remedy):
    with pytest.raises(InputError) as caught:
        with_values(LEGAL, **{key: value})
    message = str(caught.value)
    assert remedy in message
    assert key.split(".")[0] in message
    assert "\n" not in message


def test_a_bidirectional_network_cannot_carry_its_state():
    with pytest.raises(InputError, match=r"eval\.state='carry'.*bidirectional"):
        with_values(LEGAL, **{"model.bidirectional": True})


def test_an_unknown_key_is_refused_and_the_closest_one_is_named():
    with pytest.raises(InputError, match=r"window\.lenght.*window\.length"):
        parse({"data": {"name": "some_set"}, "window": {"lenght": 3}})


def test_whole_numbers_and_lists_are_taken_where_numbers_and_tuples_are_declared():
    config = parse(ConfigDict({"data": {"name": "a"}, "loss": {"mse": 2}, "model": {"fc": [3]}}))
    assert (config.loss.mse, config.model.fc) == (2.0, (3,))


def test_a_workdir_gives_back_the_config_that_was_stored(tmp_path):
    store(tmp_path / "run", LEGAL)
    assert load(tmp_path / "run") == LEGAL
    store(tmp_path / "run", LEGAL)


def test_another_config_in_the_same_workdir_is_refused_with_the_keys_that_differ(tmp_path):
    store(tmp_path, LEGAL)
    other = with_values(LEGAL, **{"model.units": 7, "seed": 5, "data.threads": 3})
    message = "model.units (256 in the run, 7 given), seed (0 in the run, 5 given)"
    with pytest.raises(InputError, match=re.escape(message)):
        store(tmp_path, other)


def test_a_workdir_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="workdir of a run"):
        load(tmp_path)


def test_a_resumed_run_may_change_its_post_processing(tmp_path):
    store(tmp_path, LEGAL)
    store(tmp_path, with_values(LEGAL, **{"post.steps": ("lag",)}))


def test_an_evaluation_may_change_how_tracks_are_predicted_but_not_the_network(tmp_path):
    store(tmp_path, LEGAL)
    windows = with_values(LEGAL, **{"eval.state": "window"})
    assert for_evaluation(tmp_path, None) == LEGAL
    assert for_evaluation(tmp_path, windows) == windows
    with pytest.raises(InputError, match=r"model\.units"):
        for_evaluation(tmp_path, with_values(LEGAL, **{"model.units": 7}))


def test_a_config_of_an_older_version_gets_the_defaults_of_new_keys(tmp_path):
    old = to_tree(LEGAL)
    del old["post"], old["log"]["hlo"], old["data"]["max_bad_records"]
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert load(tmp_path) == LEGAL
    store(tmp_path, LEGAL)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"log": 3}', '{"new": 1}', "\x00"])
def test_a_file_that_is_not_a_config_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json: .*(restore|save)"):
        load(tmp_path)


def test_overrides_may_leave_out_the_first_word():
    short = config_file.read(None, ["--eval.state=window", "--seed=3"])
    long = config_file.read(None, ["--config.eval.state=window", "--config.seed=3"])
    assert short.eval.state == long.eval.state == "window"
    assert short.seed == long.seed == 3


@pytest.mark.parametrize(
    "flags",
    [
        ("--seed=3", "--seed=4"),
        ("--eval.state=window", "--config.eval.state=window"),
        ("--config.seed", "3", "--config.seed=4"),
        ("--config.log.progress", "--noconfig.log.progress"),
    ],
)
def test_a_key_set_twice_is_refused(flags):
    with pytest.raises(InputError, match="sets the same key; remove one"):
        config_file.read(None, flags)


def test_a_shipped_config_is_found_by_its_name_and_your_own_file_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("quickstart.py:tiny", "configs/quickstart.py:tiny"):
        assert config_file.read(name).data.name == "synthetic_faces/tiny"
    own = "from va_jax.config import defaults\n\n\ndef get_config():\n    config = defaults()\n"
    (tmp_path / "quickstart.py").write_text(f"{own}    config.seed = 7\n    return config\n")
    assert config_file.read("quickstart.py").seed == 7
    with pytest.raises(InputError, match=r"nowhere\.py.*quickstart\.py"):
        config_file.read("nowhere.py")


@pytest.mark.parametrize(
    ("file", "flag", "message"),
    [
        ("quickstart.py", "--config.model.unit=3", "unit"),
        ("quickstart.py", "--config.seed=many", "seed"),
        ("quickstart.py:no_such_variant", "--config.seed=1", "no_such_variant"),
        ("quickstart.py", "extra", "extra"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(file, flag, message):
    with pytest.raises(InputError, match=message) as caught:
        config_file.read(file, [flag])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("model.recurrent", "model.temporal"),
        ("model.recurrent_dropout", "model.temporal_dropout"),
        ("optim.rates.recurrent", "optim.rates.temporal"),
    ],
)
def test_a_key_of_an_earlier_version_is_refused_with_its_new_name(tmp_path, old, new):
    tree = keys.unflatten({"data.name": "some_set", old: 0})
    with pytest.raises(InputError, match=rf"{re.escape(old)}; .*{re.escape(new)}$"):
        parse(tree)
    (tmp_path / "config.json").write_text(json.dumps(tree))
    with pytest.raises(InputError, match=rf"config\.json: .*{re.escape(old)}; .*{new}"):
        load(tmp_path)
    with pytest.raises(InputError, match=rf"{old.split('.')[-1]}'; .*{re.escape(new)}"):
        config_file.read(None, [f"--{old}=0"])
