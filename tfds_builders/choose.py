"""The builder that a name and `key=value` options on a command line mean."""

import importlib
import importlib.util
import pathlib
import pkgutil
from collections.abc import Sequence
from typing import Any

import tfds_builders
from tfds_builders import common
from va_jax.types import InputError


def make_builder(
    name: str, data_dir: pathlib.Path, options: Sequence[str] = (), **settings: Any
) -> common.TrackBuilder:
    """The builder of the set `name` ("set" or "set/config"), its config changed by `options`.

    `settings` go to the builder. Raises InputError for an unknown name, config or option.
    """
    set_name, _, config_name = name.partition("/")
    builder_cls = builder_class(set_name)
    known = {config.name: config for config in builder_cls.BUILDER_CONFIGS}
    if config_name and config_name not in known:
        raise InputError(f"{set_name} has no config {config_name!r}; known: {', '.join(known)}")
    chosen = known.get(config_name) or next(iter(known.values()), None)
    parsed = parse_options(options, chosen)
    return builder_cls(data_dir=data_dir, config=config_name or None, options=parsed, **settings)


def builder_class(name: str) -> type[common.TrackBuilder]:
    """The class Builder of the package tfds_builders/<name>."""
    packages = [each.name for each in pkgutil.iter_modules(tfds_builders.__path__) if each.ispkg]
    modules = {each: f"tfds_builders.{each}.{each}_dataset_builder" for each in packages}
    known = [each for each in packages if importlib.util.find_spec(modules[each])]
    if name not in known:
        raise InputError(f"no builder {name!r}; known: {', '.join(known)}")
    return importlib.import_module(modules[name]).Builder


def parse_options(texts: Sequence[str], config: Any) -> dict[str, Any]:
    """`key=value` texts as values of the config's types; a tuple is written `a,b`."""
    known = common.options_of(config)
    options = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in known:
            raise InputError(f"option {text!r}: write key=value, key one of {', '.join(known)}")
        kind = type(known[key])
        try:
            if kind is bool:
                options[key] = {"true": True, "false": False}[value.lower()]
            else:
                options[key] = tuple(value.split(",")) if kind is tuple else kind(value)
        except (ValueError, KeyError) as error:
            raise InputError(f"option {key}={value!r} is no {kind.__name__}") from error
    return options
