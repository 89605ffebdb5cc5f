"""A network that learns valence and arousal from rendered faces, within minutes on a 2-core CPU.

No data set is required: the faces are rendered on the first run.

configs/quickstart.py: a CNN with a GRU
configs/quickstart.py:lstm: a CNN with an LSTM
configs/quickstart.py:tcn: a CNN with temporal convolutions over the last 61 frames
configs/quickstart.py:lru: a CNN with two Linear Recurrent Units
configs/quickstart.py:tcn_lru: a CNN with two temporal convolutions and two Linear Recurrent Units
configs/quickstart.py:transformer: a CNN with two blocks of attention to the last 64 frames
configs/quickstart.py:frame: the same CNN on single frames
configs/quickstart.py:i3d: the CNN inflated to three taps in time, with random weights or, with
    `--config.init.from_workdir` and `--config.init.inflate`, initialized from a `:frame` run
configs/quickstart.py:tiny: a run of a few seconds, for tests
"""

from ml_collections import ConfigDict

from va_jax.config import defaults


def get_config(variant: str = "gru") -> ConfigDict:
    """Return the config for gru, lstm, tcn, lru, tcn_lru, transformer, frame, i3d or tiny."""
    config = defaults()
    config.data.name = "synthetic_faces/quickstart"
    config.data.build_missing = True
    config.window.length = 32  # 6.4 s: every second frame at 10 fps
    config.window.stride = 2
    config.window.hop = 16
    config.augment.brightness = 0.1
    config.augment.contrast = 0.1
    config.model.backbone = "resnet"
    config.model.stage_sizes = (1, 1, 1)
    config.model.width = 16
    config.model.temporal = "gru"
    config.model.layers = 1
    config.model.units = 64
    config.loss.mse = 0.1
    config.optim.learning_rate = 5e-3
    config.optim.schedule = "cosine"
    config.optim.warmup_steps = 20
    config.optim.weight_decay = 1e-2
    config.optim.clip_norm = 1.0
    config.train.steps = 400
    config.train.batch_size = 16
    config.eval.every_steps = 100
    config.checkpoint.every_steps = 100
    if variant == "frame":
        config.model.temporal = "none"
    elif variant == "lstm":
        config.model.temporal = "lstm"
    elif variant in ("tcn", "lru", "tcn_lru", "transformer"):
        config.model.temporal = variant
        config.model.layers = 4 if variant == "tcn" else 2
    elif variant == "i3d":
        config.model.temporal = "none"
        config.model.inflation.taps = 3
        config.model.inflation.padding = "edge"
        config.eval.state = "window"
        config.eval.length = 32
        config.eval.hop = 16
    elif variant == "tiny":
        config.data.name = "synthetic_faces/tiny"
        config.model.stage_sizes = (1, 1)
        config.model.width = 8
        config.model.units = 8
        config.window.length = 16
        config.window.hop = 16
        config.train.steps = 2
        config.train.batch_size = 4
        config.train.log_every_steps = 1
        config.eval.every_steps = 1
        config.eval.batch_size = 4
        config.eval.length = 16
        config.eval.hop = 16
        config.checkpoint.every_steps = 1
    elif variant != "gru":
        legal = "gru, lstm, tcn, lru, tcn_lru, transformer, frame, i3d or tiny"
        raise ValueError(f"configs/quickstart.py:{variant}: unknown variant; use {legal}")
    return config
