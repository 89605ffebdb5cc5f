"""Find the videos and label files of VEATIC, and the files whose names do not belong to it."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

from tfds_builders import trees
from va_jax.types import InputError

VIDEO = re.compile(r"(0|[1-9]\d*)\.mp4", re.ASCII)
LABELS = re.compile(r"(0|[1-9]\d*)_(valence|arousal)\.csv", re.ASCII)
ID = re.compile(r"0|[1-9]\d*", re.ASCII)

TARGETS = "target.csv"


@dataclasses.dataclass(frozen=True)
class Layout:
    """The files of a copy of VEATIC."""

    videos: dict[int, pathlib.Path]  # by id
    labels: dict[tuple[int, str], pathlib.Path]  # by id and target
    video_folder: pathlib.Path
    label_folder: pathlib.Path
    problems: dict[str, str]  # name of a file that does not belong to the set -> message
    targets: pathlib.Path  # the user's target.csv, which need not exist

    @property
    def ids(self) -> list[int]:
        """Return the ids that have a video or a label file, in order."""
        return sorted({*self.videos, *(each for each, _ in self.labels)})

    def path(self, number: int, role: str) -> pathlib.Path:
        """Return the place of the video or of a label file of an id, whether or not it exists."""
        if role == "video":
            return self.video_folder / f"{number}.mp4"
        return self.label_folder / f"{number}_{role}.csv"


def find_layout(manual_dir: pathlib.Path) -> Layout:
    """Find the files in the top folder of the set, or in the folder that contains it.

    Hidden files, such as those left by other operating systems, are ignored.

    Raises:
        InputError: The folder does not contain the set, or contains two files target.csv.
    """
    _refuse_archives(manual_dir)
    video_folder = trees.require_folder(manual_dir, "*/video")
    label_folder = trees.require_folder(manual_dir, "*/rating_averaged")
    videos, labels, problems = {}, {}, {}
    for path in _visible(video_folder):
        match = VIDEO.fullmatch(path.name)
        if match and path.is_file():
            videos[int(match[1])] = path
        else:
            problems[f"video/{path.name}"] = f"{path}: expected ID.mp4, such as 7.mp4; {REMEDY}"
    for path in _visible(label_folder):
        match = LABELS.fullmatch(path.name)
        if match and path.is_file():
            labels[int(match[1]), match[2]] = path
        else:
            wanted = "expected ID_valence.csv or ID_arousal.csv, such as 7_valence.csv"
            problems[f"rating_averaged/{path.name}"] = f"{path}: {wanted}; {REMEDY}"
    if not videos:
        raise InputError(
            f"{video_folder}: contains no videos such as 7.mp4; unpack the videos of the data set "
            "into this folder"
        )
    targets = _find_targets(manual_dir, label_folder)
    return Layout(videos, labels, video_folder, label_folder, problems, targets)


REMEDY = "rename or remove it"


def _refuse_archives(manual_dir: pathlib.Path) -> None:
    """Raise InputError if the set has not been unpacked."""
    if trees.find_folder(manual_dir, "*/video") is None:
        archive = next((each for each in _visible(manual_dir) if each.suffix == ".zip"), None)
        if archive:
            raise InputError(f"{archive}: is not unpacked; unpack it in {manual_dir}")


def _find_targets(manual_dir: pathlib.Path, label_folder: pathlib.Path) -> pathlib.Path:
    places = [manual_dir, *(each for each in label_folder.parents if manual_dir in each.parents)]
    found = [place / TARGETS for place in places if (place / TARGETS).is_file()]
    if len(found) > 1:
        raise InputError(f"{found[0]}: {found[1]} also exists; remove one of the two")
    return found[0] if found else label_folder.parent / TARGETS


def _visible(folder: pathlib.Path) -> Sequence[pathlib.Path]:
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
