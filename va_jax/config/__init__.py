"""Define every configuration key once: its type, default, unit, legal values and help text.

Those of the network are in `model`. The files in configs/ start from `defaults()` and are plain
`ml_collections` configs, so every key can be overridden on the command line. `parse` converts such
a config to the frozen dataclasses below, which all other code receives. Defaults are our choice
unless a paper is cited.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from ml_collections import ConfigDict

from va_jax import keys
from va_jax.config import checks
from va_jax.config.model import Model
from va_jax.keys import CHANGEABLE, at_least, changeable, choice, key

FRESH = ("params/temporal.*", "params/head_.*")
OPTIMISERS = ("adam", "adamw", "sgd", "muon", "schedule_free")
STATES = ("carry", "window")
FUSIONS = ("mean", "median", "extremum", "last", "centre")
POST_STEPS = ("median", "centre", "scale", "lag")
MEDIANS_S = (0.4, 0.8, 1.2, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)


RENAMED = {
    "model.recurrent": "model.temporal",
    "model.recurrent_dropout": "model.temporal_dropout",
    "optim.rates.recurrent": "optim.rates.temporal",
}
"""Current names of keys by their names in earlier versions, for messages."""


@dataclass(frozen=True)
class Data:
    """The data set and how to read it."""

    name: str = key("", 'name of a built data set: "builder" or "builder/config"')
    dir: str = changeable(key("data", "path to the folder that contains the built data sets"))
    build_missing: bool = changeable(
        key(False, "whether to build a generated data set if it is missing")
    )
    train: str = key("train", "split to train on")
    dev: str = key("dev", "split for choosing the best checkpoint and fitting post-processing")
    test: str = key("test", "split to score after training, with or without labels; '' for none")
    size: int = at_least(0, 0, "side of the input images; 0 for the stored size", unit="pixels")
    features: str = changeable(
        key(
            "",
            "path to cached features of a frozen backbone, which replace the frames; '' for none",
        )
    )
    max_bad_records: int = changeable(
        at_least(0, 0, "largest number of unreadable records to skip in each split")
    )
    threads: int = changeable(
        at_least(2, 1, "number of threads that decode JPEGs; one per core, up to 8, is best")
    )


@dataclass(frozen=True)
class Window:
    """Windows of frames for training."""

    length: int = at_least(64, 1, "number of frames in a window", unit="frames")
    hop: int = at_least(32, 1, "distance between the starts of successive windows", unit="frames")
    stride: int = at_least(1, 1, "distance between successive frames in a window", unit="frames")
    remainder: str = choice(
        "pad", ("pad", "drop", "shift"), "how to treat the frames after the last whole window"
    )


@dataclass(frozen=True)
class Augment:
    """Augmentation, drawn at random once per training window."""

    flip: bool = key(True, "whether to mirror a window with probability 0.5")
    crop: float = key(
        1.0, "smallest side of a random crop, as a fraction of the image's side", low=0.01, high=1
    )
    rotation_deg: float = key(
        0.0, "largest rotation in either direction", low=0, high=180, unit="degrees"
    )
    brightness: float = key(0.0, "largest relative change, up or down", low=0, high=0.99)
    contrast: float = key(0.0, "largest relative change, up or down", low=0, high=0.99)
    saturation: float = key(0.0, "largest relative change, up or down", low=0, high=0.99)
    hue: float = key(0.0, "largest shift, up or down", low=0, high=0.5, unit="turns")


@dataclass(frozen=True)
class Init:
    """Initial parameters: random, or loaded from at most one source."""

    from_workdir: str = key(
        "", "path to the workdir of another run; training starts from its best parameters"
    )
    from_export: str = key("", "path to an exported model to start from")
    weights: str = key("", "path to a weight file from another project")
    format: str = key("auto", "format of the weight file: auto, or a name from docs/weights.md")
    inflate: str = choice("centred", ("centred", "copied"), "how to turn 2-D kernels into 3-D ones")
    rename: tuple[str, ...] = key(
        (), 'rules "OLD -> NEW" that rename the parameters of the source; OLD is a regex'
    )
    leave_out: tuple[str, ...] = key(
        (), "regular expressions for parameters of the source to ignore"
    )
    fresh: tuple[str, ...] = key(
        FRESH, "regular expressions for parameters that may keep their random initial values"
    )


@dataclass(frozen=True)
class Loss:
    """Weights of the loss terms; at least one must be positive."""

    ccc: float = key(1.0, "weight of 1 - CCC, computed over the global batch", low=0)
    mse: float = key(0.0, "weight of the mean squared error", low=0)
    cross_entropy: float = key(0.0, "weight of the cross-entropy over model.bins", low=0)


@dataclass(frozen=True)
class Rates:
    """Learning-rate factors for parts of the network; 0 freezes a part."""

    backbone: float = key(
        1.0, "factor for the backbone; 0 also freezes its batch-norm statistics", low=0
    )
    fc: float = key(1.0, "factor for the fully connected layers", low=0)
    temporal: float = key(1.0, "factor for the temporal stacks", low=0)
    heads: float = key(1.0, "factor for the heads", low=0)


@dataclass(frozen=True)
class Optim:
    """The optimiser."""

    name: str = choice("adamw", OPTIMISERS, "optimiser; sgd uses a Nesterov momentum of 0.9")
    learning_rate: float = key(1e-4, "peak learning rate", above=0)
    schedule: str = choice(
        "constant", ("constant", "cosine"), "learning rate after the warm-up; cosine falls to 0"
    )
    warmup_steps: int = at_least(0, 0, "duration of the linear warm-up from 0", unit="steps")
    weight_decay: float = key(0.0, "decoupled weight decay of kernels; ignored by adam", low=0)
    clip_norm: float = key(0.0, "largest global gradient norm; 0 disables clipping", low=0)
    ema: float = key(
        0.0,
        "decay per step of the moving average of the parameters, which is evaluated; 0 for none",
        low=0,
        below=1,
    )
    rates: Rates = field(default_factory=Rates)


@dataclass(frozen=True)
class Train:
    """The training run."""

    steps: int = changeable(at_least(1000, 1, "number of optimiser steps"))
    patience: int = changeable(
        at_least(
            0,
            0,
            "number of evaluations without a better dev CCC after which to stop early; 0 for never",
        )
    )
    batch_size: int = at_least(
        8, 0, "total number of windows per step, across all devices; 0 for as many as fit"
    )
    accumulate: int = at_least(
        1, 1, "number of pieces into which each batch is split; must divide batch_size"
    )
    keep_memory: bool = changeable(
        key(True, "whether to keep the memory that a step on a CPU frees, for the next step")
    )
    log_every_steps: int = changeable(at_least(20, 1, "number of steps between log lines"))


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

    tensorboard: bool = key(True, "whether to write TensorBoard events")
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
