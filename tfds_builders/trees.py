"""Find folders and files in a data set's tree as its owners have it, misspelt or doubled."""

import pathlib
from collections.abc import Iterable

from va_jax.types import InputError
from va_jax.video.read import VIDEO_SUFFIXES


def find_folder(root: pathlib.Path, *levels: str | tuple[str, ...]) -> pathlib.Path | None:
    """The folder `root`/level/level ..., None where a level is missing.

    A level is a name or several alternatives, in any case; the first that exists counts. A folder
    in which its own name is the only folder (`train/train`) is passed through. A level `*/NAME`
    may also lie one folder deeper.
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
    """`find_folder`; raises InputError that says what was looked for where."""
    found = find_folder(root, *levels)
    if found is None:
        names = (level if isinstance(level, str) else " or ".join(level) for level in levels)
        wanted = "/".join(names).replace("*/", "")
        raise InputError(f"{root}: has no folder {wanted}; is it the top of the set?")
    return found


def files_by_name(folder: pathlib.Path, suffixes: Iterable[str]) -> dict[str, pathlib.Path]:
    """{name without suffix: file} of the folder's files with one of the suffixes, in any case.

    Hidden files, such as those that other systems leave behind, do not count. Raises InputError
    where two files differ only in their suffix.
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
    """{name without suffix: video} of the videos in `root` and `depth` levels below it.

    Folders whose name begins with `cropped` are not entered: they hold millions of images.
    """
    found: dict[str, pathlib.Path] = {}
    for path in sorted(root.iterdir()):
        if path.is_dir():
            if depth and not path.name.startswith("cropped"):
                found = videos_by_name(path, depth - 1) | found
        elif path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith("."):
            found[path.stem] = path
    return found
