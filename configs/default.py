"""The default values of all keys, for runs on your own data set; docs/config.md explains each key.

Override any key on the command line:
`python -m va_jax.main --config=configs/default.py --config.data.name=NAME ...`.
An unknown key or an illegal value is an error.
"""

from va_jax.config import defaults as get_config

__all__ = ["get_config"]
