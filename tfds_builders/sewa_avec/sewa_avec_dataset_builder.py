"""Build SEWA as distributed for the AVEC challenges in 2017, 2018 and 2019."""

import dataclasses
import pathlib
import re
from typing import Any, ClassVar

from tfds_builders import trees
from tfds_builders.material import Material, Recording
from tfds_builders.recorded import RecordedBuilder
from tfds_builders.recorded_config import RecordedConfig, named_configs
from tfds_builders.sewa_avec.labels import DIMS, read_labels
from va_jax.types import InputError
from va_jax.video.read import VIDEO_SUFFIXES

SPLITS = {"Train": "train", "Devel": "dev", "Test": "test"}
NAME = re.compile(r"(Train|Devel|Test)_(?:([A-Z]{2})_)?\d+")
CULTURE = "DE"  # for names without a culture: the 2017 package is German


@dataclasses.dataclass
class SewaAvecConfig(RecordedConfig):
    """Options of this builder, set with `--config_options key=value`."""

    def __post_init__(self):
        super().__post_init__()
        if not set(self.dims) <= set(DIMS):
            raise InputError(f"dims={','.join(self.dims)}: AVEC has only {', '.join(DIMS)}")


def read(recording: Recording, config: SewaAvecConfig) -> Material:
    """Join a video and its labels, if it has any, by time."""
    labels = None
    if "labels" in recording.files:
        path = pathlib.Path(recording.files["labels"])
        labels = read_labels(path, recording.track_id, config.dims, config.max_gap_s)
    return Material(pathlib.Path(recording.files["video"]), "detect", labels)


class Builder(RecordedBuilder):
    """SEWA in the AVEC challenges: one track per video, in the official splits."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = "the folder that contains the folders labels and video"
    BUILDER_CONFIGS: ClassVar = named_configs(SewaAvecConfig, {"": {}})
    read = staticmethod(read)
    expected: ClassVar = {"train": 68, "dev": 28, "test": 104}  # in 2019

    @property
    def labels_facts(self) -> dict[str, Any]:
        return {"source": "gold standard of the challenge", "range": [-1, 1], "join": "time"}

    def scan(self, manual_dir: pathlib.Path) -> list[Recording]:
        label_folder = trees.require_folder(manual_dir, "*/labels")
        video_folder = trees.require_folder(manual_dir, ("*/video", "*/videos"))
        labels = trees.files_by_name(label_folder, [".csv"])
        videos = trees.files_by_name(video_folder, VIDEO_SUFFIXES)
        names = sorted(name for name in labels | videos if name.startswith(tuple(SPLITS)))
        proper = [NAME.fullmatch(name) for name in names]
        if not any(proper):
            raise InputError(
                f"{video_folder}: contains no videos such as Train_01.avi or Train_DE_01.avi; "
                "copy the videos of the challenge to this folder"
            )
        if len({match[2] is None for match in proper if match}) > 1:
            raise InputError(
                f"{video_folder}: contains videos from 2017 (Train_01) and from later years "
                "(Train_DE_01), which show the same people; use the folder of one year"
            )
        label_files = {name: labels.get(name, label_folder / f"{name}.csv") for name in names}
        video_files = {name: videos.get(name, video_folder / f"{name}.avi") for name in names}
        return [_recording(name, video_files[name], label_files[name]) for name in names]


def _recording(name: str, video: pathlib.Path, labels: pathlib.Path) -> Recording:
    """Return the recording called `name`; each video counts as its own subject.

    Nobody is in more than one of the official splits, but subjects are not published.
    """
    match = NAME.fullmatch(name)
    files = {"video": str(video)}
    problem = ""
    if match is None:
        there = video if video.is_file() else labels
        problem = f"{there}: expected a name like Train_01 or Train_DE_01; rename or remove it"
    elif not video.is_file():
        problem = f"{video}: does not exist; add the video of {labels}"
    elif labels.is_file():
        files["labels"] = str(labels)
    elif match[1] != "Test":
        problem = f"{labels}: does not exist; add the labels of {video}"
    culture = (match and match[2]) or CULTURE
    split = next(split for prefix, split in SPLITS.items() if name.startswith(prefix))
    return Recording(
        track_id=name,
        video_id=name,
        subject_id=name,
        files=files,
        group=culture,
        split=split,
        problem=problem,
    )
