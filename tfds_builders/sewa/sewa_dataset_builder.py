"""Build SEWA Basic: clips of people from six cultures in video chats, rated frame by frame."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, ClassVar

from tfds_builders import splits
from tfds_builders.croissant import Publication
from tfds_builders.material import Material, Recording
from tfds_builders.recorded import RecordedBuilder
from tfds_builders.recorded_config import RecordedConfig, named_configs
from tfds_builders.sewa import clips
from tfds_builders.sewa.labels import RANGE, read_labels
from tfds_builders.sewa.landmarks import POINTS, landmarks_of
from va_jax.types import DIMS, InputError
from va_jax.video.facts import read_timeline

ANNOTATIONS = ("A", "V", "AV")
REPEATS = ("drop", "keep")

GRID_FPS = 50.0
"""Rate that the frame numbers in clip names, labels and landmarks refer to."""

LENGTH_TOLERANCE = 0.1
"""Largest relative difference in length between a video and its clip's name (our choice)."""

FOLDS = 5

VARIANTS = {
    "": {"faces": "landmarks", "annotation": "AV"},
    "V": {"faces": "landmarks", "annotation": "V"},
    "A": {"faces": "landmarks", "annotation": "A"},
    "detect": {"faces": "detect", "annotation": "AV"},
    "detect_V": {"faces": "detect", "annotation": "V"},
    "detect_A": {"faces": "detect", "annotation": "A"},
}
"""Part of a configuration's name -> options to set."""


@dataclasses.dataclass
class SewaConfig(RecordedConfig):
    """Options of this builder, set with `--config_options key=value`."""

    FACES: ClassVar = ("landmarks", "detect")

    faces: str = "landmarks"
    annotation: str = "AV"  # material that the raters were given: A (audio), V (video) or AV (both)
    repeats: str = "drop"  # drop repeated frames, which fill the 50 Hz grid, or "keep" them
    columns: tuple[str, ...] = ()  # DIM:NAME of the value columns; (): by their names

    def __post_init__(self):
        super().__post_init__()
        for name, legal in (("annotation", ANNOTATIONS), ("repeats", REPEATS)):
            if getattr(self, name) not in legal:
                known = ", ".join(legal)
                raise InputError(f"{name}={getattr(self, name)!r} is not one of {known}")
        if not set(self.dims) <= set(DIMS):
            raise InputError(f"dims={','.join(self.dims)}: SEWA Basic has only {', '.join(DIMS)}")

    @property
    def points(self) -> int:
        return POINTS if self.faces == "landmarks" else super().points


def read(recording: Recording, config: SewaConfig) -> Material:
    """Join the labels and landmarks of a clip to its video by frame number."""
    clip = clips.parse(recording.track_id)
    video = pathlib.Path(recording.files["video"])
    _check_length(video, clip)
    files = {dim: pathlib.Path(recording.files[dim]) for dim in config.dims}
    labels = read_labels(files, clip, config.columns)
    places = None
    if config.faces == "landmarks":
        places = landmarks_of(pathlib.Path(recording.files["landmarks"]), clip)
    return Material(
        video,
        config.faces,
        labels,
        first=clip.first,
        grid_fps=GRID_FPS,
        places=places,
        landmarks=places,
        repeats=config.repeats == "keep",
    )


def _check_length(video: pathlib.Path, clip: clips.Clip) -> None:
    frames = round(read_timeline(video).time_s[-1] * GRID_FPS) + 1
    if abs(frames - clip.frames) > LENGTH_TOLERANCE * clip.frames:
        raise InputError(
            f"{video}: has {frames} frames at {GRID_FPS:g} frames per second, but should have "
            f"{clip.frames} according to the clip's name; replace it with the clip's own video"
        )


class Builder(RecordedBuilder):
    """SEWA Basic: one track per clip; people who talked to each other are in the same split."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "the folder 'SEWA DB v0.2 - BASIC' with unpacked clips, such as "
        "SSL_C2_S055_P109_VC1_004803_005542"
    )
    BUILDER_CONFIGS: ClassVar = named_configs(SewaConfig, VARIANTS, folds=FOLDS)
    read = staticmethod(read)
    publication = Publication("2021", "https://db.sewaproject.eu")
    expected: ClassVar = {"all": 538}

    @property
    def labels_facts(self) -> dict[str, Any]:
        source = f"{self.builder_config.annotation} annotation"
        return {"source": source, "range": list(RANGE), "join": "frame number"}

    def scan(self, manual_dir: pathlib.Path) -> list[Recording]:
        folders = clips.find_clips(manual_dir)
        if not folders:
            raise InputError(
                f"{manual_dir}: contains no folder such as SSL_C2_S055_P109_VC1_004803_005542; "
                "expected the top folder of the data set"
            )
        return [_recording(folder, self.builder_config) for folder in folders.values()]

    def splitting_units(self, recordings: Sequence[Recording]) -> dict[str, str]:
        """Keep the two people in a session together, along with everyone else they talked to."""
        pairs = ((each.subject_id, each.details["session"]) for each in recordings)
        return splits.linked_subjects(pairs)


def _recording(folder: pathlib.Path, config: SewaConfig) -> Recording:
    clip = clips.parse(folder.name)
    files, problem = {}, ""
    try:
        found = clips.files_of(folder)
        files["video"] = str(clips.find_video(folder, found))
        for dim in config.dims:
            files[dim] = str(clips.find_labels(folder, found, dim, config.annotation))
        if config.faces == "landmarks":
            files["landmarks"] = str(clips.find_landmarks(folder, found))
    except InputError as error:
        problem = str(error)
    return Recording(
        track_id=clip.name,
        video_id=clip.name,
        subject_id=clip.participant,
        files=files,
        group=clip.culture,
        details={"session": clip.session},
        problem=problem,
    )
