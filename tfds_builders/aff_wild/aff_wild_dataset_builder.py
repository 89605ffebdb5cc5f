"""Build Aff-Wild, the set of the 2017 challenge, from its videos, boxes, landmarks and labels."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from tfds_builders import trees
from tfds_builders.aff_wild import labels, subjects
from tfds_builders.croissant import Publication
from tfds_builders.material import Material, Recording
from tfds_builders.points import PointFiles, box_around, read_pts
from tfds_builders.recorded import RecordedBuilder
from tfds_builders.recorded_config import RecordedConfig, named_configs
from va_jax import faces
from va_jax.types import DIMS, InputError
from va_jax.video.facts import read_timeline
from va_jax.video.read import VIDEO_SUFFIXES

POINTS = 68  # number of landmarks per face in the set

SPLITS = {"train": "", "test": "test"}
"""The challenge's splits -> our splits; subjects in "" are drawn into train and dev."""

TOPS = {
    "video": ("*/videos",),
    "labels": ("*/annotations",),
    "boxes": ("*/bboxes", "*/bboxs"),
    "landmarks": ("*/landmarks",),
}
"""Kind of file -> its folder, which contains a folder for each split in SPLITS."""

ROLES = {"boxes": ("boxes", "landmarks"), "landmarks": ("landmarks",), "detect": ("boxes",)}
"""Value of `faces` -> kinds of position files to read; labels may be joined to the first kind."""


@dataclasses.dataclass
class AffWildConfig(RecordedConfig):
    """Options of this builder, set with `--config_options key=value`."""

    FACES: ClassVar = tuple(ROLES)

    faces: str = "boxes"

    def __post_init__(self):
        super().__post_init__()
        if self.folds or self.fold:
            raise InputError(
                f"folds={self.folds}, fold={self.fold}: Aff-Wild has an official test split; "
                "both must be 0"
            )
        if set(self.dims) != set(DIMS):
            raise InputError(
                f"dims={','.join(self.dims)}: must be {' and '.join(DIMS)}, in either order"
            )

    @property
    def points(self) -> int:
        return faces.DETECTED_POINTS if self.faces == "detect" else POINTS


def read(recording: Recording, config: AffWildConfig) -> Material:
    """Join labels, boxes and landmarks to the frames, which are numbered from 1.

    A frame does not show the face if the file with its box (or with its landmarks, if crops are
    aligned with landmarks) is missing.
    """
    files = {role: pathlib.Path(path) for role, path in recording.files.items()}
    parsers = {"boxes": _read_box, "landmarks": functools.partial(read_pts, points=POINTS)}
    points = {
        role: PointFiles(_numbered_from_1(files[role]), parse)
        for role, parse in parsers.items()
        if role in files
    }
    rows = None
    if set(DIMS) <= set(files):
        role = ROLES[config.faces][0]
        values = labels.read_labels(files, config.dims)
        frames = _frames(files["video"])
        rows = labels.join(files["video"], values, frames, points.get(role, ()), role)
    places, landmarks = points.get(config.faces), points.get("landmarks")
    return Material(files["video"], config.faces, rows, first=1, places=places, landmarks=landmarks)


def _read_box(path: pathlib.Path) -> np.ndarray:
    return box_around(read_pts(path, 4))


def _numbered_from_1(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    files = trees.numbered_files(folder, ".pts")
    if 0 in files:
        raise InputError(f"{files[0]}: frames are numbered from 1, not 0; rename the files")
    return files


def _frames(video: pathlib.Path) -> int:
    timeline = read_timeline(video)
    if timeline.cut_off_s is not None:
        raise InputError(
            f"{video}: the video is truncated after {len(timeline.time_s)} frames, at "
            f"{timeline.time_s[-1]:.3f} s of {timeline.cut_off_s:.3f} s; copy it again"
        )
    return len(timeline.time_s)


class Builder(RecordedBuilder):
    """Aff-Wild: one track per video, with dev held out from the challenge's training videos."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "the folder that contains the folders videos, annotations, bboxes and landmarks, each of "
        "which contains the folders train and test"
    )
    BUILDER_CONFIGS: ClassVar = named_configs(
        AffWildConfig,
        {
            "": {"faces": "boxes"},
            "landmarks": {"faces": "landmarks"},
            "detect": {"faces": "detect"},
        },
    )
    read = staticmethod(read)
    publication = Publication(
        "2017", "https://ibug.doc.ic.ac.uk/resources/first-affect-wild-challenge/"
    )
    fractions: ClassVar = {"train": 0.85, "dev": 0.15}  # our choice
    expected: ClassVar = {"all": 298}
    _subjects = ""  # source of the subjects, for the metadata

    @property
    def labels_facts(self) -> dict[str, Any]:
        join = "frame number, or number of the box if there is a row for each box, not each frame"
        return {"source": "annotations", "range": [-1, 1], "join": join}

    def extras(self, recordings: Mapping[str, Sequence[Recording]]) -> dict[str, Any]:
        """Add the fractions and the sources of the test split and of the subjects to `splits`."""
        facts = super().extras(recordings)
        shares = {"fractions": dict(self.fractions), "test": "official", "subjects": self._subjects}
        return {**facts, "splits": facts["splits"] | shares}

    def scan(self, manual_dir: pathlib.Path) -> list[Recording]:
        faces = self.builder_config.faces
        trees.require_folder(manual_dir, TOPS["video"], "train")
        for dim in DIMS:
            trees.require_folder(manual_dir, TOPS["labels"], "train", dim)
        if faces in TOPS:
            trees.require_folder(manual_dir, TOPS[faces], "train")
        found = {split: list(_recordings(manual_dir, split, faces)) for split in SPLITS}
        split_of = _splits(manual_dir, found)
        listing = manual_dir / subjects.NAME
        self._subjects, subject_of = "each video its own", {video: video for video in split_of}
        if listing.exists():
            self._subjects = subjects.NAME
            subject_of = subjects.read_subjects(listing, split_of)
        return [
            dataclasses.replace(recording, subject_id=subject_of[recording.video_id])
            for each in found.values()
            for recording in each
        ]


def _splits(root: pathlib.Path, found: Mapping[str, Sequence[Recording]]) -> dict[str, str]:
    """Return {video: the challenge's split}.

    Raises:
        InputError: A video is in both splits.
    """
    split_of: dict[str, str] = {}
    for split, each in found.items():
        for recording in each:
            first = split_of.setdefault(recording.video_id, split)
            if first != split:
                raise InputError(
                    f"{root}: video {recording.video_id!r} is in {first} and in {split}; remove it "
                    "from one of the two"
                )
    return split_of


def _recordings(root: pathlib.Path, split: str, faces: str) -> Iterator[Recording]:
    """Yield the videos in one of SPLITS and any annotations without a video; subjects are empty."""
    by_name = {"video": _files(root, TOPS["video"], split, suffixes=VIDEO_SUFFIXES)}
    for dim in DIMS:
        by_name[dim] = _files(root, TOPS["labels"], split, dim, suffixes=[".txt"])
    tops = {role: trees.find_folder(root, TOPS[role], split) for role in ROLES[faces]}
    for video in sorted(set().union(*by_name.values())):
        files = {role: each[video] for role, each in by_name.items() if video in each}
        folders = {role: top / video for role, top in tops.items() if top is not None}
        files |= {role: folder for role, folder in folders.items() if folder.is_dir()}
        yield Recording(
            track_id=video,
            video_id=video,
            subject_id="",
            files={role: str(path) for role, path in files.items()},
            split=SPLITS[split],
            problem=_problem(video, files, split, faces),
        )


def _files(
    root: pathlib.Path, *levels: str | tuple[str, ...], suffixes: Iterable[str]
) -> dict[str, pathlib.Path]:
    folder = trees.find_folder(root, *levels)
    return {} if folder is None else trees.files_by_name(folder, suffixes)


def _problem(video: str, files: Mapping[str, pathlib.Path], split: str, faces: str) -> str:
    """Return a message about missing files, or ""; test videos may lack both label files."""
    unlabelled = [f"annotations/{split}/{dim}/{video}.txt" for dim in DIMS if dim not in files]
    if "video" not in files:
        labels_file = next(files[dim] for dim in DIMS if dim in files)
        return (
            f"{labels_file}: there is no video {video!r} in videos/{split}; add the video, or "
            "remove its labels"
        )
    if unlabelled and (split == "train" or len(unlabelled) < len(DIMS)):
        lacking = " and ".join(unlabelled)
        return f"{files['video']}: cannot find {lacking}; add the labels, or remove the video"
    if faces in TOPS and faces not in files:
        folder = f"{TOPS[faces][0].removeprefix('*/')}/{split}/{video}"
        return (
            f"{files['video']}: cannot find folder {folder}; add it, or use a `_detect` "
            "configuration"
        )
    return ""
