"""Build a small study: a folder for each participant, with numbered crops and `ratings.csv`.

    p01/0001.jpg, p01/0002.jpg, ...
    p01/ratings.csv                  frame,valence,arousal: 1 to 9, as on the SAM scales

Copy the folder of this file to `tfds_builders/`.
"""

import dataclasses
import pathlib
from typing import Any, ClassVar

from tfds_builders.label_csv import Format, read_labels
from tfds_builders.material import Material, Recording
from tfds_builders.recorded import RecordedBuilder
from tfds_builders.recorded_config import RecordedConfig, named_configs
from va_jax.types import InputError

RANGE = (1.0, 9.0)
"""Lowest and highest legal value of a rating; they become -1 and 1."""


@dataclasses.dataclass
class LabStudyConfig(RecordedConfig):
    """Options of this builder, set with `--config_options key=value`."""

    FACES: ClassVar = ("crops", "detect")

    faces: str = "crops"  # "detect" if the images show more than the face
    fps: float = 25.0  # frame rate at which the images were taken


def read(recording: Recording, config: LabStudyConfig) -> Material:
    """Return the images and labels of a participant; the builder joins them by frame number."""
    labels = read_labels(
        pathlib.Path(recording.files["labels"]), config.dims, Format(label_range=RANGE)
    )
    folder = pathlib.Path(recording.files["frames"])
    return Material(folder, config.faces, labels, first=1, fps=config.fps)


class Builder(RecordedBuilder):
    """A small study: one track per participant; participants are drawn for the splits."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = "the folder with p01, p02, ... and a ratings.csv in each"
    BUILDER_CONFIGS: ClassVar = named_configs(LabStudyConfig, {"": {}})
    read = staticmethod(read)

    @property
    def labels_facts(self) -> dict[str, Any]:
        return {"source": "ratings.csv", "range": list(RANGE), "join": "frame number"}

    def scan(self, manual_dir: pathlib.Path) -> list[Recording]:
        files = sorted(manual_dir.glob("*/ratings.csv"))
        if not files:
            raise InputError(
                f"{manual_dir}: contains no folder with a ratings.csv; pass the folder of the study"
            )
        return [
            Recording(
                track_id=path.parent.name,
                video_id=path.parent.name,
                subject_id=path.parent.name,
                files={"frames": str(path.parent), "labels": str(path)},
            )
            for path in files
        ]
