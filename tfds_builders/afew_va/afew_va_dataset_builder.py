"""Build AFEW-VA: short clips of films as folders of images, with landmarks and labels in JSON."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any, ClassVar

from tfds_builders import pictures
from tfds_builders.afew_va.labels import POINTS, RANGE, read_actor, read_annotation
from tfds_builders.material import Material, Recording
from tfds_builders.recorded import RecordedBuilder
from tfds_builders.recorded_config import RecordedConfig, named_configs
from va_jax.types import DIMS, InputError

DEPTH = 4
"""Folders from the top of a tree down to a clip, at most: AFEW-VA/AFEW-VA/01/001."""


@dataclasses.dataclass
class AfewVaConfig(RecordedConfig):
    """Options of this builder; `--config_options key=value` sets them."""

    FACES: ClassVar = ("landmarks", "detect")

    faces: str = "landmarks"
    fps: float = 25.0  # the images have no time (ours)

    def __post_init__(self):
        super().__post_init__()
        if not set(self.dims) <= set(DIMS):
            raise InputError(f"dims={','.join(self.dims)}: AFEW-VA has {', '.join(DIMS)}")
        if not self.fps > 0:
            raise InputError(f"fps={self.fps} must be above 0")

    @property
    def points(self) -> int:
        return POINTS if self.faces == "landmarks" else super().points


def read(recording: Recording, config: AfewVaConfig) -> Material:
    """Image n and frame n of the file belong together; the track spans the numbers of both."""
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
    """AFEW-VA: one track for each clip; clips of one actor stay on one side of a split."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "The folder that holds the parts 01 to 12 of AFEW-VA, or its clips: 01/001/001.json and "
        "01/001/00000.png ..."
    )
    BUILDER_CONFIGS: ClassVar = named_configs(AfewVaConfig, {"": {}}, folds=5)
    read = staticmethod(read)
    expected: ClassVar = {"all": 600}

    @property
    def labels_facts(self) -> dict[str, Any]:
        return {"source": "JSON of each clip", "range": list(RANGE), "join": "frame number"}

    def scan(self, manual_dir: pathlib.Path) -> list[Recording]:
        found: dict[str, pathlib.Path] = {}
        for folder in _clip_folders(manual_dir, DEPTH):
            other = found.setdefault(folder.name, folder)
            if other != folder:
                raise InputError(f"{folder}: clip {folder.name} lies in {other} too; remove one")
        if not found:
            raise InputError(
                f"{manual_dir}: holds no clip such as 01/001/001.json with its images; is it the "
                "top of the set?"
            )
        return [_recording(found[name]) for name in sorted(found)]


def _clip_folders(root: pathlib.Path, depth: int) -> Iterator[pathlib.Path]:
    """Folders with a file called like them, and others without folders but with images or JSON."""
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
    """The subject is the actor; a clip whose file names nobody, or is none, is its own."""
    name, labels = folder.name, folder / f"{folder.name}.json"
    actor, problem = "", ""
    try:
        actor = read_actor(labels)
    except InputError as error:
        problem = str(error)
    files = {"frames": str(folder), "labels": str(labels)}
    return Recording(name, name, actor or name, files, problem=problem)
