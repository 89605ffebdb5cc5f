"""Build a data set from its source material.

Example: python -m tfds_builders.build aff_wild2/112 --manual_dir=DIR --data_dir=data --jobs=8

Exit codes: 0 if the set was built, 1 if it was not, and 3 if it was built without the recordings
whose input is bad. Those are printed, and listed in report.csv with the reason.
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
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds

import tfds_builders
from tfds_builders import base, metadata, origin, workers
from va_jax import io
from va_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """The options of a build."""

    name: str  # "set" or "set/config"
    data_dir: pathlib.Path  # folder for built sets
    manual_dir: pathlib.Path | None = None  # folder with the source material
    jobs: int = 1  # number of processes that extract recordings
    overwrite: bool = False  # replace an existing set once the new one is complete
    strict: bool = False  # stop at the first bad recording
    wait: bool = False  # if the set is being built by another process, wait; otherwise fail
    beam: Sequence[str] | None = None  # extract with Apache Beam and these flags; None: without
    config_options: Sequence[str] = ()  # key=value pairs for fields of the builder's config


def build(options: BuildOptions) -> int:
    """Build a set, print a summary and the recordings left out, and return the exit code.

    Raises:
        InputError: Nothing was built.
    """
    directory, new = build_set(options)
    print(f"{'built' if new else 'already built'}: {directory}")
    print(describe(directory))
    found = _metadata(directory)
    rates = [track["fps"] for tracks in found["tracks"].values() for track in tracks]
    for line in [*found.get("warnings", ()), *metadata.rate_warnings(rates)]:
        print(f"warning: {line}", file=sys.stderr)
    refused = refusals(directory)
    for track, reason in refused.items():
        print(f"left out: {track}: {reason}", file=sys.stderr)
    if refused:
        report = directory / metadata.REPORT
        print(f"recordings left out: {len(refused)} (see {report})", file=sys.stderr)
    return 3 if refused else 0


def build_set(options: BuildOptions) -> tuple[pathlib.Path, bool]:
    """Build a set unless it already exists; return its directory and whether it is new.

    Raises:
        InputError: Nothing was built, or the existing set was built with different options or from
            different source material.
    """
    if options.jobs < 1:
        raise InputError(f"jobs={options.jobs} must be at least 1")
    data_dir = options.data_dir.expanduser()
    manual_dir = options.manual_dir and options.manual_dir.expanduser()
    run = workers.processes(options.jobs) if options.beam is None else workers.beam(options.beam)
    settings = {"options": options.config_options, "run": run, "strict": options.strict}
    builder = make_builder(options.name, data_dir, **settings)
    needs = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    if needs and manual_dir is None:
        raise InputError(f"{options.name} needs --manual_dir: {needs}")
    final = pathlib.Path(builder.data_dir)
    if options.wait:
        base.wait_for_other_build(builder.parts_dir)
    if not final.exists():
        _prepare(builder, manual_dir)
        return final, True
    if not options.overwrite:
        _refuse_other_set(final, builder, manual_dir)
        return final, False
    staging = final.with_name(f"{final.name}.overwrite")  # each configuration has its own
    builder = make_builder(options.name, staging, **settings)
    if options.wait:
        base.wait_for_other_build(builder.parts_dir)
    _prepare(builder, manual_dir)
    with io.replacing(final) as temporary:
        pathlib.Path(builder.data_dir).rename(temporary)
    shutil.rmtree(staging)
    return final, True


def _prepare(builder: base.TrackBuilder, manual_dir: pathlib.Path | None) -> None:
    given = tfds.download.DownloadConfig(manual_dir=manual_dir)
    with contextlib.redirect_stdout(streams.StringIO()):  # hide messages from TFDS about downloads
        builder.download_and_prepare(download_config=given)


def _refuse_other_set(
    final: pathlib.Path, builder: base.TrackBuilder, manual_dir: pathlib.Path | None
) -> None:
    """Raise InputError if the built set differs from the one that the builder would build."""
    wanted = json.loads(json.dumps(base.options_of(builder.builder_config)))
    facts = io.read_json(final / "metadata.json", "build the data set again with --overwrite")
    source = manual_dir if builder.MANUAL_DOWNLOAD_INSTRUCTIONS else None
    if "refused" not in facts or (source and "sources" not in facts):
        raise InputError(f"{final} was built by an older version; rebuild it with --overwrite")
    fields = dataclasses.fields(builder.builder_config) if wanted else ()
    options = {each.name: each.default for each in fields if each.name in wanted}
    built = json.loads(json.dumps(options)) | facts["options"]  # a new option had its default
    other = [f"{key}={built.get(key)}" for key in wanted if wanted[key] != built.get(key)]
    if other:
        raise InputError(
            f"{final} was built with {', '.join(other)}; pass the same options or --overwrite"
        )
    if source:
        _refuse_other_source(final, facts["sources"], builder, source)


def _refuse_other_source(
    final: pathlib.Path,
    sources: Mapping[str, str],
    builder: base.TrackBuilder,
    manual_dir: pathlib.Path,
) -> None:
    if not manual_dir.is_dir():
        raise InputError(
            f"{manual_dir}: no such folder; set --manual_dir to the source material of {final}"
        )
    difference = origin.difference(sources, builder.sources(manual_dir))
    if difference:
        raise InputError(
            f"{final} was not built from the source material in {manual_dir}: {difference}; choose "
            "a different --data_dir, or pass --overwrite"
        )


def make_builder(
    name: str, data_dir: pathlib.Path, options: Sequence[str] = (), **settings: Any
) -> base.TrackBuilder:
    """Return the builder for a set.

    Args:
        name: "set" or "set/config". The default is the set's first configuration.
        data_dir: Folder for built sets.
        options: key=value pairs that change the configuration.
        **settings: Keyword arguments for the builder.

    Raises:
        InputError: The name, the configuration or an option is unknown.
    """
    set_name, _, config_name = name.partition("/")
    builder_cls = builder_class(set_name)
    known = {config.name: config for config in builder_cls.BUILDER_CONFIGS}
    if config_name and config_name not in known:
        raise InputError(
            f"{set_name} has no config {config_name!r}; choose from {', '.join(known)}"
        )
    chosen = known.get(config_name) or next(iter(known.values()), None)
    parsed = _parse_options(options, chosen)
    return builder_cls(data_dir=data_dir, config=config_name or None, options=parsed, **settings)


def builder_class(name: str) -> type[base.TrackBuilder]:
    """Return the class `Builder` from the package tfds_builders/<name>."""
    packages = [each.name for each in pkgutil.iter_modules(tfds_builders.__path__) if each.ispkg]
    modules = {each: f"tfds_builders.{each}.{each}_dataset_builder" for each in packages}
    known = [each for each in packages if importlib.util.find_spec(modules[each])]
    if name not in known:
        raise InputError(f"there is no builder {name!r}; choose from {', '.join(known)}")
    return importlib.import_module(modules[name]).Builder


def _parse_options(texts: Sequence[str], config: Any) -> dict[str, Any]:
    """Parse `key=value` pairs into the types of the config's fields; a tuple is written `a,b`."""
    known = base.options_of(config)
    options: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in known:
            raise InputError(
                f"option {text!r}: expected key=value, with a key from {', '.join(known)}"
            )
        if key in options:
            raise InputError(f"option {text!r}: {key} is already set; remove one of the two")
        kind = type(known[key])
        try:
            if kind is bool:
                options[key] = {"true": True, "false": False}[value.lower()]
            else:
                options[key] = tuple(value.split(",")) if kind is tuple else kind(value)
        except (ValueError, KeyError) as error:
            raise InputError(
                f"option {key}={value!r}: the value must be of type {kind.__name__}"
            ) from error
    return options


def refusals(directory: pathlib.Path) -> dict[str, str]:
    """Return {track: reason why it is not in the built set}."""
    return _metadata(directory)["refused"]


def describe(directory: pathlib.Path) -> str:
    """Return a summary of a built set: one line for the set, and one or two for each split."""
    facts = _metadata(directory)
    lines = [
        f"{', '.join(facts['dims'])} at {facts['fps']:g} fps, crops of {facts['crop']['size']} px"
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
    """Add the flags of the command; pass the parsed arguments to `run`."""
    add = parser.add_argument
    add("name", metavar="NAME[/CONFIG]", help="name of the data set")
    add("--data_dir", type=pathlib.Path, required=True, help="folder for built data sets")
    add("--manual_dir", type=pathlib.Path, help="folder with the source material")
    add("--jobs", type=int, default=1, help="number of worker processes")
    add("--overwrite", action="store_true", help="replace an existing data set")
    add("--strict", action="store_true", help="stop at the first bad recording")
    add("--wait", action="store_true", help="wait if the data set is already being built")
    add(
        "--beam",
        metavar="FLAGS",
        type=shlex.split,
        action="extend",
        help="extract with Apache Beam; pass its flags as one string, such as "
        "'--runner=DirectRunner'",
    )
    add(
        "--config_options",
        nargs="*",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="options of the builder; see its README",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    try:
        names = [field.name for field in dataclasses.fields(BuildOptions)]
        return build(BuildOptions(**{name: getattr(args, name) for name in names}))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # such as a full disk
        if error.errno is None:
            raise
        place = f" ({error.filename})" if error.filename else ""
        print(
            f"error: {error.strerror}{place}; fix the problem, then run the same command again to "
            "continue",
            file=sys.stderr,
        )
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
