"""Build a data set from your own videos or face crops and your own label files."""

import dataclasses
import pathlib
from typing import Any, ClassVar

from tfds_builders.label_csv import read_labels
from tfds_builders.material import Material, Recording
from tfds_builders.pictures import numbered_images
from tfds_builders.raters import check_fusion
from tfds_builders.recorded import RecordedBuilder
from tfds_builders.recorded_config import RecordedConfig, named_configs
from tfds_builders.video_folder.listing import find_listing, read_listing
from va_jax import faces
from va_jax.types import InputError


@dataclasses.dataclass
class VideoFolderConfig(RecordedConfig):
    """Options of this builder, set with `--config_options key=value`."""

    FACES: ClassVar = ("auto",)

    faces: str = "auto"  # detect faces in videos; use folders as crops
    fps: float = 25.0  # frame rate of crop folders, whose images have no timestamps
    fusion: str = "ewe"  # rule to fuse several raters, one of `raters.FUSIONS`

    def __post_init__(self):
        super().__post_init__()
        check_fusion(self.fusion)
        if not self.fps > 0:
            raise InputError(f"fps={self.fps} must be above 0")

    @property
    def points(self) -> int:
        return faces.DETECTED_POINTS


def read(recording: Recording, config: VideoFolderConfig) -> Material:
    """Read the labels for one row in the listing, and join them to its video or crops by time."""
    pictures = pathlib.Path(recording.files["video"])
    labels = None
    if "labels" in recording.files:
        path = pathlib.Path(recording.files["labels"])
        labels = read_labels(path, config.dims, config.fusion)
        labels = dataclasses.replace(labels, max_gap_s=config.max_gap_s)
        if labels.step_s > config.max_gap_s:
            raise InputError(
                f"{path}: labels are {labels.step_s:g} s apart, more than "
                f"max_gap_s={config.max_gap_s:g}; raise max_gap_s"
            )
    if not pictures.is_dir():
        return Material(pictures, "detect", labels)
    first = 0 if 0 in numbered_images(pictures) else 1
    return Material(pictures, "crops", labels, first=first, fps=config.fps)


class Builder(RecordedBuilder):
    """Your own videos or folders of face crops, listed in `videos.csv`: one track per row."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "a folder with videos.csv, which has the columns video,labels[,subject][,split]"
    )
    BUILDER_CONFIGS: ClassVar = named_configs(VideoFolderConfig, {"": {}})
    read = staticmethod(read)

    @property
    def crop(self) -> dict[str, Any]:
        return super().crop | {"source": "videos: detect; crop folders: as they are"}

    @property
    def labels_facts(self) -> dict[str, Any]:
        facts = {"source": "csv of each video", "range": [-1, 1], "join": "time"}
        return facts | ({"fusion": self.builder_config.fusion} if self._pair_sums else {})

    def scan(self, manual_dir: pathlib.Path) -> list[Recording]:
        return [
            Recording(
                track_id=row.track_id,
                video_id=row.track_id,
                subject_id=row.subject,
                files={"video": str(row.video)}
                | ({"labels": str(row.labels)} if row.labels is not None else {}),
                group=row.group,
                split=row.split or "",
            )
            for row in read_listing(find_listing(manual_dir))
        ]
