"""Find folders and files in the source material, even if folders are renamed or nested twice."""

import os
import pathlib
import re
from collections.abc import Iterable

from va_jax.types import InputError
from va_jax.video.read import VIDEO_SUFFIXES


def find_folder(root: pathlib.Path, *levels: str | tuple[str, ...]) -> pathlib.Path | None:
    """Return the folder `root`/level/level ..., None if a level is missing.

    A level is a name or several alternatives, in any case; the first that exists counts. If the
    only folder in a folder has the same name (`train/train`), the inner one counts. A level
    `*/NAME` may also lie one folder deeper.
    """
    place = root
    for level in levels:
        names = (level,) if isinstance(level, str) else level
        found = next(filter(None, (_child(place, name) for name in names)), None)
        if found is None:
            return None
        inside = [each for each in found.iterdir() if each.is_dir()]
        if len(inside) == 1 and inside[0].name.lower() == found.name.lower():
            found = inside[0]
        place = found
    return place


def _child(place: pathlib.Path, name: str) -> pathlib.Path | None:
    deeper, name = name.startswith("*/"), name.removeprefix("*/").lower()
    folders = sorted(each for each in place.iterdir() if each.is_dir())
    for each in folders:
        if each.name.lower() == name:
            return each
    if deeper:
        return next(filter(None, (_child(each, name) for each in folders)), None)
    return None


def require_folder(root: pathlib.Path, *levels: str | tuple[str, ...]) -> pathlib.Path:
    """Return the folder that `find_folder` finds; raise InputError if there is none."""
    found = find_folder(root, *levels)
    if found is None:
        names = (level if isinstance(level, str) else " or ".join(level) for level in levels)
        wanted = "/".join(names).replace("*/", "")
        raise InputError(f"{root}: has no folder {wanted}; give the top folder of the set")
    return found


def files_by_name(folder: pathlib.Path, suffixes: Iterable[str]) -> dict[str, pathlib.Path]:
    """Return {name without suffix: file} of the files with one of the suffixes, in any case.

    Hidden files, such as those that other systems leave there, are ignored.

    Raises:
        InputError: two files differ only in their suffix.
    """
    wanted = {suffix.lower() for suffix in suffixes}
    found: dict[str, pathlib.Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in wanted and path.is_file() and not path.name.startswith("."):
            other = found.setdefault(path.stem, path)
            if other != path:
                raise InputError(
                    f"{path}: differs from {other.name} only in its suffix; remove one"
                )
    return found


def videos_by_name(root: pathlib.Path, depth: int = 2) -> dict[str, pathlib.Path]:
    """Return {name without suffix: video} of the videos in `root` and `depth` levels below it.

    Folders whose name begins with `cropped` are skipped: they hold millions of images.
    """
    found: dict[str, pathlib.Path] = {}
    for path in sorted(root.iterdir()):
        if path.is_dir():
            if depth and not path.name.startswith("cropped"):
                found = videos_by_name(path, depth - 1) | found
        elif path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith("."):
            found[path.stem] = path
    return found


def numbered_files(folder: pathlib.Path, *suffixes: str) -> dict[int, pathlib.Path]:
    """Return {frame number: file} of the files with one of the suffixes, in any case, sorted.

    The number is the last run of digits in the name; hidden files are ignored.

    Raises:
        InputError: a name has no number, or two files have the same number.
    """
    files: dict[int, pathlib.Path] = {}
    for name in sorted(os.listdir(folder)):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in suffixes or name.startswith("."):
            continue
        digits = re.findall(r"\d+", stem)
        if not digits:
            raise InputError(
                f"{folder / name}: no frame number in the name; rename it, such as to 00001{suffix}"
            )
        other = files.setdefault(int(digits[-1]), folder / name)
        if other.name != name:
            raise InputError(f"{folder / name}: has the frame number of {other.name}; remove one")
    return dict(sorted(files.items()))
