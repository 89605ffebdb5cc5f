"""Build Aff-Wild2 in the layout of the ABAW challenges, from the organisers' crops."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from tfds_builders import trees
from tfds_builders.aff_wild2 import frame_rates
from tfds_builders.aff_wild2.frame_rates import read_frame_rates
from tfds_builders.aff_wild2.labels import read_labels
from tfds_builders.croissant import Publication
from tfds_builders.material import Material, Recording
from tfds_builders.pictures import numbered_images
from tfds_builders.recorded import RecordedBuilder
from tfds_builders.recorded_config import RecordedConfig, named_configs
from va_jax.io import read_lines
from va_jax.types import DIMS, InputError
from va_jax.video.facts import read_timeline

FOLDERS = {"cropped": ("cropped",), "aligned": ("cropped_aligned",)}
"""Value of `crops` -> folder with the crops, in the first two folder levels."""

LABELS = (("*/VA_Estimation_Challenge", "*/VA_Set"),)
SPLITS = {
    "train": ("Train_Set", "Training_Set"),
    "dev": ("Validation_Set",),
}
TEST = ("*/names_of_videos_in_each_test_set",)
TEST_LIST = "Valence_Arousal_Estimation_Challenge_test_set_release*.txt"

FPS = 30.0
"""Frame rate of most videos; the default if the option, `fps.csv` and the video are missing."""


@dataclasses.dataclass
class AffWild2Config(RecordedConfig):
    """Options of this builder, set with `--config_options key=value`."""

    FACES: ClassVar = ("crops",)

    faces: str = "crops"
    crops: str = "aligned"  # or "cropped": boxes from the organisers' detector
    fps: float = 0.0  # frame rate of all tracks; 0: from `fps.csv` or the video, else FPS

    def __post_init__(self):
        super().__post_init__()
        if self.crops not in FOLDERS:
            raise InputError(f"crops={self.crops!r} is not one of {', '.join(FOLDERS)}")
        if set(self.dims) != set(DIMS):
            raise InputError(
                f"dims={','.join(self.dims)}: must be {' and '.join(DIMS)}, in either order"
            )
        if self.fps < 0:
            raise InputError(f"fps={self.fps} must be at least 0")


def read(recording: Recording, config: AffWild2Config) -> Material:
    """Join image k to label row k; the track ends with the later of the last image and row."""
    folder = pathlib.Path(recording.files["crops"])
    last, labels = max(numbered_images(folder)), None
    if "labels" in recording.files:
        labels = read_labels(pathlib.Path(recording.files["labels"]), config.dims)
        last = max(last, int(labels.number[-1]))
    fps = config.fps or recording.details.get("fps", 0.0)
    if not fps and "video" in recording.files:
        fps = read_timeline(recording.files["video"]).fps
    pad = config.crops == "cropped"
    return Material(folder, "crops", labels, first=1, last=last, fps=fps or FPS, pad=pad)


class Builder(RecordedBuilder):
    """Aff-Wild2: one track per annotated person; `_left` and `_right` are two people in a video."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "the folder that contains the annotations (VA_Estimation_Challenge), cropped_aligned and, "
        "for the test split, names_of_videos_in_each_test_set"
    )
    BUILDER_CONFIGS: ClassVar = named_configs(
        AffWild2Config, {"": {}, "cropped": {"crops": "cropped"}}
    )
    read = staticmethod(read)
    publication = Publication("2019", "https://ibug.doc.ic.ac.uk/resources/aff-wild2/")
    expected: ClassVar = {"train": 356, "dev": 76, "test": 162}

    @property
    def crop(self) -> dict[str, Any]:
        config = self.builder_config
        how = {"aligned": "by the organisers, to five points", "cropped": "none"}[config.crops]
        return super().crop | {"source": FOLDERS[config.crops][0], "alignment": how}

    @property
    def labels_facts(self) -> dict[str, Any]:
        return {"source": "VA_Estimation_Challenge", "range": [-1, 1], "join": "frame number"}

    def scan(self, manual_dir: pathlib.Path) -> list[Recording]:
        annotations = trees.require_folder(manual_dir, *LABELS)
        name = FOLDERS[self.builder_config.crops]
        crops = trees.require_folder(manual_dir, tuple(f"*/{each}" for each in name))
        videos = trees.videos_by_name(manual_dir)
        rates = read_frame_rates(manual_dir / frame_rates.NAME)
        found = []
        for split, names in SPLITS.items():
            labels = trees.files_by_name(trees.require_folder(annotations, names), [".txt"])
            found += [
                _recording(track, split, crops, videos, path) for track, path in labels.items()
            ]
        for track in _test_tracks(manual_dir):
            found.append(_recording(track, "test", crops, videos, None))
        return [
            dataclasses.replace(each, details={"fps": rates[each.video_id]})
            if each.video_id in rates
            else each
            for each in found
        ]

    def warnings(self, recordings: Sequence[Recording]) -> list[str]:
        if self.builder_config.fps:
            return []
        unknown = [
            each.track_id
            for each in recordings
            if not each.details.get("fps") and "video" not in each.files
        ]
        if not unknown:
            return []
        return [
            f"a rate of {FPS:g} frames per second is assumed for {len(unknown)} of "
            f"{len(recordings)} tracks, such as {unknown[0]!r}, because their videos are missing; "
            f"add the videos or a file {frame_rates.NAME}, or set the option fps"
        ]


def _test_tracks(root: pathlib.Path) -> list[str]:
    """Return the tracks in the organisers' test list, or [] if the list is not available."""
    folder = trees.find_folder(root, TEST)
    lists = [] if folder is None else sorted(folder.glob(TEST_LIST))
    return [text.strip() for _, text in read_lines(lists[0])] if lists else []


def _recording(
    track: str,
    split: str,
    crops: pathlib.Path,
    videos: dict[str, pathlib.Path],
    labels: pathlib.Path | None,
) -> Recording:
    """Return the recording of a track.

    All tracks of a video count as one subject, because subjects are not published.
    """
    video = re.sub(r"_(left|right)$", "", track)
    folder = crops / track
    files = {"crops": str(folder)}
    if labels is not None:
        files["labels"] = str(labels)
    if video in videos:
        files["video"] = str(videos[video])
    problem = ""
    if not folder.is_dir():
        problem = f"{folder}: does not exist; add the crops of track {track!r}"
    return Recording(track, video, subject_id=video, files=files, split=split, problem=problem)
