"""Configs on the command line: a config file, and keys that override its values."""

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
    """Read a config file, apply overrides, and return the config without checking it.

    Args:
        file: "FILE.py" or "FILE.py:VARIANT", located by `resolve`; None to use `base`.
        overrides: flags such as "--config.optim.learning_rate=1e-3"; the "config." prefix may be
            omitted ("--optim.learning_rate=1e-3").
        base: config to override if `file` is None; if both are None, the defaults are used.

    Raises:
        InputError: the file cannot be loaded, a key or its value is invalid, or a key is set twice.
    """
    argv = ["va_jax", *map(_with_prefix, overrides)]
    _refuse_repeated_keys(argv[1:])
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
        _ = config.seed  # errors in the file only surface when the config is first used
    except (KeyError, AttributeError) as error:
        cause = error.args[0].args[0] if isinstance(error.args[0], KeyError) else error.args[0]
        raise InputError(f"unknown config key {' '.join(str(cause).splitlines())}") from error
    except (flags.Error, OSError) as error:
        cause = str(error).strip().splitlines()[-1].strip()
        raise InputError(cause.removeprefix("ValueError: ")) from error
    if unknown:
        raise InputError(f"unexpected argument {unknown[0]!r}; see --help")
    return config


def _refuse_repeated_keys(argv: Sequence[str]) -> None:
    first: dict[str, str] = {}
    for flag in argv:
        key = flag.lstrip("-").partition("=")[0].removeprefix("no")
        if flag.startswith("--") and key.startswith("config."):
            if key in first:
                raise InputError(f"{flag}: {first[key]} sets the same key; remove one of the two")
            first[key] = flag


def resolve(file: str) -> str:
    """Return `file`, or the built-in config with that name if the file does not exist.

    "quickstart.py:tiny" and "configs/quickstart.py:tiny" both refer to the built-in quickstart.
    """
    path, colon, variant = file.partition(":")
    if pathlib.Path(path).exists():
        return file
    shipped = SHIPPED / path.removeprefix("configs/")
    if not shipped.is_file():
        names = ", ".join(sorted(each.name for each in SHIPPED.glob("[a-uw-z]*.py")))
        raise InputError(
            f"--config={file}: no such file; expected a file, or one of the built-in configs: "
            f"{names}"
        )
    return f"{shipped}{colon}{variant}"


def _with_prefix(flag: str) -> str:
    """Add the prefix "config." to a flag for a config key, as in --config.eval.state=window."""
    name = flag.lstrip("-").partition("=")[0].partition(".")[0]
    sections = configuration.defaults()
    return f"--config.{flag.lstrip('-')}" if name in sections else flag
