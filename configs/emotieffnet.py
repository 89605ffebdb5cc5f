"""EmotiEffLib's network for valence and arousal of real faces, and temporal stacks on top of it.

Usage: `configs/emotieffnet.py:NETWORK`. NETWORK is

frame: the unchanged network from the file, for `va_jax export --config`; nothing is trained
gru, lru, tcn, transformer: a temporal stack that is trained on top of it with your own labels

The file is `enet_b0_8_va_mtl.pt` in models/affectnet_emotions/ of the repository
sb-ai-lab/EmotiEffLib (Apache-2.0). Its authors trained the network on single photographs
(AffectNet). docs/models.md lists the known facts about it, and contains the commands.

With a temporal stack, the backbone keeps its weights from the file, and the heads are replaced. The
data set is `video_folder/224` unless `data.name` says otherwise; smaller crops are scaled to the
224 px that the network was made for. All values of the training are our choice.
"""

from ml_collections import ConfigDict

from configs import variants
from va_jax.config import defaults

NETWORKS = ("frame", "gru", "lru", "tcn", "transformer")


def get_config(variant: str = NETWORKS[0]) -> ConfigDict:
    """Return the config for a variant: frame, gru, lru, tcn or transformer."""
    network = variants.read("configs/emotieffnet.py", variant, {"network": NETWORKS})["network"]
    config = defaults()
    config.data.size = 224
    config.init.format = "emotieffnet"
    config.model.backbone = "efficientnet_b0"
    if network == "frame":
        config.data.name = "affectnet"  # the authors' training data; it is not read
        config.init.fresh = ()
        config.model.temporal = "none"
        return config
    config.data.name = "video_folder/224"
    config.window.length = 64
    config.window.hop = 32
    config.init.leave_out = ("params/head_.*",)
    config.model.temporal = network
    config.model.layers = 4 if network == "tcn" else 2
    config.model.units = 128
    config.model.dropout = 0.3
    config.optim.rates.backbone = 0.0
    config.optim.learning_rate = 1e-3
    config.optim.schedule = "cosine"
    config.optim.warmup_steps = 100
    config.optim.clip_norm = 1.0
    config.loss.mse = 0.1
    config.train.steps = 2000
    return config
