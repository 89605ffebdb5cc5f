"""Temporal stacks on cached features of real faces, trained in minutes without a GPU.

Usage: `configs/heads.py:STACK` or `configs/heads.py:STACK,BACKBONE`. STACK is

tcn_lru: a TCN and Linear Recurrent Units, in windows of 300 frames with a distance of 200
gru, lstm, tcn, lru, transformer: the same with a different stack
none: a linear layer per frame, to see what a stack adds

With `tiny` as the last word, a run takes only a few seconds, for tests.

BACKBONE is `efficientnet_b0` (the default), `farl_b16`, `vit_s14`, `vit_b14`, `vit_s16`, `vit_b16`
or `resnet50`. First cache the features of a built data set, then train on them (docs/features.md):

    va_jax features --config=heads.py:gru --data.name=NAME --init.weights=FILE --flip --out=cached
    va_jax train --config=heads.py:tcn_lru --data.name=NAME --init.weights=FILE
        --data.features=cached --workdir=runs/tcn_lru --seeds=0,1,2

The order of the layers, the windows and the frozen features follow Mamba-VA (2025), which uses
Mamba in place of the LRUs. All other values are our choice.
"""

from ml_collections import ConfigDict

from configs import variants
from va_jax.config import defaults

STACKS = ("tcn_lru", "gru", "lstm", "tcn", "lru", "transformer", "none")
BACKBONES = (
    "efficientnet_b0", "farl_b16", "vit_s14", "vit_b14", "vit_s16", "vit_b16", "resnet50"
)  # fmt: skip


def get_config(variant: str = STACKS[0]) -> ConfigDict:
    """Return the config for a stack and, after a comma, a backbone."""
    legal = {"stack": STACKS, "backbone": BACKBONES, "size": ("tiny",)}
    words = variants.read("configs/heads.py", variant, legal)
    config = defaults()
    config.data.name = "video_folder/224"
    config.data.size = 224
    config.window.length = 300
    config.window.hop = 200
    config.init.leave_out = ("params/head_.*",)
    config.model.backbone = words.get("backbone", BACKBONES[0])
    config.model.temporal = words["stack"]
    config.model.layers = 4 if "tcn" in words["stack"] else 2
    config.model.units = 128
    config.model.dropout = 0.3
    config.model.temporal_dropout = 0.1
    config.loss.mse = 0.1
    config.optim.rates.backbone = 0.0
    config.optim.learning_rate = 1e-3
    config.optim.weight_decay = 1e-2
    config.optim.schedule = "cosine"
    config.optim.warmup_steps = 100
    config.optim.clip_norm = 1.0
    config.optim.ema = 0.99
    config.train.steps = 2000
    config.train.batch_size = 16
    config.eval.length = 300
    config.eval.hop = 300
    if "size" in words:
        config.model.backbone = "resnet"
        return variants.shrink(config)
    return config
