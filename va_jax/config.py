"""Every key of a run, defined once: type, default, unit, legal values and help.

The files in configs/ start from `defaults()` and are plain `ml_collections` configs, so every key
can be overridden on the command line. At the border `parse` turns such a config into the frozen
dataclasses below, which all other code receives. Values are our choice unless a paper is named.
"""

import re
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from typing import Any

from ml_collections import ConfigDict

from va_jax import keys
from va_jax.keys import at_least, choice, fail, key

FRESH = ("params/recurrent.*", "params/head_.*")
BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet50_vggface2", "seresnet50")
BACKBONES += ("vgg16", "vgg16bn", "resnet", "vgg")
STATES = ("carry", "window")
FUSIONS = ("mean", "median", "extremum", "last", "centre")
POST_STEPS = ("median", "centre", "scale", "lag")
MEDIANS_S = (0.4, 0.8, 1.2, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)


@dataclass(frozen=True)
class Data:
    """The built data set, and how it is read."""

    name: str = key("", 'built data set: "builder" or "builder/config"')
    dir: str = key("data", "folder that holds the built data sets")
    build_missing: bool = key(False, "build an absent set first (generated sets only)")
    train: str = key("train", "split to train on")
    dev: str = key("dev", "split that chooses the best checkpoint and fits post-processing")
    test: str = key("test", "split to score at the end; empty for none, may be unlabelled")
    size: int = at_least(0, 0, "side of the model's input; 0: as stored", unit="pixels")
    max_bad_records: int = at_least(0, 0, "unreadable records per split to leave out and count")
    threads: int = at_least(2, 1, "threads that decode JPEGs; about the number of cores, at most 8")


@dataclass(frozen=True)
class Window:
    """Windows of frames that the model is trained on."""

    length: int = at_least(64, 1, "frames in a window", unit="frames")
    hop: int = at_least(32, 1, "from one window's start to the next one's", unit="frames")
    stride: int = at_least(1, 1, "from one frame of a window to the next", unit="frames")
    remainder: str = choice("pad", ("pad", "drop", "shift"), "frames after the last whole window")


@dataclass(frozen=True)
class Augment:
    """Augmentation, drawn once for every training window."""

    flip: bool = key(True, "mirror every second window")
    crop: float = key(1.0, "smallest side of the random crop, share of the image", low=0.01, high=1)
    rotation_deg: float = key(0.0, "largest rotation either way", low=0, high=180, unit="degrees")
    brightness: float = key(0.0, "largest relative change either way", low=0, high=0.99)
    contrast: float = key(0.0, "largest relative change either way", low=0, high=0.99)
    saturation: float = key(0.0, "largest relative change either way", low=0, high=0.99)
    hue: float = key(0.0, "largest change either way", low=0, high=0.5, unit="turns")


@dataclass(frozen=True)
class Init:
    """The source of the initial parameters: at most one; random parameters without one."""

    from_workdir: str = key("", "run whose best parameters to start from")
    from_export: str = key("", "exported model to start from")
    weights: str = key("", "weight file of another project")
    format: str = key("auto", "format of that file: auto, or a name from docs/weights.md")
    inflate: str = choice("centred", ("centred", "copied"), "how 2-D kernels become 3-D ones")
    rename: tuple[str, ...] = key((), 'pairs "OLD -> NEW" of regular expressions on source paths')
    leave_out: tuple[str, ...] = key((), "regular expressions: parameters of the source not used")
    fresh: tuple[str, ...] = key(FRESH, "regular expressions: parameters that may stay random")


@dataclass(frozen=True)
class Inflation:
    """Temporal extent of the backbone's convolutions (teixeira2021)."""

    taps: int = at_least(1, 1, "frames a convolution sees, odd; 1: a 2-D network", unit="frames")
    layout: str = choice("spatial", ("spatial", "kinetics"), "every 3x3 and 7x7 kernel, or as I3D")
    dilation: tuple[int, ...] = key((), "frames between taps, per stage; (): 1", low=1)
    strided: bool = key(False, "time is strided with space: one value for many frames")
    pool_taps: int = at_least(1, 1, "frames a pooling layer sees, odd", unit="frames")
    padding: str = choice("zero", ("zero", "edge"), "padding in time, before and after the window")


@dataclass(frozen=True)
class Model:
    """The network: frames to one trace per dimension."""

    backbone: str = choice(
        "resnet50",
        BACKBONES,
        "network that sees frames; resnet and vgg: plain blocks, with stage_sizes of your own",
    )
    width: int = at_least(64, 1, "channels of the first stage; 64 in the published networks")
    stage_sizes: tuple[int, ...] = key((), "blocks per stage; (): the named backbone's", low=1)
    zero_init_residual: bool = key(False, "residual branches start at zero")
    compute_dtype: str = choice("float32", ("float32", "bfloat16"), "number type of the backbone")
    remat: bool = key(False, "compute each block again in the backward pass, to save memory")
    input_mean: tuple[float, ...] = key(
        (0.485, 0.456, 0.406), "mean of RGB in [0, 1]; ImageNet's; imported weights bring their own"
    )
    input_std: tuple[float, ...] = key(
        (0.229, 0.224, 0.225), "standard deviation of RGB in [0, 1]; as input_mean", above=0
    )
    inflation: Inflation = field(default_factory=Inflation)
    frame_mask: float = key(0.0, "share of a training window's frames hidden", low=0, below=1)
    pool: str = choice("mean", ("mean", "flatten"), "how the last map loses its spatial axes")
    fc: tuple[int, ...] = key((), "widths of fully connected layers, a ReLU after each", low=1)
    fc_dropout: float = key(0.0, "dropout between these layers", low=0, below=1)
    landmarks: str = choice(
        "none", ("none", "before_fc", "after_fc"), "where facial landmarks join the features"
    )
    landmark_points: int = at_least(68, 1, "landmarks per frame, (x, y) from -1 to 1 over the crop")
    branches: tuple[str, ...] = key(
        ("fc",), "input of each recurrent stack: fc, pool, conv or sums such as fc+pool"
    )
    dropout: float = key(0.0, "dropout on the input of recurrent stacks or heads", low=0, below=1)
    recurrent: str = choice("lstm", ("lstm", "gru", "none"), "kind of the recurrent stack")
    layers: int = at_least(2, 1, "recurrent layers")
    units: int = at_least(256, 1, "recurrent units per layer")
    recurrent_dropout: float = key(0.0, "dropout between recurrent layers", low=0, below=1)
    bidirectional: bool = key(False, "read windows in both directions; needs eval.state=window")
    peepholes: bool = key(False, "LSTM gates see the cell state")
    bounded: bool = key(False, "predictions pass through tanh")


@dataclass(frozen=True)
class Loss:
    """Weights of the loss terms, not all 0."""

    ccc: float = key(1.0, "1 - CCC over all frames of the global batch", low=0)
    mse: float = key(0.0, "mean squared error", low=0)


@dataclass(frozen=True)
class Rates:
    """Factors on the learning rate per part; 0 freezes the part."""

    backbone: float = key(1.0, "backbone; if 0, its batch-norm statistics are frozen too", low=0)
    fc: float = key(1.0, "fully connected layers", low=0)
    recurrent: float = key(1.0, "recurrent stacks", low=0)
    heads: float = key(1.0, "heads", low=0)


@dataclass(frozen=True)
class Optim:
    """The optimiser."""

    name: str = choice("adamw", ("adam", "adamw", "sgd"), "sgd has Nesterov momentum 0.9")
    learning_rate: float = key(1e-4, "at the peak of the schedule", above=0)
    schedule: str = choice("constant", ("constant", "cosine"), "cosine: to 0 at the last step")
    warmup_steps: int = at_least(0, 0, "linear increase from 0", unit="steps")
    weight_decay: float = key(0.0, "decoupled; adamw and sgd; kernels only", low=0)
    clip_norm: float = key(0.0, "largest global gradient norm; 0: no clipping", low=0)
    rates: Rates = field(default_factory=Rates)


@dataclass(frozen=True)
class Train:
    """The training run."""

    steps: int = at_least(1000, 1, "optimiser steps")
    batch_size: int = at_least(8, 1, "windows per step, over all devices and processes")
    accumulate: int = at_least(1, 1, "pieces in which a batch is computed; divides batch_size")
    log_every_steps: int = at_least(20, 1, "steps between log lines")


@dataclass(frozen=True)
class Eval:
    """How whole tracks are predicted."""

    every_steps: int = at_least(200, 1, "steps between scores on dev")
    batch_size: int = at_least(8, 1, "tracks or windows at once, over all devices and processes")
    state: str = choice(
        "carry", STATES, "carry the recurrent state along a track, or windows apart"
    )
    length: int = at_least(64, 1, "a window; with carry, a chunk of a track", unit="frames")
    hop: int = at_least(64, 1, "with window: from start to start, at most length", unit="frames")
    fusion: str = choice(
        "mean", FUSIONS, "of overlapping windows; last: the most past; centre: the nearest middle"
    )


@dataclass(frozen=True)
class Post:
    """Post-processing of traces, fitted on dev and kept where dev CCC rises."""

    steps: tuple[str, ...] = key(POST_STEPS, "any of these, in any order", legal=POST_STEPS)
    medians_s: tuple[float, ...] = key(MEDIANS_S, "median windows to try", above=0, unit="seconds")
    scale: str = choice(
        "about_mean", ("about_mean", "avec"), "about the predictions' mean; avec: about 0"
    )
    max_lag_s: float = key(10.0, "longest delay to try, either way", low=0, high=60, unit="seconds")


@dataclass(frozen=True)
class Checkpoint:
    """Checkpoints of the run."""

    every_steps: int = at_least(200, 1, "steps between checkpoints; divides eval.every_steps")
    keep: int = at_least(2, 1, "newest checkpoints to keep, besides the best by dev CCC")


@dataclass(frozen=True)
class Log:
    """Output of the run besides its results."""

    tensorboard: bool = key(True, "write TensorBoard events")
    profile_steps: int = at_least(0, 0, "steps to trace into WORKDIR/profile once warm")
    hlo: bool = key(False, "write the compiled step to WORKDIR/step.hlo.txt")
    progress: bool = key(True, "show a progress bar on standard error")


@dataclass(frozen=True)
class Config:
    """A whole run."""

    seed: int = key(
        0, "parameters, data order, augmentation and dropout follow from it", low=0, high=2**32 - 1
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
    post: Post = field(default_factory=Post)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    log: Log = field(default_factory=Log)

    def __post_init__(self) -> None:
        _check_texts(self)
        _check_numbers(self)


def _check_texts(config: Config) -> None:
    for name in ("data.name", "data.train", "data.dev"):
        if not attrgetter(name)(config):
            fail(name, "", "name a built data set, such as 'video_folder/112', and its splits")
    for name in ("init.leave_out", "init.fresh"):
        for pattern in attrgetter(name)(config):
            try:
                re.compile(pattern)
            except re.error as error:
                fail(name, pattern, f"write a regular expression ({error})")


def _check_numbers(config: Config) -> None:
    if config.loss.ccc == config.loss.mse == 0:
        fail("loss.ccc and loss.mse", 0, "set one above 0, or there is nothing to learn")
    for name, base in (
        ("train.batch_size", "train.accumulate"),
        ("eval.every_steps", "checkpoint.every_steps"),
    ):
        value, divisor = attrgetter(name, base)(config)
        if value % divisor:
            fail(name, value, f"set a multiple of {base}={divisor}")
    hop, length = config.eval.hop, config.eval.length
    if hop > length:
        fail("eval.hop", hop, f"set at most eval.length={length}, or frames get no prediction")
    if config.model.bidirectional and config.eval.state == "carry":
        remedy = "set 'window': a bidirectional network has no state to carry along a track"
        fail("eval.state", "carry", remedy)


def defaults() -> ConfigDict:
    """Return the defaults of all keys as a locked ConfigDict, for the files in configs/."""
    return ConfigDict(keys.default_tree(Config)).lock()


def parse(tree: Any) -> Config:
    """Return the typed config of a ConfigDict or of parsed JSON; missing keys have their defaults.

    Raises:
        InputError: a key is unknown, or its value is not legal; the message names both.
    """
    return keys.parse(Config, tree.to_dict() if isinstance(tree, ConfigDict) else tree)


def to_tree(config: Any) -> dict[str, Any]:
    """Return a config, or one of its sections, as nested dicts; tuples stay tuples."""
    return asdict(config)


def with_values(config: Config, **values: Any) -> Config:
    """Return `config` with other values under dotted names: `**{"eval.state": "window"}`."""
    return parse(keys.unflatten(keys.flatten(to_tree(config)) | values))


if __name__ == "__main__":
    print(keys.page(Config), end="")
