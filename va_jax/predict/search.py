"""Search: find the videos and images that the sources on the command line refer to."""

import collections
import dataclasses
import os
import pathlib
import stat
from collections.abc import Iterator, Sequence

from va_jax.predict.inputs import InputFile
from va_jax.types import InputError
from va_jax.video.read import VIDEO_SUFFIXES


@dataclasses.dataclass
class Found:
    """The files that were found, and messages about everything else, one line each."""

    files: list[InputFile] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)  # files that cannot be read
    repeated: list[str] = dataclasses.field(default_factory=list)  # files left out, and why
    paths: dict[str, pathlib.Path] = dataclasses.field(default_factory=dict)  # by real path

    def add(self, file: InputFile) -> None:
        """Add a file, unless it is here already or its name cannot be written to a csv file."""
        try:
            str(file.path).encode()
        except UnicodeEncodeError:
            self.problems.append(f"{file.path}: the file name is not UTF-8 text; rename the file")
            return
        same = self.paths.setdefault(os.path.realpath(file.path), file.path)
        if same is file.path:
            self.files.append(file)
        else:
            self.repeated.append(f"{file.path}: the same file as {same}")


def camera_index(sources: Sequence[str]) -> int | None:
    """Return the camera number if the only source is a camera, else None.

    Raises:
        InputError: a camera is combined with other sources.
    """
    cameras = [each for each in sources if each.isdecimal() and not pathlib.Path(each).exists()]
    if cameras and len(sources) > 1:
        raise InputError(
            f"camera {cameras[0]} cannot be combined with other sources; pass only the camera"
        )
    return int(cameras[0]) if cameras else None


def find(sources: Sequence[str], out: pathlib.Path | None = None) -> Found:
    """Find each video and image once, sorted within its source.

    Folders are searched for videos at any depth, also through links, and the results keep the
    folder structure. Hidden files and folders are skipped. If files in the same folder differ only
    in their extension, the names of their results include it.

    Args:
        sources: paths to files and folders.
        out: folder for the results; by default `FOLDER_predictions` next to a folder, and the
            current folder for a file.
    """
    found = Found()
    for source in sources:
        path = pathlib.Path(source)
        try:
            if path.is_dir():
                _add_folder(found, path, out or _beside(path))
            else:
                path.stat()
                found.add(InputFile(path, out or pathlib.Path(), pathlib.PurePath(path.name)))
        except OSError as error:
            found.problems.append(f"{source}: {error.strerror}; check the path")
    found.files = _without_extensions(found.files)
    return found


def _beside(folder: pathlib.Path) -> pathlib.Path:
    named = folder if folder.name not in ("", "..") else pathlib.Path(os.path.abspath(folder))
    return named.parent / f"{named.name}_predictions"


def _add_folder(found: Found, folder: pathlib.Path, out: pathlib.Path) -> None:
    paths = list(_search(folder, found))
    for path in sorted(paths, key=lambda path: (path.is_symlink(), path)):
        found.add(InputFile(path, out, path.relative_to(folder), folder))
    if not paths:
        suffixes = ", ".join(sorted(VIDEO_SUFFIXES))
        found.problems.append(f"{folder}: contains no videos; pass a folder with {suffixes} files")


def _search(folder: pathlib.Path, found: Found) -> Iterator[pathlib.Path]:
    """Yield the videos in a folder; a folder that can be reached in several ways is entered once.

    Linked folders come last, so that files are named after the folders that contain them.
    """

    def unreadable(error: OSError) -> None:
        found.problems.append(
            f"{error.filename}: {error.strerror}; check the permissions of the folder"
        )

    entered: dict[str, pathlib.Path] = {}
    starts = [folder]
    for start in starts:  # grows while linked folders are found
        for top, folders, names in os.walk(start, onerror=unreadable):
            here, real = pathlib.Path(top), os.path.realpath(top)
            if real in entered:
                found.repeated.append(f"{here}: the same folder as {entered[real]}")
                folders.clear()
                continue
            entered[real] = here
            folders[:] = sorted(each for each in folders if not each.startswith("."))
            starts += [here / each for each in folders if (here / each).is_symlink()]
            shown = (here / each for each in names if not each.startswith("."))
            yield from (each for each in shown if _is_video(each, found))


def _is_video(path: pathlib.Path, found: Found) -> bool:
    """Return whether a path in a folder is a video file, by its name; report unusable paths."""
    named = path.suffix.lower() in VIDEO_SUFFIXES
    if not named and not path.is_symlink():
        return False
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        what = f"this link to {os.readlink(path)}" if path.is_symlink() else "this file"
        found.problems.append(
            f"{path}: {what} cannot be read ({error.strerror}); correct or remove it"
        )
        return False
    if named and not regular:
        found.problems.append(f"{path}: not a regular file; rename or remove it")
    return named and regular


def _without_extensions(files: Sequence[InputFile]) -> list[InputFile]:
    """Remove the extensions from the names of results that stay different without them."""
    whole = {(file.out, file.name) for file in files if file.name.suffix}
    stems = collections.Counter((file.out, file.name.with_suffix("")) for file in files)
    renamed = []
    for file in files:
        stem = file.name.with_suffix("")
        alone = stems[file.out, stem] == 1 and (file.out, stem) not in whole
        renamed.append(dataclasses.replace(file, name=stem if alone else file.name))
    return renamed
