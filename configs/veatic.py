"""Networks for VEATIC, built as `veatic/224` or `veatic/112`; all values are our choice.

Usage: `configs/veatic.py:NETWORK`. NETWORK is

features,lru: Linear Recurrent Units on cached features of EmotiEffLib's network, which stays frozen
features,gru, features,tcn, features,tcn_lru, features,transformer: a different stack
resnet50,gru: ResNet-50, which is trained, with a GRU, for one large GPU
frame: EmotiEffLib's network, frozen, with a linear layer per frame, to see what a stack adds

With `tiny` as the last word, a run takes only a few seconds, for tests.

`features` and `frame` need the file `enet_b0_8_va_mtl.pt` (docs/models.md) and the folder of its
features; `resnet50` needs weights to start from, such as torchvision's for ImageNet
(docs/weights.md). docs/veatic.md contains all commands.

For the official protocol, add `--data.name=veatic/224_official`. No window is longer than the gap
that the builder leaves between the parts of a video (128 frames).
"""

from ml_collections import ConfigDict

from configs import variants
from va_jax.config import defaults

BACKBONES = ("features", "resnet50", "frame")
STACKS = ("lru", "gru", "tcn", "tcn_lru", "transformer")
VARIANTS = ("features,lru", "resnet50,gru", "frame")


def get_config(variant: str = VARIANTS[0]) -> ConfigDict:
    """Return the config for a backbone and, after a comma, a temporal stack."""
    legal = {"backbone": BACKBONES, "stack": STACKS, "size": ("tiny",)}
    words = variants.read("configs/veatic.py", variant, legal)
    if words["backbone"] == "frame" and "stack" in words:
        raise ValueError(
            f"configs/veatic.py:{variant}: 'frame' has no temporal stack; remove {words['stack']!r}"
        )
    config = defaults()
    config.window.length = 128
    config.window.hop = 64
    config.model.units = 128
    config.model.dropout = 0.3
    config.loss.mse = 0.1
    config.optim.learning_rate = 1e-3
    config.optim.weight_decay = 1e-2
    config.optim.schedule = "cosine"
    config.optim.warmup_steps = 100
    config.optim.clip_norm = 1.0
    config.optim.ema = 0.99
    config.train.steps = 2000
    config.train.batch_size = 16
    config.eval.length = 128
    config.eval.hop = 128
    if words["backbone"] == "resnet50":
        _train_resnet50(config, words.get("stack", "gru"))
    else:
        stack = "none" if words["backbone"] == "frame" else words.get("stack", STACKS[0])
        _on_features(config, stack)
    if "size" in words:
        config.model.backbone = "resnet"
        return variants.shrink(config)
    return config


def _on_features(config: ConfigDict, stack: str) -> None:
    """Set a stack on EmotiEffLib's frozen network, which was made for crops of 224 pixels."""
    config.data.name = "veatic/224"
    config.data.size = 224
    config.init.format = "emotieffnet"
    config.init.leave_out = ("params/head_.*",)
    config.model.backbone = "efficientnet_b0"
    config.model.temporal = stack
    config.model.layers = 4 if "tcn" in stack else 2
    config.model.temporal_dropout = 0.1
    config.optim.rates.backbone = 0.0


def _train_resnet50(config: ConfigDict, stack: str) -> None:
    """Set a ResNet-50 that learns at a tenth of the rate of the new layers, in shorter windows."""
    config.data.name = "veatic/112"
    config.window.length = 32
    config.window.stride = 2
    config.window.hop = 16
    config.augment.crop = 0.875
    config.augment.rotation_deg = 10.0
    config.augment.brightness = config.augment.contrast = 0.2
    config.model.backbone = "resnet50"
    config.model.temporal = stack
    config.model.layers = 4 if "tcn" in stack else 1
    config.optim.rates.backbone = 0.1
    config.eval.length = 32
    config.eval.hop = 32
