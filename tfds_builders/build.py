"""Build a data set from its source material.

Example: python -m tfds_builders.build aff_wild2/112 --manual_dir=DIR --data_dir=data --jobs=8

Exit code 0: the set is built. 1: it is not. 3: it is built without the recordings whose input is
bad; these are printed, and listed in report.csv with the reason.
"""

import argparse
import contextlib
import dataclasses
import importlib
import importlib.util
import io as streams
import json
import pathlib
import pkgutil
import shlex
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import tensorflow_datasets as tfds

import tfds_builders
from tfds_builders import base, metadata, workers
from va_jax import io
from va_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """Which set to build, and how."""

    name: str  # "set" or "set/config"
    data_dir: pathlib.Path  # the folder of built sets
    manual_dir: pathlib.Path | None = None  # the folder of the source material
    jobs: int = 1  # processes that extract recordings
    overwrite: bool = False  # replace a set that exists, once the new one is complete
    strict: bool = False  # stop at the first bad recording
    wait: bool = False  # wait for another build of the set; False: fail
    beam: Sequence[str] | None = None  # flags of Apache Beam, which then extracts; None: processes
    config_options: Sequence[str] = ()  # key=value, fields of the builder's config


def build(options: BuildOptions) -> int:
    """Build a set, print a description of it and the recordings left out; return the exit code.

    Raises:
        InputError: nothing was built.
    """
    directory, new = build_set(options)
    print(f"{'built' if new else 'already built'}: {directory}")
    print(describe(directory))
    refused = refusals(directory)
    for track, reason in refused.items():
        print(f"left out: {track}: {reason}", file=sys.stderr)
    if refused:
        report = directory / metadata.REPORT
        print(f"{len(refused)} recordings left out, see {report}", file=sys.stderr)
    return 3 if refused else 0


def build_set(options: BuildOptions) -> tuple[pathlib.Path, bool]:
    """Build a set, unless it exists; return its directory, and whether it is new.

    Raises:
        InputError: nothing was built, or the existing set was built with other options.
    """
    if options.jobs < 1:
        raise InputError(f"jobs={options.jobs} must be at least 1")
    data_dir = options.data_dir.expanduser()
    manual_dir = options.manual_dir and options.manual_dir.expanduser()
    run = workers.processes(options.jobs) if options.beam is None else workers.beam(options.beam)
    settings = {"options": options.config_options, "run": run, "strict": options.strict}
    builder = make_builder(options.name, data_dir, **settings)
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and manual_dir is None:
        instructions = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
        raise InputError(f"{options.name} needs --manual_dir: {instructions}")
    if options.wait:
        base.wait_for_other_build(builder.parts_dir)
    final = pathlib.Path(builder.data_dir)
    if not final.exists():
        _prepare(builder, manual_dir)
        return final, True
    if not options.overwrite:
        _refuse_other_options(final, builder)
        return final, False
    staging = data_dir / f"{builder.name}.overwrite"
    builder = make_builder(options.name, staging, **settings)
    _prepare(builder, manual_dir)
    with io.replacing(final) as temporary:
        pathlib.Path(builder.data_dir).rename(temporary)
    shutil.rmtree(staging)
    return final, True


def _prepare(builder: base.TrackBuilder, manual_dir: pathlib.Path | None) -> None:
    with contextlib.redirect_stdout(streams.StringIO()):  # TFDS prints about downloads
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
        )


def _refuse_other_options(final: pathlib.Path, builder: base.TrackBuilder) -> None:
    wanted = json.loads(json.dumps(base.options_of(builder.builder_config)))
    facts = io.read_json(final / "metadata.json", "build the set again with --overwrite")
    if "refused" not in facts:
        raise InputError(f"{final} was built by an older version; build it again with --overwrite")
    built = facts["options"]
    other = [f"{key}={built.get(key)}" for key in wanted if wanted[key] != built.get(key)]
    if other:
        raise InputError(
            f"{final} was built with {', '.join(other)}; give the same options or --overwrite"
        )


def make_builder(
    name: str, data_dir: pathlib.Path, options: Sequence[str] = (), **settings: Any
) -> base.TrackBuilder:
    """Return the builder of the set `name` ("set" or "set/config").

    Args:
        name: the set, and one of its configurations; without one, the first counts.
        data_dir: the folder of built sets.
        options: key=value, changes to the configuration.
        **settings: keyword arguments of the builder.

    Raises:
        InputError: the name, the configuration or an option is unknown.
    """
    set_name, _, config_name = name.partition("/")
    builder_cls = builder_class(set_name)
    known = {config.name: config for config in builder_cls.BUILDER_CONFIGS}
    if config_name and config_name not in known:
        raise InputError(f"{set_name} has no config {config_name!r}; known: {', '.join(known)}")
    chosen = known.get(config_name) or next(iter(known.values()), None)
    parsed = _parse_options(options, chosen)
    return builder_cls(data_dir=data_dir, config=config_name or None, options=parsed, **settings)


def builder_class(name: str) -> type[base.TrackBuilder]:
    """Return the class Builder of the package tfds_builders/<name>."""
    packages = [each.name for each in pkgutil.iter_modules(tfds_builders.__path__) if each.ispkg]
    modules = {each: f"tfds_builders.{each}.{each}_dataset_builder" for each in packages}
    known = [each for each in packages if importlib.util.find_spec(modules[each])]
    if name not in known:
        raise InputError(f"no builder {name!r}; known: {', '.join(known)}")
    return importlib.import_module(modules[name]).Builder


def _parse_options(texts: Sequence[str], config: Any) -> dict[str, Any]:
    """Return `key=value` texts as values of the config's types; a tuple is written `a,b`."""
    known = base.options_of(config)
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
            raise InputError(f"option {key}={value!r} is not of type {kind.__name__}") from error
    return options


def refusals(directory: pathlib.Path) -> dict[str, str]:
    """Return {track: why it is not in the built set}."""
    return _metadata(directory)["refused"]


def describe(directory: pathlib.Path) -> str:
    """Return a line about a built set, and a line or two for each split."""
    facts = _metadata(directory)
    lines = [
        f"{', '.join(facts['dims'])} at {facts['fps']:g} fps, crops {facts['crop']['size']} px"
    ]
    for split, count in facts["counts"].items():
        face, labelled = (count[key] / count["frames"] for key in ("face", "labelled"))
        lines.append(
            f"{split:5} {count['tracks']:6} tracks {count['frames']:9} frames, "
            f"{face:4.0%} with a face, {labelled:4.0%} labelled"
        )
        if count["tally"]:
            tally = (f"{key} {number}" for key, number in count["tally"].items())
            lines.append(f"{'':5} {', '.join(tally)}")
    return "\n".join(lines)


def _metadata(directory: pathlib.Path) -> dict[str, Any]:
    return dict(tfds.builder_from_directory(directory).info.metadata or {})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command; `run` takes what they parse to."""
    parser.add_argument("name", metavar="NAME[/CONFIG]", help="a data set of tfds_builders")
    parser.add_argument("--data_dir", type=pathlib.Path, required=True, help="folder of built sets")
    parser.add_argument("--manual_dir", type=pathlib.Path, help="folder of the source material")
    parser.add_argument("--jobs", type=int, default=1, help="processes that extract recordings")
    parser.add_argument("--overwrite", action="store_true", help="replace a set that exists")
    parser.add_argument("--strict", action="store_true", help="stop at the first bad recording")
    parser.add_argument("--wait", action="store_true", help="wait for another build of the set")
    parser.add_argument(
        "--beam",
        metavar="FLAGS",
        type=shlex.split,
        help="extract with Apache Beam; its flags in one string, such as '--runner=DirectRunner'",
    )
    parser.add_argument(
        "--config_options", nargs="*", default=[], metavar="KEY=VALUE", help="see the set's README"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    try:
        names = [field.name for field in dataclasses.fields(BuildOptions)]
        return build(BuildOptions(**{name: getattr(args, name) for name in names}))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tfds_builders.build",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
