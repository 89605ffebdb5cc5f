"""Print docs/config.md: `python -m va_jax.config > docs/config.md`."""

from va_jax import keys
from va_jax.config import Config

print(keys.page(Config), end="")
