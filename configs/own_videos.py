"""Networks for your own videos, built as `video_folder/112`; all values are our choice.

Usage: `configs/own_videos.py:NETWORK`. NETWORK is

small: a narrow ResNet-18 with a GRU, which trains from random weights on a laptop
resnet18: ResNet-18 with an LSTM, for one GPU
resnet50: ResNet-50 with a two-layer LSTM, as in Tzirakis et al. (2021), for one large GPU
cached: a GRU on cached features of EmotiEffLib's network, which stays frozen, for a laptop
tiny: a run of a few seconds, for tests

The two large networks need weights to start from, such as torchvision's for ImageNet:
`va_jax train --config=own_videos.py:resnet50 --init.weights=FILE --workdir=DIR`. The format of the
file is recognised; docs/weights.md lists the formats. The pretrained backbone then learns at a
tenth of the learning rate of the new layers. `cached` needs a weight file and the folder of the
features (docs/features.md):

    va_jax features --config=own_videos.py:cached --init.weights=FILE --flip --out=cached
    va_jax train --config=own_videos.py:cached --init.weights=FILE --data.features=cached
        --workdir=DIR
"""

from ml_collections import ConfigDict

from configs import variants
from va_jax.config import defaults

NETWORKS = ("small", "resnet18", "resnet50", "cached", "tiny")


def get_config(variant: str = NETWORKS[0]) -> ConfigDict:
    """Return the config for a variant: small, resnet18, resnet50, cached or tiny."""
    network = variants.read("configs/own_videos.py", variant, {"network": NETWORKS})["network"]
    config = defaults()
    config.data.name = "video_folder/112"
    config.window.length = 32
    config.window.stride = 2
    config.window.hop = 16
    config.augment.crop = 0.875
    config.augment.rotation_deg = 10.0
    config.augment.brightness = config.augment.contrast = 0.2
    config.optim.schedule = "cosine"
    config.optim.warmup_steps = 100
    config.optim.weight_decay = 1e-2
    config.optim.clip_norm = 1.0
    config.loss.mse = 0.1
    config.train.steps = 2000
    config.train.batch_size = 8
    config.model.dropout = 0.2
    if network == "cached":
        return _on_features(config)
    if network in ("small", "tiny"):
        config.model.backbone = "resnet18"
        config.model.width = 16
        config.model.temporal = "gru"
        config.model.layers = 1
        config.model.units = 64
        config.optim.learning_rate = 2e-3
    else:
        config.model.backbone = network
        config.optim.learning_rate = 1e-3
        config.optim.rates.backbone = 0.1
        config.train.batch_size = 16
    if network == "resnet18":
        config.model.layers = 1
    return variants.shrink(config) if network == "tiny" else config


def _on_features(config: ConfigDict) -> ConfigDict:
    """Return the config of a stack on a frozen backbone, without augmentation of pixels."""
    config.data.size = 224  # the network was made for 224 px; crops of 112 px are enlarged
    config.augment.crop = 1.0
    config.augment.rotation_deg = config.augment.brightness = config.augment.contrast = 0.0
    config.init.format = "emotieffnet"
    config.init.leave_out = ("params/head_.*",)
    config.model.backbone = "efficientnet_b0"
    config.model.temporal = "gru"
    config.model.layers = 1
    config.model.units = 128
    config.optim.rates.backbone = 0.0
    config.optim.learning_rate = 1e-3
    config.optim.ema = 0.99
    return config
