"""Draw training windows: as stored, as seen by the network, and with their labels.

    va_jax preview synthetic_faces/quickstart --out=sheet.png --augment.crop=0.7
    va_jax preview --config=teixeira2021.py:resnet50 --data.name=sewa/224 --out=sheet.png

The windows are the first ones that a training run with this config and seed would draw. Override
any config key with --KEY=VALUE. Without --config, the augmentation is strong enough to be visible.
"""

import argparse
import pathlib

from absl import logging

from va_jax import config as configuration
from va_jax.cli import config_file
from va_jax.types import InputError

TAKES_CONFIG_KEYS = True

AUGMENT = {
    "crop": 0.85, "rotation_deg": 10.0,
    "brightness": 0.2, "contrast": 0.2, "saturation": 0.3, "hue": 0.03,
}  # fmt: skip
"""Augmentation used without a config: our choice, strong enough to be visible."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", nargs="?", metavar="NAME", help="built data set; default: data.name in the config")
    add("--config", metavar="FILE[:VARIANT]", help="config file of a training run")
    add("--data_dir", help="folder of the built data sets; default: data.dir in the config")
    add("--out", required=True, type=pathlib.Path, help="write the image to this .png file")
    add("--overwrite", action="store_true", help="replace an existing image")
    add("--windows", type=int, default=4, help="number of windows to draw; default %(default)s")


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    from va_jax.data import preview

    logging.set_verbosity(logging.WARNING)  # TFDS logs every set it opens
    base = None
    if args.config is None:
        base = configuration.parse({"data": {"name": "none"}, "augment": AUGMENT})
    tree = config_file.read(args.config, overrides, base).to_dict()
    given = {"name": args.data, "dir": args.data_dir}
    tree["data"] |= {key: value for key, value in given.items() if value is not None}
    if args.data is not None:
        tree["data"] |= {"weights": (), "strides": ()}  # those of the data sets in the config
    if tree["data"]["name"] in ("", "none"):
        raise InputError(
            "NAME is missing; pass the name of a built data set, such as video_folder/112"
        )
    if not 1 <= args.windows <= preview.MAX_WINDOWS:
        raise InputError(
            f"--windows={args.windows} is out of range; choose a number from 1 to "
            f"{preview.MAX_WINDOWS}"
        )
    parsed = configuration.parse(tree)
    lines = preview.write_preview(parsed, args.windows, args.out, args.overwrite)
    print(*lines, args.out, sep="\n")
    return 0
