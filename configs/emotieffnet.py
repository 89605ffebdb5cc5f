"""EmotiEffLib's EfficientNet-B0, which estimates valence and arousal of real faces.

    va_jax export --config=emotieffnet.py --init.weights=enet_b0_8_va_mtl.pt --out=emotieffnet
    va_jax predict emotieffnet video.mp4 --overlay=seen.mp4

The file is in models/affectnet_emotions/ of the repository av-savchenko/face-emotion-recognition
(Apache-2.0). The network was trained by its authors on photographs (AffectNet) and looks at single
frames. docs/models.md says what is known about it.
"""

from ml_collections import ConfigDict

from va_jax.config import defaults


def get_config() -> ConfigDict:
    """Return the config."""
    config = defaults()
    config.data.name = "affectnet"
    config.data.size = 224
    config.init.format = "emotieffnet"
    config.init.fresh = ()
    config.model.backbone = "efficientnet_b0"
    config.model.recurrent = "none"
    return config
