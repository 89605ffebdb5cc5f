"""The resolved configuration of a run: checked at the border, kept in the workdir, compared."""

import json
import math
import pathlib
import re
from typing import Any

from ml_collections import ConfigDict

from va_jax.io import write_text
from va_jax.types import InputError

CHOICES = {
    "window.remainder": ("pad", "drop", "shift"),
    "init.inflate": ("centred", "copied"),
    "optim.name": ("adam", "adamw", "sgd"),
    "optim.schedule": ("constant", "cosine"),
    "eval.state": ("carry", "window"),
    "eval.fusion": ("mean", "median", "extremum", "last", "centre"),
    "post.scale": ("about_mean", "avec"),
}

POST_STEPS = ("median", "centre", "scale", "lag")

RANGES = {  # lowest, highest; both legal
    "seed": (0, 2**32 - 1),
    "data.size": (0, None),
    "data.max_bad_records": (0, None),
    "data.threads": (1, None),
    "log.profile_steps": (0, None),
    "window.length": (1, None),
    "window.hop": (1, None),
    "window.stride": (1, None),
    "augment.crop": (0.01, 1),
    "augment.rotation_deg": (0, 180),
    "augment.brightness": (0, 0.99),
    "augment.contrast": (0, 0.99),
    "augment.saturation": (0, 0.99),
    "augment.hue": (0, 0.5),
    "loss.ccc": (0, None),
    "loss.mse": (0, None),
    "optim.learning_rate": (1e-12, None),
    "optim.warmup_steps": (0, None),
    "optim.weight_decay": (0, None),
    "optim.clip_norm": (0, None),
    "optim.rates.backbone": (0, None),
    "optim.rates.fc": (0, None),
    "optim.rates.recurrent": (0, None),
    "optim.rates.heads": (0, None),
    "train.steps": (1, None),
    "train.batch_size": (1, None),
    "train.accumulate": (1, None),
    "train.log_every_steps": (1, None),
    "eval.every_steps": (1, None),
    "eval.batch_size": (1, None),
    "eval.length": (1, None),
    "eval.hop": (1, None),
    "post.max_lag_s": (0, 60),
    "checkpoint.every_steps": (1, None),
    "checkpoint.keep": (1, None),
}

MAY_DIFFER = (
    "data.dir", "data.build_missing", "data.threads", "data.max_bad_records", "log",
    "checkpoint.keep", "post",
)  # fmt: skip
"""Keys that change no number a run produces, so a resumed run may change them."""

ADDED = {
    "data": {"max_bad_records": 0},
    "log": {"profile_steps": 0, "hlo": False},
    "post": {
        "steps": ["median", "centre", "scale", "lag"],
        "medians_s": [0.4, 0.8, 1.2, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0],
        "scale": "about_mean",
        "max_lag_s": 10.0,
    },
}
"""Keys that older workdirs lack, with the values of configs/default.py; none changes what such a
run recorded."""


def check(config: ConfigDict) -> None:
    """Raise an InputError that names the first illegal key, its value and the legal ones.

    The `model` section is left to `models.networks.build`, which checks what it builds.
    """
    for key, legal in CHOICES.items():
        if _get(config, key) not in legal:
            raise InputError(f"{key}={_get(config, key)!r} is not one of {', '.join(legal)}")
    for key, (low, high) in RANGES.items():
        value = _get(config, key)
        if not value >= low or (high is not None and value > high):
            limits = f">= {low}" if high is None else f"from {low} to {high}"
            raise InputError(f"{key}={value} is out of range; it must be {limits}")
    for key in ("init.leave_out", "init.fresh"):
        for pattern in _get(config, key):
            try:
                re.compile(pattern)
            except re.error as error:
                raise InputError(f"{key}: {pattern!r} is no regular expression: {error}") from error
    for step in config.post.steps:
        if step not in POST_STEPS:
            raise InputError(f"post.steps: {step!r} is not one of {', '.join(POST_STEPS)}")
    for window_s in config.post.medians_s:
        if not 0 < window_s < math.inf:
            raise InputError(f"post.medians_s: {window_s} is out of range; it must be above 0 s")
    if not config.data.name:
        raise InputError("data.name is empty; name a built data set, such as 'video_folder/112'")
    for key in ("data.train", "data.dev"):
        if not _get(config, key):
            raise InputError(f"{key} is empty; name a split of the data set")
    if config.loss.ccc == config.loss.mse == 0:
        raise InputError("loss.ccc=0 and loss.mse=0 leave nothing to learn; set one above 0")
    if config.eval.hop > config.eval.length:
        raise InputError(
            f"eval.hop={config.eval.hop} is above eval.length={config.eval.length} and would "
            "leave frames without a prediction; lower it"
        )
    if config.model.bidirectional and config.eval.state == "carry":
        raise InputError(
            "eval.state='carry' has no state to carry for a network that sees both ways in time "
            "(model.bidirectional); set eval.state='window', eval.length and eval.hop"
        )
    for period, base in (
        ("train.batch_size", "train.accumulate"),
        ("eval.every_steps", "checkpoint.every_steps"),
    ):
        if _get(config, period) % _get(config, base):
            raise InputError(
                f"{period}={_get(config, period)} is not a multiple of {base}={_get(config, base)}"
            )


def claim(
    workdir: pathlib.Path, config: ConfigDict, may_differ: tuple[str, ...] = MAY_DIFFER
) -> None:
    """Write `config` to `workdir`, or check that the config there is the same.

    Raises an InputError that lists the keys that differ, except those that `may_differ`.
    """
    path = workdir / "config.json"
    if path.exists():
        there, here = _flat(load(workdir).to_dict()), _flat(_plain(config))
        differing = [
            f"{key} ({there.get(key)!r} there, {here.get(key)!r} here)"
            for key in sorted(there.keys() | here.keys())
            if there.get(key) != here.get(key) and not key.startswith(may_differ)
        ]
        if differing:
            raise InputError(
                f"{path}: the workdir holds a run with another config: {', '.join(differing)}; "
                "choose another --workdir"
            )
        return
    workdir.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(_plain(config), indent=1) + "\n")


def load(workdir: pathlib.Path) -> ConfigDict:
    """The config of the run in `workdir`."""
    path = workdir / "config.json"
    if not path.exists():
        raise InputError(f"{path}: not found; is {str(workdir)!r} the workdir of a run?")
    try:
        tree = json.loads(path.read_text())
        for section, keys in ADDED.items():
            there = tree.get(section, {})
            tree[section] = there | {key: keys[key] for key in keys if key not in there}
        return ConfigDict(tree).lock()
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not the config of a run ({error!r}); restore it") from error


def of_run(workdir: pathlib.Path, given: ConfigDict | None) -> ConfigDict:
    """What the run in `workdir` is evaluated with: its config, or the one that is `given`.

    That may differ in how the network is run and its output processed; otherwise raises InputError.
    """
    stored = load(workdir)
    if given is None:
        return stored
    claim(workdir, given, (*MAY_DIFFER, "eval."))
    return given


def _plain(config: ConfigDict) -> dict[str, Any]:
    """What `config` becomes by a round trip through JSON: tuples are lists."""
    return json.loads(config.to_json())


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _get(config: ConfigDict, key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config
