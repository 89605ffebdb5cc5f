"""Build a data set from anybody's own videos, or face crops, and label files."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders import common
from tfds_builders.labels import read_labels, resample
from tfds_builders.splits import subject_disjoint_splits
from tfds_builders.video_folder.crops import folder_frames
from tfds_builders.video_folder.listing import find_listing, read_listing
from tfds_builders.video_folder.raw import POINTS, video_frames
from tfds_builders.writer import Recording
from va_jax.schema import DIMS, Clip, InputError

FRACTIONS = {"train": 0.7, "dev": 0.15, "test": 0.15}
"""Shares of the subjects where the listing has no split column (ours)."""

NO_FACE = ("refuse", "mask")


@dataclasses.dataclass
class VideoFolderConfig(tfds.core.BuilderConfig):
    """Options of this builder; `--config_options key=value` sets them."""

    size: int = 112  # side of the crops, pixels
    dims: tuple[str, ...] = DIMS  # targets to read from the label files
    fps: float = 25.0  # frames per second of crop folders, whose images have no time
    detect_every: int = 1  # frames from one search for faces to the next
    min_face: int = 40  # smallest face searched for, pixels of the decoded frame
    max_side: int = 1280  # larger videos are shrunk to this at decoding, pixels
    no_face: str = "refuse"  # or "mask": keep a video that never shows a face, as black crops
    max_gap_s: float = 1.0  # labels further apart are not interpolated
    jpeg_quality: int = common.JPEG_QUALITY
    seed: int = 0  # of the split where the listing has none

    def __post_init__(self):
        for name in ("size", "fps", "detect_every", "min_face", "max_side", "max_gap_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)} must be above 0")
        if not 1 <= self.jpeg_quality <= 100:
            raise InputError(f"jpeg_quality={self.jpeg_quality} is outside 1 to 100")
        if self.no_face not in NO_FACE:
            raise InputError(f"no_face={self.no_face!r} is none of {', '.join(NO_FACE)}")
        if not self.dims or len(set(self.dims)) < len(self.dims):
            raise InputError(f"dims={','.join(self.dims)} must name each target once")


def extract(recording: Recording, config: VideoFolderConfig) -> tuple[float, Iterator[Clip]]:
    """Frames per second and clips of one listed video or folder of crops."""
    video = pathlib.Path(recording.sources[0])
    if video.is_dir():
        fps = config.fps
        frames = folder_frames(
            video, fps, config.size, config.jpeg_quality, len(config.dims), POINTS
        )
    else:
        fps, frames = video_frames(video, config)
    return fps, _labelled(common.clips(frames), recording, config)


def _labelled(
    clips: Iterator[Clip], recording: Recording, config: VideoFolderConfig
) -> Iterator[Clip]:
    if len(recording.sources) == 1:
        yield from clips
        return
    video, path = map(pathlib.Path, recording.sources)
    labels = read_labels(path, config.dims)
    matched = False
    for clip in clips:
        times = clip.time_s.astype(np.float64)
        target = resample(labels.time_s, labels.values, times, config.max_gap_s)
        matched |= bool(np.isfinite(target).any())
        yield clip._replace(target=target)
    if not matched:
        raise InputError(
            f"{path}: no label falls on a frame of {video}; labels span {labels.time_s[0]:g} to "
            f"{labels.time_s[-1]:g} s, {labels.step_s:g} s apart, max_gap_s={config.max_gap_s:g}"
        )


class Builder(common.TrackBuilder):
    """Videos or crop folders listed in `videos.csv`."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = "A folder with videos.csv: video,labels[,subject][,split]"
    BUILDER_CONFIGS: ClassVar = [
        VideoFolderConfig(name=str(size), size=size, description=f"crops of {size} pixels")
        for size in (112, 96, 224)
    ]
    extract = staticmethod(extract)
    points = POINTS
    late_options = ("no_face", "seed")

    @property
    def dims(self) -> tuple[str, ...]:
        return tuple(self.builder_config.dims)

    @property
    def crop(self) -> dict[str, Any]:
        return {
            "size": self.builder_config.size,
            "source": "videos: MTCNN; crop folders: as they are",
            "margin": 0.0,
            "alignment": "videos: level eyes, square of twice the greater of eye distance and "
            "eye-mouth height around the middle of eyes and mouth; crop folders: none",
            "jpeg_quality": self.builder_config.jpeg_quality,
        }

    def recordings(self, manual_dir: pathlib.Path) -> dict[str, list[Recording]]:
        listing = find_listing(manual_dir)
        rows = read_listing(listing)
        drawn = subject_disjoint_splits(
            [row.subject for row in rows], self.builder_config.seed, FRACTIONS
        )
        recordings: dict[str, list[Recording]] = {}
        for row in rows:
            if row.labels is not None:
                self._check_labels(row.labels)
            files = [row.video] if row.labels is None else [row.video, row.labels]
            recordings.setdefault(row.split or drawn[row.subject], []).append(
                Recording(
                    row.track_id, row.track_id, row.subject, tuple(map(str, files)), row.group
                )
            )
        return recordings

    def accept(self, tracks: Sequence[tuple[Recording, Mapping[str, Any]]]) -> None:
        unseen = [recording.sources[0] for recording, row in tracks if not row["face"]]
        if unseen and self.builder_config.no_face == "refuse":
            others = f" and {len(unseen) - 1} more" if len(unseen) > 1 else ""
            raise InputError(
                f"{unseen[0]}{others}: no face of {self.builder_config.min_face} pixels or more; "
                "remove the row, lower min_face, or keep it as black crops by no_face=mask"
            )

    def _check_labels(self, path: pathlib.Path) -> None:
        """Refuses bad labels before hours of decoding."""
        step_s = read_labels(path, self.dims).step_s
        if step_s > self.builder_config.max_gap_s:
            raise InputError(
                f"{path}: labels are {step_s:g} s apart, more than "
                f"max_gap_s={self.builder_config.max_gap_s:g}; raise it"
            )
