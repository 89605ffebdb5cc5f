"""The default of every key, for runs on a data set of your own; docs/config.md explains each key.

`python -m va_jax.main --config=configs/default.py --config.data.name=NAME ...` overrides any key on
the command line. An unknown key or an illegal value is refused.
"""

from va_jax.config import defaults as get_config

__all__ = ["get_config"]
