"""Build a data set: `python -m tfds_builders.build NAME[/CONFIG] --data_dir=DIR`.

Exit code 0: built, or there already. 1: not built. 3: built without the recordings whose input is
bad; they are named, and stand in report.csv with the reason.
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
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
from tfds_builders import common, report, workers
from va_jax.schema import InputError


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


def build(
    name: str,
    data_dir: pathlib.Path,
    manual_dir: pathlib.Path | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    options: Sequence[str] = (),
    wait: bool = False,
    strict: bool = False,
    beam: Sequence[str] | None = None,
) -> tuple[pathlib.Path, bool]:
    """Builds the set `name` ("set" or "set/config"); returns its directory and if it is new.

    A set that is there already is left alone; `overwrite` replaces it once the new one is whole.
    Another build of the same set is refused, or with `wait` waited for. `beam`, flags of Apache
    Beam, hands the recordings to it instead of to `jobs` processes.
    Raises InputError also where the one that is there was built with other options.
    """
    if jobs < 1:
        raise InputError(f"jobs={jobs} must be at least 1")
    data_dir = data_dir.expanduser()
    manual_dir = manual_dir and manual_dir.expanduser()
    set_name, _, config_name = name.partition("/")
    builder_cls = builder_class(set_name)
    known = {config.name: config for config in builder_cls.BUILDER_CONFIGS}
    if config_name and config_name not in known:
        raise InputError(f"{set_name} has no config {config_name!r}; known: {', '.join(known)}")
    chosen = known.get(config_name) or next(iter(known.values()), None)
    if builder_cls.MANUAL_DOWNLOAD_INSTRUCTIONS and manual_dir is None:
        raise InputError(
            f"{set_name} needs --manual_dir: {builder_cls.MANUAL_DOWNLOAD_INSTRUCTIONS}"
        )
    settings = {
        "config": config_name or None,
        "options": parse_options(options, chosen),
        "run": workers.processes(jobs) if beam is None else workers.beam(beam),
        "strict": strict,
    }
    builder = builder_cls(data_dir=data_dir, **settings)
    if wait:
        common.wait_for_other_build(builder.parts_dir)
    final = pathlib.Path(builder.data_dir)
    replacing = final.exists()
    if replacing and not overwrite:
        _refuse_other_options(final, builder)
        return final, False
    staging = data_dir / f"{set_name}.overwrite"
    if replacing:
        builder = builder_cls(data_dir=staging, **settings)
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS speaks of downloads of unknown size
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
        )
    if replacing:
        old = final.with_name(f"{final.name}.old")
        final.rename(old)
        pathlib.Path(builder.data_dir).rename(final)
        shutil.rmtree(old)
        shutil.rmtree(staging)
    return final, True


def _refuse_other_options(final: pathlib.Path, builder: common.TrackBuilder) -> None:
    asked = json.loads(json.dumps(common.options_of(builder.builder_config)))
    built = json.loads((final / "metadata.json").read_text())["options"]
    other = [f"{key}={built.get(key)}" for key in asked if asked[key] != built.get(key)]
    if other:
        raise InputError(
            f"{final} was built with {', '.join(other)}; give the same options or --overwrite"
        )


def refusals(directory: pathlib.Path) -> dict[str, str]:
    """{track: why it is not in the built set}."""
    return tfds.builder_from_directory(directory).info.metadata["refused"]


def describe(directory: pathlib.Path) -> str:
    """A line about the set and one for each split."""
    facts = tfds.builder_from_directory(directory).info.metadata
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
            told = (f"{key} {number}" for key, number in count["tally"].items())
            lines.append(f"{'':5} {', '.join(told)}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tfds_builders.build", description=__doc__)
    parser.add_argument("name", metavar="NAME[/CONFIG]")
    parser.add_argument("--data_dir", type=pathlib.Path, required=True, help="where sets are kept")
    parser.add_argument("--manual_dir", type=pathlib.Path, help="folder of the source material")
    parser.add_argument("--jobs", type=int, default=1, help="processes to extract with")
    parser.add_argument("--overwrite", action="store_true", help="build anew and replace")
    parser.add_argument("--strict", action="store_true", help="stop at the first bad recording")
    parser.add_argument(
        "--beam",
        metavar="FLAGS",
        help="extract by Apache Beam, its flags in one string, such as '--runner=DirectRunner'",
    )
    parser.add_argument("--wait", action="store_true", help="for another build of the set to end")
    parser.add_argument(
        "--config_options", nargs="*", default=[], metavar="KEY=VALUE", help="see the set's README"
    )
    args = parser.parse_args(argv)
    try:
        directory, new = build(
            args.name,
            args.data_dir,
            args.manual_dir,
            args.jobs,
            args.overwrite,
            args.config_options,
            args.wait,
            args.strict,
            None if args.beam is None else shlex.split(args.beam),
        )
        print(f"{'built' if new else 'already built'}: {directory}")
        print(describe(directory))
        refused = refusals(directory)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for track, reason in refused.items():
        print(f"left out: {track}: {reason}", file=sys.stderr)
    if refused:
        where = directory / report.NAME
        print(f"{len(refused)} recordings left out, see {where}", file=sys.stderr)
    return 3 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
