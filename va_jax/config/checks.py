"""Check rules that involve several configuration keys; an error names key, value and remedy."""

import re
from operator import attrgetter
from typing import Any

from va_jax.keys import fail


def check(config: Any) -> None:
    """Check a `Config` for values that contradict each other or cannot be used.

    Raises:
        InputError: two values contradict each other, or one is legal by itself but unusable.
    """
    _check_texts(config)
    _check_sets(config.data)
    if config.model.heads == "per_set" and len({*config.data.head_names}) < len(config.data.names):
        remedy = "set it to 'shared', since the names of two data sets differ only in punctuation"
        fail("model.heads", "per_set", remedy)
    _check_numbers(config)
    if "jsonl" not in config.log.writers:
        remedy = "add 'jsonl', since a resumed run and the report read metrics.jsonl"
        fail("log.writers", config.log.writers, remedy)
    if config.data.subject:
        _check_subject(config)
    if config.data.features:
        _check_features(config)


def _check_texts(config: Any) -> None:
    for name in ("data.name", "data.train", "data.dev"):
        if not attrgetter(name)(config):
            remedy = "set data.name to a built data set, such as 'video_folder/112', and "
            fail(name, "", remedy + "data.train and data.dev to two of its splits")
    for name in ("init.leave_out", "init.fresh"):
        for pattern in attrgetter(name)(config):
            try:
                re.compile(pattern)
            except re.error as error:
                fail(name, pattern, f"must be a valid regular expression ({error})")


def _check_sets(data: Any) -> None:
    names = data.names
    if "" in names or len(set(names)) < len(names):
        remedy = "separate the names of different data sets with single commas"
        fail("data.name", data.name, remedy)
    for name, values in (
        ("data.weights", data.weights),
        ("data.strides", data.strides),
        ("data.features", data.features_folders),
    ):
        if len(values) not in (0, len(names)):
            remedy = f"expected one for each of the {len(names)} data sets in data.name={data.name}"
            fail(name, getattr(data, name.removeprefix("data.")), remedy)
    if "" in data.features_folders:
        fail("data.features", data.features, "separate the paths with single commas")


def _check_numbers(config: Any) -> None:
    if not (config.loss.ccc or config.loss.mse or config.loss.cross_entropy):
        fail(
            "loss.ccc, loss.mse and loss.cross_entropy",
            0,
            "set at least one of them to a value above 0",
        )
    if 0 < config.loss.rater_weight <= 1:
        remedy = "set it to 0 for equal weights, or to a ratio above 1, such as 10"
        fail("loss.rater_weight", config.loss.rater_weight, remedy)
    _check_bins(config)
    if config.optim.name == "schedule_free":
        for name, needed in (("optim.schedule", "constant"), ("optim.ema", 0)):
            if (value := attrgetter(name)(config)) != needed:
                reason = "optim.name='schedule_free' does its own averaging"
                fail(name, value, f"set it to {needed!r}, since {reason}")
    for name, base in (
        ("train.batch_size", "train.accumulate"),
        ("eval.every_steps", "checkpoint.every_steps"),
    ):
        value, divisor = attrgetter(name, base)(config)
        if value % divisor:
            fail(name, value, f"must be a multiple of {base}={divisor}")
    hop, length = config.eval.hop, config.eval.length
    if hop > length:
        fail("eval.hop", hop, f"must be at most eval.length={length} to cover every frame")
    if config.model.bidirectional and config.eval.state == "carry":
        remedy = (
            "set it to 'window', since a bidirectional network cannot carry a state along a track"
        )
        fail("eval.state", "carry", remedy)


def _check_bins(config: Any) -> None:
    bins = config.model.bins
    if bins == 1:
        fail("model.bins", 1, "set it to 0 for no bins, or to at least 2")
    if bins and config.model.bounded:
        remedy = "set it to False, since model.bins already limits predictions to [-1, 1]"
        fail("model.bounded", True, remedy)
    if config.loss.cross_entropy and not bins:
        remedy = "set model.bins to a number of bins, such as 20"
        fail("loss.cross_entropy", config.loss.cross_entropy, remedy)


def _check_subject(config: Any) -> None:
    if len(config.data.names) > 1:
        remedy = "name only the data set that contains data.subject"
        fail("data.name", config.data.name, remedy)
    names = [name for name in (config.data.train, config.data.dev, config.data.test) if name]
    if len(set(names)) < len(names):
        remedy = "set three different splits, since data.subject divides one subject among them"
        fail("data.train, data.dev and data.test", names, remedy)


FROM_FEATURES = {
    "optim.rates.backbone": 0.0,
    "augment.crop": 1.0,
    "augment.rotation_deg": 0.0,
    "augment.brightness": 0.0,
    "augment.contrast": 0.0,
    "augment.saturation": 0.0,
    "augment.hue": 0.0,
    "model.inflation.taps": 1,
    "model.pool": "mean",
}
"""Values that keys must have if the network reads features, and so never sees pixels."""


def _check_features(config: Any) -> None:
    for name, needed in FROM_FEATURES.items():
        value = attrgetter(name)(config)
        if value != needed:
            fail(name, value, f"set it to {needed!r}, or remove data.features to read frames")
    if any("conv" in branch.split("+") for branch in config.model.branches):
        remedy = "remove conv, or remove data.features to read frames"
        fail("model.branches", config.model.branches, remedy)
