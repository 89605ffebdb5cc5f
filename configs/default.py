"""The default values of all keys (see docs/config.md); for your own videos, use own_videos.py.

Override any key on the command line:
`python -m va_jax.main --config=configs/default.py --config.data.name=NAME ...`.
An unknown key or an illegal value is an error.
"""

from va_jax.config import defaults as get_config

__all__ = ["get_config"]
