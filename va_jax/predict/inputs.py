"""What a command line means by its sources: files, folders, patterns, cameras."""

import dataclasses
import glob
import pathlib
from collections.abc import Sequence

from va_jax.types import InputError

VIDEOS = {
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogv", ".ts", ".webm", ".wmv",
}  # fmt: skip
IMAGES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
"""Endings by which a folder is searched for videos, and an image is told from a video."""


@dataclasses.dataclass(frozen=True)
class Item:
    """One file to predict."""

    path: pathlib.Path
    name: pathlib.PurePath  # of its output, relative and without ending
    searched: bool  # found in a folder or by a pattern, not named itself

    @property
    def image(self) -> bool:
        return self.path.suffix.lower() in IMAGES


def camera(sources: Sequence[str]) -> int | None:
    """The index of the camera, where that is the one source."""
    cameras = [each for each in sources if each.isdecimal() and not pathlib.Path(each).exists()]
    if cameras and len(sources) > 1:
        raise InputError(f"camera {cameras[0]} stands beside other sources; give it alone")
    return int(cameras[0]) if cameras else None


def items(sources: Sequence[str]) -> tuple[list[Item], list[str]]:
    """Every file once, sorted within its source, and a line for every source that gives none.

    A folder is searched at any depth for videos and keeps its shape in the outputs. What begins
    with a dot is passed over. Raises InputError where two files would have one output.
    """
    found, problems = [], []
    for source in sources:
        path = pathlib.Path(source).expanduser()
        if path.is_dir():
            inside = [each for each in path.rglob("*") if each.suffix.lower() in VIDEOS]
            inside = [each for each in inside if not _hidden(each.relative_to(path))]
            new = [
                Item(each, each.relative_to(path).with_suffix(""), True) for each in sorted(inside)
            ]
            problem = f"{source}: holds no video; name a folder of {', '.join(sorted(VIDEOS))}"
        elif glob.has_magic(source) and not path.exists():
            matched = sorted(map(pathlib.Path, glob.glob(str(path), recursive=True)))
            matched = [each for each in matched if each.suffix.lower() in VIDEOS | IMAGES]
            new = [Item(each, pathlib.PurePath(each.stem), True) for each in matched]
            problem = f"{source}: matches no video and no image; check the pattern"
        else:
            new = [Item(path, pathlib.PurePath(path.stem), False)] if path.exists() else []
            problem = f"{source}: no such file; check the path"
        new = [each for each in new if each.path.is_file() or not each.searched]
        problems += [] if new else [problem]
        found += new
    return _named(found), problems


def _named(found: Sequence[Item]) -> list[Item]:
    """Each file once; those that differ in their ending alone keep it in the output's name."""
    once = list({each.path.resolve(): each for each in reversed(found)}.values())[::-1]
    names = [each.name for each in once]
    result = [
        dataclasses.replace(each, name=each.name.with_name(each.path.name))
        if names.count(each.name) > 1
        else each
        for each in once
    ]
    taken: dict[pathlib.PurePath, Item] = {}
    for each in result:
        other = taken.setdefault(each.name, each)
        if other is not each:
            raise InputError(
                f"{other.path} and {each.path} would both be written to {each.name}.csv; give them "
                "one by one with another --out, or --csv=FILE for all"
            )
    return result


def _hidden(path: pathlib.PurePath) -> bool:
    return any(part.startswith(".") for part in path.parts)
