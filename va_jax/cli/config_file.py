"""Configs on the command line: a file, shipped or your own, and keys that override it."""

import pathlib
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

import va_jax
from va_jax import config as configuration
from va_jax.config import Config
from va_jax.types import InputError

SHIPPED = pathlib.Path(va_jax.__file__).parents[1] / "configs"


def read(file: str | None, overrides: Sequence[str] = (), base: Config | None = None) -> ConfigDict:
    """Read a config file and override keys; return the config unchecked.

    Args:
        file: "FILE.py" or "FILE.py:VARIANT", found as `resolve` says; None for `base`.
        overrides: flags such as "--config.optim.learning_rate=1e-3"; the first word may be left
            out ("--optim.learning_rate=1e-3").
        base: config to override if there is no file; the defaults if it is None, too.

    Raises:
        InputError: the file cannot be loaded, or a key or its value is not legal.
    """
    argv = ["va_jax", *map(_with_prefix, overrides)]
    values = flags.FlagValues()
    if file is None:
        tree = configuration.defaults() if base is None else ConfigDict(configuration.to_tree(base))
        holder = config_flags.DEFINE_config_dict("config", tree, flag_values=values, sys_argv=argv)
    else:
        argv.insert(1, f"--config={resolve(file)}")
        holder = config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    try:
        unknown = values(argv)[1:]
        config = holder.value
        _ = config.seed  # an error in loading the file appears when the config is first used
    except (KeyError, AttributeError) as error:
        cause = error.args[0].args[0] if isinstance(error.args[0], KeyError) else error.args[0]
        raise InputError(f"unknown config key {' '.join(str(cause).splitlines())}") from error
    except (flags.Error, OSError) as error:
        cause = str(error).strip().splitlines()[-1].strip()
        raise InputError(cause.removeprefix("ValueError: ")) from error
    if unknown:
        raise InputError(f"unexpected argument {unknown[0]!r}; see --help")
    return config


def resolve(file: str) -> str:
    """Return `file`, or the shipped config of that name if there is no such file.

    "quickstart.py:tiny" and "configs/quickstart.py:tiny" both name the shipped quickstart.
    """
    path, colon, variant = file.partition(":")
    if pathlib.Path(path).exists():
        return file
    shipped = SHIPPED / path.removeprefix("configs/")
    if not shipped.is_file():
        names = ", ".join(sorted(each.name for each in SHIPPED.glob("[a-uw-z]*.py")))
        raise InputError(f"--config={file}: no such file; name one, or a shipped config: {names}")
    return f"{shipped}{colon}{variant}"


def _with_prefix(flag: str) -> str:
    """Return the flag with "config." in front of a section, such as --config.eval.state=window."""
    name = flag.lstrip("-").partition("=")[0].partition(".")[0]
    sections = configuration.defaults()
    return f"--config.{flag.lstrip('-')}" if name in sections else flag
