"""Build AFEW-VA: film clips as folders of images, with landmarks and labels in JSON."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any, ClassVar

from tfds_builders import pictures
from tfds_builders.afew_va.labels import POINTS, RANGE, read_actor, read_annotation
from tfds_builders.croissant import Publication
from tfds_builders.material import Material, Recording
from tfds_builders.recorded import RecordedBuilder
from tfds_builders.recorded_config import RecordedConfig, named_configs
from va_jax.types import DIMS, InputError

DEPTH = 4
"""Number of folder levels to search for clips; AFEW-VA/AFEW-VA/01/001 has four."""


@dataclasses.dataclass
class AfewVaConfig(RecordedConfig):
    """Options of this builder, set with `--config_options key=value`."""

    FACES: ClassVar = ("landmarks", "detect")

    faces: str = "landmarks"
    fps: float = 25.0  # our choice, because the images have no timestamps

    def __post_init__(self):
        super().__post_init__()
        if not set(self.dims) <= set(DIMS):
            raise InputError(f"dims={','.join(self.dims)}: AFEW-VA has only {', '.join(DIMS)}")
        if not self.fps > 0:
            raise InputError(f"fps={self.fps} must be above 0")

    @property
    def points(self) -> int:
        return POINTS if self.faces == "landmarks" else super().points


def read(recording: Recording, config: AfewVaConfig) -> Material:
    """Join image n to frame n in the JSON file; the track covers the frame numbers of both."""
    folder = pathlib.Path(recording.files["frames"])
    annotation = read_annotation(pathlib.Path(recording.files["labels"]), config.dims)
    numbers = {*pictures.numbered_images(folder), *annotation.labels.number.tolist()}
    landmarks = annotation.landmarks if config.faces == "landmarks" else None
    return Material(
        folder,
        config.faces,
        annotation.labels,
        first=min(numbers),
        last=max(numbers),
        fps=config.fps,
        places=landmarks,
        landmarks=landmarks,
    )


class Builder(RecordedBuilder):
    """AFEW-VA, 600 short film clips: one track per clip, all clips of an actor in one split."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "the folder that contains parts 01 to 12 of AFEW-VA, or its clips, with files such as "
        "01/001/001.json and 01/001/00000.png"
    )
    BUILDER_CONFIGS: ClassVar = named_configs(AfewVaConfig, {"": {}}, folds=5)
    read = staticmethod(read)
    publication = Publication("2017", "https://ibug.doc.ic.ac.uk/resources/afew-va-database/")
    expected: ClassVar = {"all": 600}

    @property
    def labels_facts(self) -> dict[str, Any]:
        return {"source": "JSON of each clip", "range": list(RANGE), "join": "frame number"}

    def scan(self, manual_dir: pathlib.Path) -> list[Recording]:
        found: dict[str, pathlib.Path] = {}
        for folder in _clip_folders(manual_dir, DEPTH):
            other = found.setdefault(folder.name, folder)
            if other != folder:
                raise InputError(
                    f"{folder}: clip {folder.name} also exists in {other}; remove one of the two"
                )
        if not found:
            raise InputError(
                f"{manual_dir}: contains no clips such as 01/001/001.json with its images; "
                "expected the top folder of the data set"
            )
        return [_recording(found[name]) for name in sorted(found)]


def _clip_folders(root: pathlib.Path, depth: int) -> Iterator[pathlib.Path]:
    """Yield the folders that look like clips.

    These are folders with a JSON file of the same name, and folders that contain images or JSON
    files but no other folders.
    """
    for folder in sorted(root.iterdir()):
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        inside = [each for each in folder.iterdir() if not each.name.startswith(".")]
        suffixes = {each.suffix.lower() for each in inside}
        if folder / f"{folder.name}.json" in inside:
            yield folder
        elif any(each.is_dir() for each in inside):
            if depth > 1:
                yield from _clip_folders(folder, depth - 1)
        elif suffixes & {".json", *pictures.SUFFIXES}:
            yield folder


def _recording(folder: pathlib.Path) -> Recording:
    """Return the recording of a clip; its subject is the actor or, if unknown, the clip itself."""
    name, labels = folder.name, folder / f"{folder.name}.json"
    actor, problem = "", ""
    try:
        actor = read_actor(labels)
    except InputError as error:
        problem = str(error)
    files = {"frames": str(folder), "labels": str(labels)}
    return Recording(
        track_id=name, video_id=name, subject_id=actor or name, files=files, problem=problem
    )
