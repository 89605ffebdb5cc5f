"""Build a data set from your own videos or face crops and your own label files."""

import dataclasses
import pathlib
from typing import Any, ClassVar

import numpy as np

from tfds_builders.label_csv import Format, read_labels
from tfds_builders.labels import ROUNDING_S, Extent, NumberedLabels, TimedLabels, misfit
from tfds_builders.material import Material, Recording
from tfds_builders.pictures import numbered_images
from tfds_builders.raters import check_fusion
from tfds_builders.recorded import RecordedBuilder
from tfds_builders.recorded_config import RecordedConfig, named_configs, parse_range
from tfds_builders.video_folder.listing import find_listing, read_listing
from va_jax import faces
from va_jax.data.columns import UNITS
from va_jax.types import LABEL_RANGE, InputError
from va_jax.video.facts import read_timeline


@dataclasses.dataclass
class VideoFolderConfig(RecordedConfig):
    """Options of this builder, set with `--config_options key=value`."""

    FACES: ClassVar = ("auto",)

    faces: str = "auto"  # detect faces in videos; use folders as crops
    fps: float = 25.0  # frame rate of crop folders, whose images have no timestamps
    fusion: str = "ewe"  # rule to fuse several raters, one of `raters.FUSIONS`
    time_column: str = ""  # name or position of the time column; "": by its name
    time_unit: str = ""  # s, ms or frame; "": by the name of the time column
    columns: tuple[str, ...] = ()  # columns to read, as NAME or TARGET:NAME; (): by their names
    label_range: tuple[float, float] = LABEL_RANGE  # lowest and highest value in the label files
    first_frame: int = -1  # number of the first frame in labels by frame; -1: see `_renumbered`

    def __post_init__(self):
        super().__post_init__()
        check_fusion(self.fusion)
        if self.time_unit not in ("", *UNITS):
            raise InputError(f"time_unit={self.time_unit!r} is not one of {', '.join(UNITS)}")
        self.columns = tuple(each for each in self.columns if each)
        self.label_range = parse_range("label_range", self.label_range)
        if not self.fps > 0:
            raise InputError(f"fps={self.fps} must be above 0")

    @property
    def points(self) -> int:
        return faces.DETECTED_POINTS


def read(recording: Recording, config: VideoFolderConfig) -> Material:
    """Read the labels for one row in the listing, and join them to its video or crops."""
    pictures = pathlib.Path(recording.files["video"])
    first, last = 0, None
    if pictures.is_dir():
        images = numbered_images(pictures)
        first, last = (0 if 0 in images else 1), max(images)
    labels = None
    if "labels" in recording.files:
        path = pathlib.Path(recording.files["labels"])
        form = {field.name: getattr(config, field.name) for field in dataclasses.fields(Format)}
        labels = read_labels(path, config.dims, Format(**form))
        if isinstance(labels, NumberedLabels):
            labels = _renumbered(path, labels, config.first_frame, (first, last))
        else:
            labels = dataclasses.replace(labels, max_gap_s=config.max_gap_s)
            _check_step(path, labels, pictures, config.fps)
    if not pictures.is_dir():
        return Material(pictures, "detect", labels)
    return Material(pictures, "crops", labels, first=first, fps=config.fps)


def _renumbered(
    path: pathlib.Path, labels: NumberedLabels, first_frame: int, ends: tuple[int, int | None]
) -> NumberedLabels:
    """Return labels numbered like the frames, whose first and (if known) last number is `ends`.

    Raises:
        InputError: `first_frame` is not set, and the first label does not belong to the first frame
            or the last label is after the last frame, so the numbers may count from 0 or from 1.
    """
    low, high = int(labels.number[0]), int(labels.number[-1])
    is_after_last = ends[1] is not None and high > ends[1]
    if first_frame < 0 and (low != ends[0] or is_after_last):
        raise InputError(
            f"{path}: frames {low} to {high} may be counted from 0 or from 1; set first_frame=0 or "
            "first_frame=1"
        )
    if low < first_frame:
        raise InputError(
            f"{path}: frame {low} is before first_frame={first_frame}; correct the file or the "
            "option"
        )
    shift = 0 if first_frame < 0 else ends[0] - first_frame
    return dataclasses.replace(labels, number=labels.number + shift)


def _check_step(path: pathlib.Path, labels: TimedLabels, pictures: pathlib.Path, fps: float):
    """Raise InputError if labels are too far apart to be interpolated."""
    if labels.step_s <= labels.max_gap_s + ROUNDING_S:
        return
    if pictures.is_dir():
        images = numbered_images(pictures)
        time_s = np.arange(max(images) - min(images) + 1) / fps
    else:
        time_s = read_timeline(pictures).time_s
    ends = (float(time_s[0]), float(time_s[-1]))
    problem = misfit(labels, Extent((0, len(time_s) - 1), ends, len(time_s)))
    raise InputError(
        f"{path}: {problem}"
        if problem
        else f"{path}: labels are {labels.step_s:g} s apart, more than "
        f"max_gap_s={labels.max_gap_s:g}; raise max_gap_s"
    )


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
        config = self.builder_config
        facts = {"source": "csv of each video", "range": list(config.label_range), "join": "time"}
        return facts | ({"fusion": self.builder_config.fusion} if self._rater_sums else {})

    def recordings(self, manual_dir: pathlib.Path | None) -> dict[str, list[Recording]]:
        """Return the recordings as documented in the base class.

        If at least as many label files are outside the range as inside, all are refused: a file
        whose values happen to lie inside, such as that of a neutral participant, would be read on
        the wrong scale. A file is outside if most of its values are outside; constant files are not
        counted.
        """
        found = super().recordings(manual_dir)
        outside = len(self._out_of_range)
        if outside and outside >= self._varied:
            more = f" (and {outside - 1} more file{'s' * (outside > 2)})" * (outside > 1)
            raise InputError(f"{self._out_of_range[0]}{more}")
        return found

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
