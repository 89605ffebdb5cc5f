"""Flags and the config file they name, read so that a mistake in them is one line."""

import sys

from absl import flags


def parse(argv: list[str], config: flags.FlagHolder | None = None) -> list[str]:
    """What of `argv` is no flag; exits with one line where a flag or a config key is wrong."""
    try:
        rest = flags.FLAGS(argv)
        if config is not None and config.value is not None:
            _ = config.value.seed  # a file that could not be loaded says so only when it is used
    except (KeyError, AttributeError) as error:
        cause = error.args[0].args[0] if isinstance(error.args[0], KeyError) else error.args[0]
        sys.exit(f"error: unknown config key {' '.join(str(cause).splitlines())}")
    except (flags.Error, OSError) as error:
        cause = str(error).strip().splitlines()[-1].strip()
        sys.exit(f"error: {cause.removeprefix('ValueError: ')}")
    return rest
