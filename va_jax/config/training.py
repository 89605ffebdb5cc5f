"""Configuration keys of initial parameters, loss, optimiser and the training run."""

from dataclasses import dataclass, field

from va_jax.keys import at_least, changeable, choice, key

FRESH = ("params/temporal.*", "params/head_.*")
OPTIMISERS = ("adam", "adamw", "sgd", "muon", "schedule_free")


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
    """Weights of the loss terms, at least one of which must be positive, and of frames."""

    ccc: float = key(1.0, "weight of 1 - CCC, computed over the global batch", low=0)
    mse: float = key(0.0, "weight of the mean squared error", low=0)
    cross_entropy: float = key(0.0, "weight of the cross-entropy over model.bins", low=0)
    rater_weight: float = key(
        0.0,
        "largest ratio between the weights of two frames, above 1; a frame counts less if its "
        "raters disagree; 0 for equal weights",
        low=0,
    )


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
