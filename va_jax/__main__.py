"""Run the console command `va_jax COMMAND` as `python -m va_jax COMMAND`."""

import sys

from va_jax.cli.command import main

if __name__ == "__main__":
    sys.exit(main())
