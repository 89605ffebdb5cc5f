"""Build SEWA as the AVEC challenges of 2017, 2018 and 2019 handed it out, from its videos."""

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
CULTURE = "DE"  # where the name has none: the package of 2017 is German


@dataclasses.dataclass
class SewaAvecConfig(RecordedConfig):
    """Options of this builder; `--config_options key=value` sets them."""

    def __post_init__(self):
        super().__post_init__()
        if not set(self.dims) <= set(DIMS):
            raise InputError(f"dims={','.join(self.dims)}: the challenges have {', '.join(DIMS)}")


def read(recording: Recording, config: SewaAvecConfig) -> Material:
    """A video, and where the organisers gave its labels out these, joined by time."""
    labels = None
    if "labels" in recording.files:
        path = pathlib.Path(recording.files["labels"])
        labels = read_labels(path, recording.track_id, config.dims, config.max_gap_s)
    return Material(pathlib.Path(recording.files["video"]), "detect", labels)


class Builder(RecordedBuilder):
    """SEWA of AVEC: one track for each video, in the challenge's own splits."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = "The folder that holds the folders labels and video."
    BUILDER_CONFIGS: ClassVar = named_configs(SewaAvecConfig, {"": {}})
    read = staticmethod(read)
    expected: ClassVar = {"train": 68, "dev": 28, "test": 104}  # of 2019

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
            raise InputError(f"{video_folder}: holds no Train_01.avi, Train_DE_01.avi or the like")
        if len({match[2] is None for match in proper if match}) > 1:
            raise InputError(
                f"{video_folder}: holds videos both of 2017 (Train_01) and of later years "
                "(Train_DE_01), which show the same people; give the folder of one year"
            )
        label_files = {name: labels.get(name, label_folder / f"{name}.csv") for name in names}
        video_files = {name: videos.get(name, video_folder / f"{name}.avi") for name in names}
        return [_recording(name, video_files[name], label_files[name]) for name in names]


def _recording(name: str, video: pathlib.Path, labels: pathlib.Path) -> Recording:
    """The organisers kept people apart and tell no more of them, so each video is a subject."""
    match = NAME.fullmatch(name)
    files = {"video": str(video)}
    problem = ""
    if match is None:
        there = video if video.is_file() else labels
        problem = f"{there}: is not called like Train_01 or Train_DE_01; rename or remove it"
    elif not video.is_file():
        problem = f"{video}: does not exist; the video of {labels} is missing"
    elif labels.is_file():
        files["labels"] = str(labels)
    elif match[1] != "Test":
        problem = f"{labels}: does not exist; the labels of {video} are missing"
    culture = (match and match[2]) or CULTURE
    split = next(split for prefix, split in SPLITS.items() if name.startswith(prefix))
    return Recording(name, name, name, files, culture, split=split, problem=problem)
