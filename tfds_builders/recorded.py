"""What all sets of recorded faces share: a builder says where things lie, this does the rest."""

import abc
import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders import common, cutting, raters, splits
from tfds_builders.cutting import Material
from tfds_builders.writer import Extract, Recording, Tally
from va_jax import faces
from va_jax.types import CLIP_FRAMES, DIMS, Clip, InputError
from va_jax.video import jpeg

Read = Callable[[Recording, Any], Material]
"""`read(recording, builder_config)`: its files, its labels parsed; nothing is decoded."""

SIZES = (112, 96, 224)

ALIGNMENT = {
    "crops": "none",
    "boxes": "none: the upright square around the box",
    "landmarks": "level eyes, square of twice the greater of eye distance and eye-mouth height "
    "around the middle of eyes and mouth",
}
ALIGNMENT["detect"] = ALIGNMENT["landmarks"]
ALIGNMENT["auto"] = f"videos: {ALIGNMENT['detect']}; crop folders: none"


@dataclasses.dataclass
class RecordedConfig(tfds.core.BuilderConfig):
    """Options of all sets of recorded faces; `--config_options key=value` sets them."""

    FACES: ClassVar[tuple[str, ...]] = ("detect",)  # legal values of `faces`

    size: int = 112  # side of the crops, pixels
    faces: str = "detect"  # what a face is cut by: see cutting.Material
    dims: tuple[str, ...] = DIMS  # targets to read from the label files
    margin: float = 0.0  # around boxes, share of the longer side, on each end
    detect_every: int = 1  # frames from one search for faces to the next
    min_face: int = 40  # smallest face searched for, pixels of the decoded frame
    max_side: int = 1280  # larger videos are shrunk to this before the search, pixels
    no_face: str = "refuse"  # or "mask": keep a recording that never shows a face, as black crops
    jpeg_quality: int = jpeg.QUALITY
    max_gap_s: float = 1.0  # labels joined by time: rows further apart are not interpolated
    seed: int = 0  # of the split where it is drawn
    folds: int = 0  # 0: one split; else fold number `fold` of so many is the test split
    fold: int = 0

    def __post_init__(self):
        for name in ("size", "detect_every", "min_face", "max_side", "max_gap_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)} must be above 0")
        if not 1 <= self.jpeg_quality <= 100:
            raise InputError(f"jpeg_quality={self.jpeg_quality} is outside 1 to 100")
        if self.margin < 0:
            raise InputError(f"margin={self.margin} must be 0 or above")
        for name, legal in (("no_face", ("refuse", "mask")), ("faces", self.FACES)):
            if getattr(self, name) not in legal:
                raise InputError(f"{name}={getattr(self, name)!r} is none of {', '.join(legal)}")
        if not self.dims or len(set(self.dims)) < len(self.dims):
            raise InputError(f"dims={','.join(self.dims)} must name each target once")
        if self.folds and not (self.folds >= 3 and 0 <= self.fold < self.folds):
            raise InputError(
                f"folds={self.folds}, fold={self.fold}: give 3 folds or more, and a fold below that"
            )

    @property
    def points(self) -> int:
        """Landmarks that are stored with each frame."""
        return faces.DETECTED_POINTS if self.faces == "detect" else 0


def named_configs(
    config: type[RecordedConfig],
    variants: Mapping[str, Mapping[str, Any]],
    sizes: Sequence[int] = SIZES,
    folds: int = 0,
) -> list[RecordedConfig]:
    """`SIZE`, `SIZE_VARIANT` and, with `folds`, these with `_foldK`; variant "" has no name."""
    result = []
    for variant, size in itertools.product(variants, sizes):
        for fold in (None, *range(folds)):
            given = {"size": size, **variants[variant]}
            words = [str(size), *([variant] if variant else [])]
            if fold is not None:
                given |= {"folds": folds, "fold": fold}
                words.append(f"fold{fold}")
            facts = (f"{key} {value}" for key, value in given.items())
            name, description = "_".join(words), "Crops: " + ", ".join(facts)
            result.append(config(name=name, description=description, **given))
    return result


def _extract(
    read: Read, recording: Recording, config: Any, tally: Tally
) -> tuple[float, Iterator[Clip]]:
    material = read(recording, config)
    fps, cuts = cutting.cut(material, config, config.points, tally)
    return fps, common.clips(_labelled(cuts, material, config, tally))


def _labelled(
    cuts: Iterator[cutting.Cut], material: Material, config: Any, tally: Tally
) -> Iterator[common.Frame]:
    """Tallies: `rows` of the label files, `rows_invalid` (unlabelled), `rows_unused`."""
    labels, first, last, matched = material.labels, None, None, False
    while chunk := list(itertools.islice(cuts, CLIP_FRAMES)):
        number = np.array([each.number for each in chunk])
        time_s = np.array([each.time_s for each in chunk])
        target = np.full((len(chunk), len(config.dims)), np.nan, np.float32)
        if labels is not None:
            target = labels.at(number, time_s)
            matched |= bool(np.isfinite(target).any())
        first = first or (int(number[0]), float(time_s[0]))
        last = (int(number[-1]), float(time_s[-1]))
        for each, row in zip(chunk, target, strict=True):
            points = each.landmarks if len(each.landmarks) else None
            yield common.Frame(each.jpeg, row, each.face, each.time_s, points)
    if labels is None or last is None:
        return
    tally["rows"] += len(labels.values)
    tally["rows_invalid"] += int((~np.isfinite(labels.values).all(1)).sum())
    tally["rows_unused"] += labels.unused((first[0], last[0]), (first[1], last[1]))
    if not matched and np.isfinite(labels.values).any():
        raise InputError(
            f"{material.pictures}: no label falls on its frames {first[0]} to {last[0]}, "
            f"{first[1]:g} to {last[1]:g} s; labels {labels.describe()}"
        )


class RecordedBuilder(common.TrackBuilder, skip_registration=True):
    """A builder of recorded faces.

    It sets `read` (a staticmethod, see `Read`) and defines `scan` and `labels_facts`; its config is
    a RecordedConfig.
    """

    read: ClassVar[Read]
    fractions: ClassVar[Mapping[str, float]] = {"train": 0.7, "dev": 0.15, "test": 0.15}  # ours
    expected: ClassVar[Mapping[str, int]] = {}  # recordings of the published set, by split or "all"
    late_options = ("no_face", "seed", "folds", "fold")

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._pair_sums: dict[str, list[np.ndarray]] = {}  # track -> by dimension, as it was read
        self._drawn = False

    @property
    def extract(self) -> Extract:
        return functools.partial(_extract, type(self).read)

    @property
    def dims(self) -> tuple[str, ...]:
        return tuple(self.builder_config.dims)

    @property
    def points(self) -> int:
        return self.builder_config.points

    @property
    def crop(self) -> dict[str, Any]:
        config = self.builder_config
        return {
            "size": config.size,
            "source": config.faces,
            "margin": config.margin if config.faces == "boxes" else 0.0,
            "alignment": ALIGNMENT[config.faces],
            "jpeg_quality": config.jpeg_quality,
        }

    @abc.abstractmethod
    def scan(self, manual_dir: pathlib.Path) -> list[Recording]:
        """All recordings of the tree in order, `split` empty where it is to be drawn.

        Raises InputError where the tree is not of this set.
        """

    @property
    @abc.abstractmethod
    def labels_facts(self) -> dict[str, Any]:
        """For the metadata: `source` (which annotation), `range` (of the files), `join`."""

    def splitting_units(self, recordings: Sequence[Recording]) -> dict[str, str]:
        """{subject: the unit that must not be parted}; default: the subject."""
        return {each.subject_id: each.subject_id for each in recordings}

    def recordings(self, manual_dir: pathlib.Path) -> dict[str, list[Recording]]:
        found = [self._read_through(each) for each in self.scan(manual_dir)]
        open_ones = [each for each in found if not each.split]
        drawn = self._draw(open_ones) if open_ones else {}
        self._drawn = bool(drawn)
        result: dict[str, list[Recording]] = {}
        for each in found:
            split = each.split or drawn[each.subject_id]
            result.setdefault(split, []).append(dataclasses.replace(each, split=split))
        return result

    def _read_through(self, recording: Recording) -> Recording:
        """The recording with the `problem` that reading its labels shows, before any decoding."""
        if recording.problem:
            return recording
        try:
            labels = type(self).read(recording, self.builder_config).labels
        except InputError as error:
            return dataclasses.replace(recording, problem=str(error))
        if labels is not None and labels.raters:
            sums = [raters.pair_sums(dim) for dim in labels.raters]
            self._pair_sums[recording.track_id] = sums
        return recording

    def _draw(self, recordings: Sequence[Recording]) -> dict[str, str]:
        config = self.builder_config
        units = self.splitting_units(recordings)
        strata = {units[each.subject_id]: each.group for each in recordings}
        if config.folds:
            chosen = splits.fold_splits(
                units.values(), config.seed, config.folds, config.fold, strata
            )
        else:
            chosen = splits.subject_disjoint_splits(
                units.values(), config.seed, self.fractions, strata
            )
        return {subject: chosen[unit] for subject, unit in units.items()}

    def accept(self, recording: Recording, row: Mapping[str, Any]) -> None:
        if not row["face"] and self.builder_config.no_face == "refuse":
            raise InputError(
                f"{next(iter(recording.files.values()))}: no frame of track "
                f"{recording.track_id!r} shows a face (by {self.builder_config.faces}); remove it, "
                "or keep it as black crops by no_face=mask"
            )

    def extras(self, recordings: Mapping[str, Sequence[Recording]]) -> dict[str, Any]:
        """`labels`, `splits`, and `rater_agreement` [split] where there are several raters."""
        agreement = {}
        for split, each in recordings.items():
            ids = [recording.track_id for recording in each]
            sums = [self._pair_sums[track] for track in ids if track in self._pair_sums]
            if sums:
                agreement[split] = raters.agreement(sums, self.dims)
        config = self.builder_config
        drawn = {key: getattr(config, key) for key in ("seed", "folds", "fold")}
        return {
            "labels": self.labels_facts,
            "splits": {"drawn": self._drawn, **(drawn if self._drawn else {})},
            "rater_agreement": agreement,
        }
