"""Build MuSe-CaR or Ulm-TSST from a package of a MuSe challenge, as far as its layout is known."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tfds_builders import trees
from tfds_builders.croissant import Publication
from tfds_builders.label_csv import Format
from tfds_builders.material import Material, Recording
from tfds_builders.muse.labels import fuse, join, read_gold, read_raters
from tfds_builders.muse.layout import (
    find_folder,
    find_partition,
    read_partition,
    require_folder,
)
from tfds_builders.raters import check_fusion
from tfds_builders.recorded import RecordedBuilder
from tfds_builders.recorded_config import RecordedConfig, named_configs, parse_range
from va_jax.types import LABEL_RANGE, InputError
from va_jax.video.read import VIDEO_SUFFIXES

LABELS = ("label_segments",)
VIDEOS = ("video", "videos")
RATERS = ("raw_annotations",)
ANNOTATORS = "annotator*"
UNITS = {"gold": "ms", "raters": "s"}
"""Value of the option `labels` -> unit of the times unless `time_unit` is set."""

OTHER_AROUSAL = ("physio-arousal", "anno12_EDA")
"""Folders with another kind of arousal, which is fused with a physiological signal."""


@dataclasses.dataclass
class MuseConfig(RecordedConfig):
    """Options of this builder, set with `--config_options key=value`."""

    labels: str = "gold"  # "gold": published trace; "raters": single raters, fused
    arousal_from: str = "arousal"  # name of the folder that holds the labels of arousal
    fusion: str = "ewe"  # rule to fuse the raters, one of `raters.FUSIONS`
    time_unit: str = ""  # ms or s; "": ms for "gold", s for "raters"
    label_range: tuple[float, float] = LABEL_RANGE  # lowest and highest value in the label files
    labels_dir: str = ""  # folder of the labels; paths are relative to the manual folder
    videos_dir: str = ""  # folder of the videos
    raters_dir: str = ""  # folder of the raters' traces
    partition_file: str = ""
    partition_column: str = ""  # name of the column with the partition

    def __post_init__(self):
        super().__post_init__()
        check_fusion(self.fusion)
        self.label_range = parse_range("label_range", self.label_range)
        for name, legal in (("labels", tuple(UNITS)), ("time_unit", ("", "ms", "s"))):
            if getattr(self, name) not in legal:
                known = ", ".join(filter(None, legal))
                raise InputError(f"{name}={getattr(self, name)!r} is not one of {known}")

    @property
    def form(self) -> Format:
        """Return the format of the label files."""
        return Format(
            time_unit=self.time_unit or UNITS[self.labels],
            label_range=self.label_range,
            fusion=self.fusion,
        )


def read(recording: Recording, config: MuseConfig) -> Material:
    """Join a video and its labels, if it has any, by time.

    Raises:
        InputError: A label file cannot be read, or the files of a recording do not match.
    """
    traces = []
    for dim in config.dims:
        paths = [
            pathlib.Path(path)
            for role, path in recording.files.items()
            if role.partition("/")[0] == dim
        ]
        if config.labels == "gold":
            traces += [read_gold(path, dim, config.form) for path in paths]
        elif len(paths) == 1:
            traces.append(read_raters(paths[0], dim, config.form))
        elif paths:
            raters = [read_gold(path, dim, config.form) for path in paths]
            traces.append(fuse(raters, config.fusion))
    labels = join(traces, config.max_gap_s) if traces else None
    return Material(pathlib.Path(recording.files["video"]), "detect", labels)


class Builder(RecordedBuilder):
    """MuSe-CaR or Ulm-TSST: one track per video; the detector finds the faces."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "the folder that contains label_segments, metadata/partition.csv and the videos of one task"
    )
    BUILDER_CONFIGS: ClassVar = named_configs(MuseConfig, {"": {}, "raters": {"labels": "raters"}})
    read = staticmethod(read)
    publication = Publication(url="https://www.muse-challenge.org")
    late_options = (
        *RecordedBuilder.late_options,
        *("labels_dir", "videos_dir", "raters_dir", "partition_file", "partition_column"),
    )
    _partition: pathlib.Path | None = None  # set by `scan`

    @property
    def labels_facts(self) -> dict[str, Any]:
        config = self.builder_config
        source = {"gold": "gold standard of the challenge", "raters": "single raters, fused"}
        return {
            "source": source[config.labels],
            "range": list(config.label_range),
            "join": "time, within segments",
            **({"arousal": config.arousal_from} if "arousal" in config.dims else {}),
            **({"fusion": config.fusion} if config.labels == "raters" else {}),
        }

    def warnings(self, recordings: Sequence[Recording]) -> list[str]:
        if self._partition is not None:
            return []
        return [
            "there is no partition.csv, so splits are drawn by video; a person of MuSe-CaR may "
            "appear in several videos; set partition_file to the official partition"
        ]

    def extras(self, recordings: Mapping[str, Sequence[Recording]]) -> dict[str, Any]:
        facts = super().extras(recordings)
        if self._partition is not None:
            facts["splits"]["protocol"] = "partition of the challenge"
        return facts

    def scan(self, manual_dir: pathlib.Path) -> list[Recording]:
        config = self.builder_config
        labels = require_folder(manual_dir, config.labels_dir, LABELS, "labels_dir")
        folder = require_folder(manual_dir, config.videos_dir, VIDEOS, "videos_dir")
        videos = trees.files_by_name(folder, VIDEO_SUFFIXES)
        if not videos:
            raise InputError(
                f"{folder}: contains no videos; set videos_dir to the folder with the videos"
            )
        sources = _sources(manual_dir, labels, config)
        files = {role: trees.files_by_name(place, [".csv"]) for role, place in sources.items()}
        partition = None
        if not config.folds:
            self._partition = find_partition(manual_dir, labels, config.partition_file)
            if self._partition is not None:
                partition = read_partition(self._partition, config.partition_column)
        names = set().union(*files.values(), partition or ())
        found = []
        for name in sorted(names, key=lambda each: (len(each), each)):
            own = {role: str(each[name]) for role, each in files.items() if name in each}
            split, problem = "", ""
            if partition is not None:
                split = partition.get(name, "train")
                if name not in partition:
                    problem = f"{self._partition}: has no row for {name!r}, which has labels in "
                    problem += f"{next(iter(own.values()))}; add a row, or remove the labels"
            problem = problem or _missing(name, own, sources, config.dims, split == "test")
            if name in videos:
                own = {"video": str(videos[name]), **own}
            elif not problem:
                problem = f"{folder / name}: there is no video with this name; add the video"
            found.append(Recording(name, name, name, own, split=split, problem=problem))
        return found


def _sources(
    root: pathlib.Path, labels: pathlib.Path, config: MuseConfig
) -> dict[str, pathlib.Path]:
    """Return {role: folder with label files}; a role is DIMENSION, or DIMENSION/ANNOTATOR.

    Raises:
        InputError: A folder is missing.
    """
    if config.labels == "gold":
        return {dim: _dimension(labels, dim, config) for dim in config.dims}
    raters = find_folder(root, config.raters_dir, RATERS, "raters_dir")
    if raters is None:
        annotators = sorted(each for each in labels.glob(ANNOTATORS) if each.is_dir())
        if not annotators:
            raise InputError(
                f"{root}: cannot find the traces of single raters: expected a folder named "
                f"{' or '.join(RATERS)}, or {labels / ANNOTATORS}; if your copy has a different "
                "layout, set raters_dir to the folder"
            )
        return {
            f"{dim}/{each.name}" if number else dim: _dimension(each, dim, config)
            for dim in config.dims
            for number, each in enumerate(annotators)
        }
    return {dim: _dimension(raters, dim, config) for dim in config.dims}


def _dimension(folder: pathlib.Path, dim: str, config: MuseConfig) -> pathlib.Path:
    name = config.arousal_from if dim == "arousal" else dim
    found = trees.find_folder(folder, name)
    if found is not None:
        return found
    there = sorted(each.name for each in folder.iterdir() if each.is_dir())
    other = [each for each in OTHER_AROUSAL if each in there]
    remedy = "choose dims from these"
    if dim == "arousal" and other:
        remedy = f"set arousal_from={other[0]} if these labels are meant, or else choose dims"
    raise InputError(
        f"{folder}: contains no folder {name} (folders: {', '.join(there) or 'none'}); {remedy}"
    )


def _missing(
    name: str,
    files: Mapping[str, str],
    sources: Mapping[str, pathlib.Path],
    dims: Sequence[str],
    test: bool,
) -> str:
    """Return a problem if label files are missing; a test recording may have none at all."""
    if test and not files:
        return ""
    without = [dim for dim in dims if not any(role.partition("/")[0] == dim for role in files)]
    paths = [
        str(
            sources[next(role for role in sources if role.partition("/")[0] == dim)] / f"{name}.csv"
        )
        for dim in without
    ]
    return f"{', '.join(paths)}: cannot be found; restore the missing files" if paths else ""
