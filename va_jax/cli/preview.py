"""Picture what a network is fed: `python -m va_jax.browse DATA_DIR NAME --out=sheet.png`.

DATA_DIR and NAME (of a built set) may be left out where --config names them. The windows are the
first that a training run with these settings and this seed draws, augmented as that run does it.
"""

import functools
import pathlib
import sys

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from va_jax import config as configuration
from va_jax.cli import flags as command_line
from va_jax.data import preview
from va_jax.types import InputError

CONFIG = config_flags.DEFINE_config_file(
    "config", None, "FILE.py or FILE.py:VARIANT of a training: what no flag says is as there"
)
OUT = flags.DEFINE_string("out", None, "the picture to write, a .png")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "replace the picture that is there")
WINDOWS = flags.DEFINE_integer("windows", 4, "windows in the picture", 1, preview.MOST)

DEFAULTS = {  # what no flag says and no config; ours, strong enough to be seen
    "seed": 0,
    "data": {"dir": "", "name": "", "train": "train", "size": 0},
    "window": {"length": 64, "hop": 32, "stride": 1, "remainder": "pad"},
    "augment": {
        "flip": True, "crop": 0.85, "rotation_deg": 10.0,
        "brightness": 0.2, "contrast": 0.2, "saturation": 0.3, "hue": 0.03,
    },
}  # fmt: skip

HELP = {  # flag -> the key of a config that it replaces, and what it says
    "split": ("data.train", "split of the set"),
    "seed": ("seed", "another one shows other windows"),
    "size": ("data.size", "side of the fed frames, pixels; 0: as stored"),
    "length": ("window.length", "frames of a window"),
    "stride": ("window.stride", "frames from one frame of a window to the next"),
    "flip": ("augment.flip", "mirror every second window"),
    "crop": ("augment.crop", "smallest side of the random crop, fraction of the image"),
    "rotation_deg": ("augment.rotation_deg", "half-range of turns"),
    "brightness": ("augment.brightness", "relative half-range"),
    "contrast": ("augment.contrast", "relative half-range"),
    "saturation": ("augment.saturation", "relative half-range"),
    "hue": ("augment.hue", "half-range, in turns about the grey axis"),
}

MAKE = {
    str: flags.DEFINE_string, bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer, float: flags.DEFINE_float,
}  # fmt: skip


def define(name: str, key: str, text: str) -> flags.FlagHolder:
    """The flag `name`, within the limits of its key; None where it is not given."""
    default = functools.reduce(lambda tree, part: tree[part], key.split("."), DEFAULTS)
    limits = configuration.RANGES.get(key, ())
    return MAKE[type(default)](name, None, f"{text}; default {default}", *limits)


OVERRIDES = {key: define(name, key, text) for name, (key, text) in HELP.items()}


def settings(places: list[str]) -> ConfigDict:
    """A training config, or as much of one as a sheet needs, with what was given put in."""
    if len(places) != 2 and (places or CONFIG.value is None):
        told = f"not {' '.join(places)!r}" if places else "such as data synthetic_faces/quickstart"
        raise InputError(f"name a folder of built data sets and a set in it, {told}")
    given = {key: flag.value for key, flag in OVERRIDES.items() if flag.value is not None}
    given |= dict(zip(("data.dir", "data.name"), places, strict=False))
    config = ConfigDict(DEFAULTS) if CONFIG.value is None else CONFIG.value
    config.update_from_flattened_dict(given)
    if CONFIG.value is not None:
        configuration.check(config)
    return config


def main(argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)  # TFDS tells every set it opens
    try:
        if OUT.value is None:
            raise InputError("--out is missing; name the picture to write, such as sheet.png")
        out = pathlib.Path(OUT.value)
        print(preview.sheet(settings(argv[1:]), WINDOWS.value, out, OVERWRITE.value))
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    app.run(main, flags_parser=functools.partial(command_line.parse, config=CONFIG))
