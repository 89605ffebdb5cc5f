"""Build a data set: `python -m tfds_builders.build NAME[/CONFIG] --data_dir=DIR`.

Exit code 0: built, or there already. 1: not built. 3: built without the recordings whose input is
bad; they are named, and stand in report.csv with the reason.
"""

import argparse
import contextlib
import io
import json
import pathlib
import shlex
import shutil
import sys
from collections.abc import Sequence

import tensorflow_datasets as tfds

from tfds_builders import common, report, workers
from tfds_builders.choose import make_builder
from va_jax.types import InputError


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
    run = workers.processes(jobs) if beam is None else workers.beam(beam)
    settings = {"options": options, "run": run, "strict": strict}
    builder = make_builder(name, data_dir, **settings)
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and manual_dir is None:
        raise InputError(f"{name} needs --manual_dir: {builder.MANUAL_DOWNLOAD_INSTRUCTIONS}")
    if wait:
        common.wait_for_other_build(builder.parts_dir)
    final = pathlib.Path(builder.data_dir)
    replacing = final.exists()
    if replacing and not overwrite:
        _refuse_other_options(final, builder)
        return final, False
    staging = data_dir / f"{builder.name}.overwrite"
    if replacing:
        builder = make_builder(name, staging, **settings)
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
    metadata = json.loads((final / "metadata.json").read_text())
    if "refused" not in metadata:
        raise InputError(f"{final} was built by an older version; build it anew by --overwrite")
    built = metadata["options"]
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
