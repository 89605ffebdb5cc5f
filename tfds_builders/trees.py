"""Find folders and files in the source material, even if names vary or folders are nested."""

import os
import pathlib
import re
from collections.abc import Iterable

from va_jax.types import InputError
from va_jax.video.read import VIDEO_SUFFIXES


def find_folder(root: pathlib.Path, *levels: str | tuple[str, ...]) -> pathlib.Path | None:
    """Return the folder `root`/level/level ..., or None if a level is missing.

    A level is a name or a tuple of alternatives, in upper or lower case; the first alternative that
    exists is used. If a folder contains only a folder of the same name (`train/train`), the inner
    one is used. A level `*/NAME` may also be one folder deeper.
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
    """Return the folder found by `find_folder`; raise InputError if there is none."""
    found = find_folder(root, *levels)
    if found is None:
        names = (level if isinstance(level, str) else " or ".join(level) for level in levels)
        wanted = "/".join(names).replace("*/", "")
        raise InputError(
            f"{root}: contains no folder {wanted}; expected the top folder of the data set"
        )
    return found


def files_by_name(folder: pathlib.Path, suffixes: Iterable[str]) -> dict[str, pathlib.Path]:
    """Return {name without suffix: file} for the files with one of the suffixes, in any case.

    Hidden files, such as those left by other operating systems, are ignored.

    Raises:
        InputError: Two files differ only in their suffix.
    """
    wanted = {suffix.lower() for suffix in suffixes}
    found: dict[str, pathlib.Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in wanted and path.is_file() and not path.name.startswith("."):
            other = found.setdefault(path.stem, path)
            if other != path:
                raise InputError(
                    f"{path}: differs from {other.name} only in its suffix; remove one of the two"
                )
    return found


def videos_by_name(root: pathlib.Path, depth: int = 2) -> dict[str, pathlib.Path]:
    """Return {name without suffix: video} for the videos in `root` and up to `depth` levels below.

    Folders whose names start with `cropped` are skipped because they contain millions of images.
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
    """Return {frame number: file}, sorted, for the files with one of the suffixes, in any case.

    The number is the last run of digits in the name. Hidden files are ignored.

    Raises:
        InputError: A name has no number, or two files have the same number.
    """
    files: dict[int, pathlib.Path] = {}
    for name in sorted(os.listdir(folder)):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in suffixes or name.startswith("."):
            continue
        digits = re.findall(r"\d+", stem)
        if not digits:
            raise InputError(
                f"{folder / name}: the name contains no frame number; expected a name like "
                f"00001{suffix}"
            )
        other = files.setdefault(int(digits[-1]), folder / name)
        if other.name != name:
            raise InputError(
                f"{folder / name}: has the same frame number as {other.name}; remove one of the two"
            )
    return dict(sorted(files.items()))
