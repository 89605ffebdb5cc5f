"""The default values of all keys; docs/config.md explains them, own_videos.py fits your own videos.

Override any key on the command line:
`python -m va_jax.main --config=configs/default.py --config.data.name=NAME ...`.
An unknown key or an illegal value is an error.
"""

from va_jax.config import defaults as get_config

__all__ = ["get_config"]
