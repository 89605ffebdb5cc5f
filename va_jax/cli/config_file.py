"""Configs on the command line: a config file, and keys that override its values."""

import pathlib
import re
import traceback
from collections.abc import Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

import va_jax
from va_jax import config as configuration
from va_jax.cli.parser import expand_home
from va_jax.config import Config
from va_jax.types import InputError

PATHS = ("data.dir", "init.from_workdir", "init.from_export", "init.weights")
"""Keys whose values are paths."""

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
    resolved = "" if file is None else resolve(file)
    try:
        if file is None:
            tree = (
                configuration.defaults()
                if base is None
                else ConfigDict(configuration.to_tree(base))
            )
            holder = config_flags.DEFINE_config_dict(
                "config", tree, flag_values=values, sys_argv=argv
            )
        else:
            argv.insert(1, f"--config={resolve(file)}")
            holder = config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
        unknown = values(argv)[1:]
        config = holder.value
        _ = config.seed  # errors in the file only surface when the config is first used
    except (KeyError, AttributeError) as error:
        cause = error.args[0].args[0] if isinstance(error.args[0], KeyError) else error.args[0]
        if "has no attribute 'get_config'" in str(cause):
            problem = "there is no function get_config; define one that returns a ConfigDict"
            raise InputError(f"--config={file}: {problem}") from error
        raise InputError(f"unknown config key {_unknown_key(str(cause))}") from error
    except (flags.Error, OSError) as error:
        cause = str(error).strip().splitlines()[-1].strip()
        raise InputError(cause.removeprefix("ValueError: ")) from error
    except Exception as error:
        path = resolved.partition(":")[0]
        line = _line_of(error, path)
        if line is None:
            raise
        cause = f"{type(error).__name__}: {getattr(error, 'msg', error)}"
        raise InputError(f"{path}: line {line}: {cause}") from error
    if unknown:
        raise InputError(f"unexpected argument {unknown[0]!r}; see --help")
    for section, key in (name.split(".") for name in PATHS):
        if isinstance(config[section][key], str):  # otherwise `config.parse` refuses it
            config[section][key] = expand_home(config[section][key])
    return config


def _unknown_key(cause: str) -> str:
    """Describe the unknown key that ml_collections complains about, in one line."""
    name = re.match(r"""(?:Key )?["']+(\w+)["']""", cause)
    renamed = configuration.RENAMED.items() if name else ()
    new = [now for old, now in renamed if name and old.endswith(f".{name[1]}")]
    if name and new:
        return f"{name[1]!r}; it is now called {' or '.join(new)}"
    return " ".join(cause.splitlines())


def _line_of(error: Exception, path: str) -> int | None:
    """Return the line of a config file that raised an error, or None if no line did."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == path), None)


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
    if pathlib.Path(path).is_dir():
        raise InputError(f"--config={file} is a folder; pass a Python file")
    if pathlib.Path(path).exists():
        return file
    shipped = SHIPPED / path.removeprefix("configs/")
    if not shipped.is_file():
        names = ", ".join(sorted(each.name for each in SHIPPED.glob("[a-uw-z]*.py")))
        raise InputError(
            f"--config={file}: no such file; pass an existing file or one of the built-in "
            f"configs: {names}"
        )
    return f"{shipped}{colon}{variant}"


def _with_prefix(flag: str) -> str:
    """Add the prefix "config." to a flag for a config key, as in --config.eval.state=window."""
    name = flag.lstrip("-").partition("=")[0].partition(".")[0]
    sections = configuration.defaults()
    return f"--config.{flag.lstrip('-')}" if name in sections else flag
