"""Define every configuration key once: its type, default, unit, legal values and help text.

Those of the data, the network and training are in `data`, `model` and `training`. The files in
configs/ start from `defaults()` and are plain `ml_collections` configs, so every key can be
overridden on the command line. `parse` converts such a config to frozen dataclasses, which all
other code receives. Defaults are our choice unless a paper is cited.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from ml_collections import ConfigDict

from va_jax import keys
from va_jax.config import checks
from va_jax.config.data import Augment, Data, Window
from va_jax.config.model import Model
from va_jax.config.training import Init, Loss, Optim, Train
from va_jax.keys import CHANGEABLE, at_least, changeable, choice, key

STATES = ("carry", "window")
FUSIONS = ("mean", "median", "extremum", "last", "centre")
POST_STEPS = ("median", "centre", "scale", "lag")
LOG_WRITERS = ("jsonl", "tensorboard", "wandb", "mlflow")
MEDIANS_S = (0.4, 0.8, 1.2, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)


RENAMED = {
    "model.recurrent": "model.temporal",
    "model.recurrent_dropout": "model.temporal_dropout",
    "optim.rates.recurrent": "optim.rates.temporal",
    "log.tensorboard": "log.writers",
}
"""Current names of keys by their names in earlier versions, for messages."""


@dataclass(frozen=True)
class Eval:
    """Evaluation on whole tracks."""

    every_steps: int = changeable(at_least(200, 1, "number of steps between evaluations on dev"))
    batch_size: int = at_least(8, 1, "total number of tracks or windows per batch")
    state: str = choice(
        "carry",
        STATES,
        "whether to carry the temporal state along a track, or to run on separate windows",
    )
    length: int = at_least(
        64, 1, "length of a window, or of a chunk of a track if the state is carried", unit="frames"
    )
    hop: int = at_least(
        64,
        1,
        "distance between the starts of successive windows; at most eval.length",
        unit="frames",
    )
    fusion: str = choice(
        "mean",
        FUSIONS,
        "how to merge overlapping windows; last takes the one with the most past frames, centre "
        "the one in which the frame is most central",
    )


@dataclass(frozen=True)
class Post:
    """Post-processing of traces, fitted on dev; a step is kept only if it raises the dev CCC."""

    steps: tuple[str, ...] = key(
        POST_STEPS, "post-processing steps to fit, in any order", legal=POST_STEPS
    )
    medians_s: tuple[float, ...] = key(
        MEDIANS_S, "lengths of the median filters to try", above=0, unit="seconds"
    )
    scale: str = choice(
        "about_mean", ("about_mean", "avec"), "whether to scale about the mean, or (avec) about 0"
    )
    max_lag_s: float = key(
        10.0, "largest shift to try, in either direction", low=0, high=60, unit="seconds"
    )


@dataclass(frozen=True)
class Checkpoint:
    """Checkpoints saved during training."""

    every_steps: int = at_least(
        200, 1, "number of steps between checkpoints; must divide eval.every_steps"
    )
    keep: int = at_least(
        2, 1, "number of recent checkpoints to keep, in addition to the best one on dev"
    )


@dataclass(frozen=True)
class Log:
    """Additional output of a run."""

    writers: tuple[str, ...] = key(
        ("jsonl", "tensorboard"),
        "where training logs go; must contain jsonl, which is WORKDIR/metrics.jsonl; wandb and "
        "mlflow require the extra of the same name (running.md)",
        legal=LOG_WRITERS,
    )
    profile_steps: int = at_least(
        0, 0, "number of steps to profile; the profile is written to WORKDIR/profile"
    )
    hlo: bool = key(False, "whether to write the compiled step to WORKDIR/step.hlo.txt")
    progress: bool = key(True, "whether to show a progress bar on standard error")


@dataclass(frozen=True)
class Config:
    """The configuration of a run."""

    seed: int = key(
        0, "seed for parameters, data order, augmentation and dropout", low=0, high=2**32 - 1
    )
    data: Data = field(default_factory=Data)
    window: Window = field(default_factory=Window)
    augment: Augment = field(default_factory=Augment)
    init: Init = field(default_factory=Init)
    model: Model = field(default_factory=Model)
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)
    train: Train = field(default_factory=Train)
    eval: Eval = field(default_factory=Eval)
    post: Post = field(default_factory=Post, metadata=CHANGEABLE)
    checkpoint: Checkpoint = field(default_factory=Checkpoint, metadata=CHANGEABLE)
    log: Log = field(default_factory=Log, metadata=CHANGEABLE)

    def __post_init__(self) -> None:
        checks.check(self)


def defaults() -> ConfigDict:
    """Return the default of every key as a locked ConfigDict, for the files in configs/."""
    return ConfigDict(keys.default_tree(Config)).lock()


def parse(tree: Any) -> Config:
    """Convert a ConfigDict or parsed JSON to a typed config, with defaults for missing keys.

    Raises:
        InputError: a key is unknown or its value is not legal. The message names the key and value.
    """
    tree = tree.to_dict() if isinstance(tree, ConfigDict) else tree
    return keys.parse(Config, tree, renamed=RENAMED)


def to_tree(config: Any) -> dict[str, Any]:
    """Convert a config, or one of its sections, to nested dicts; tuples stay tuples."""
    return asdict(config)


def with_values(config: Config, **values: Any) -> Config:
    """Return a copy of `config` with new values, such as `**{"eval.state": "window"}`."""
    return parse(keys.unflatten(keys.flatten(to_tree(config)) | values))
