"""Build VEATIC: videos in which the valence and arousal of one target person were rated."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tfds_builders import splits
from tfds_builders.croissant import Publication
from tfds_builders.material import Material, Recording, TargetPoint
from tfds_builders.recorded import RecordedBuilder
from tfds_builders.recorded_config import RecordedConfig, named_configs
from tfds_builders.veatic.labels import cut_labels, read_labels
from tfds_builders.veatic.layout import TARGETS, Layout, find_layout
from tfds_builders.veatic.pairs import PAIRED, Pairs, find_pairs, parse_pairs
from tfds_builders.veatic.protocols import PROTOCOLS, parts_of
from tfds_builders.veatic.target_file import Row, check_rows, read_targets
from va_jax.types import DIMS, LABEL_RANGE, InputError
from va_jax.video.facts import read_timeline

FEW_FRAMES = 0.5
"""A video is reported if its main face is visible in a smaller share of its frames."""

VARIANTS = {"": {}, "official": {"protocol": "veatic_official"}}
"""Part of a configuration's name -> options to set."""


@dataclasses.dataclass
class VeaticConfig(RecordedConfig):
    """Options of this builder, set with `--config_options key=value`."""

    protocol: str = "video"  # one of `protocols.PROTOCOLS`
    gap_frames: int = 128  # frames left out between the parts of a video (our choice)
    dev_share: float = 0.2  # share of the frames before the test part for dev (our choice)
    pairs: tuple[str, ...] = ()  # pairs of ids as A:B; (): found by comparing the videos

    def __post_init__(self):
        super().__post_init__()
        if self.protocol not in PROTOCOLS:
            known = ", ".join(PROTOCOLS)
            raise InputError(f"protocol={self.protocol!r} is not one of {known}")
        self.pairs = tuple(each for each in self.pairs if each)
        parse_pairs(self.pairs)
        if self.gap_frames < 0:
            raise InputError(f"gap_frames={self.gap_frames} must be at least 0")
        if not 0 <= self.dev_share <= 0.5:
            raise InputError(f"dev_share={self.dev_share} must be between 0 and 0.5")
        if self.folds and self.protocol != "video":
            raise InputError(
                f"folds={self.folds}: protocol={self.protocol} has fixed splits; set folds=0, or "
                "protocol=video"
            )
        if not set(self.dims) <= set(DIMS):
            raise InputError(f"dims={','.join(self.dims)}: VEATIC has only {', '.join(DIMS)}")


def read(recording: Recording, config: VeaticConfig) -> Material:
    """Join row n of the label files, counted from 0, to frame n of the video."""
    files = {role: pathlib.Path(path) for role, path in recording.files.items()}
    labels, span = read_labels(files, config.dims), None
    if "span" in recording.details:
        first, last = span = tuple(recording.details["span"])
        path = pathlib.Path(recording.label_file)
        labels = cut_labels(labels, (first, last), recording.details["frames"], path)
    target = tuple(TargetPoint(*each) for each in recording.details["target"])
    return Material(files["video"], "detect", labels, target=target, span=span)


class Builder(RecordedBuilder):
    """VEATIC: one track per id; the detector finds the faces, and `target.csv` names the target."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "the folder with the unpacked folders video and rating_averaged of VEATIC"
    )
    BUILDER_CONFIGS: ClassVar = named_configs(VeaticConfig, VARIANTS)
    publication = Publication(
        "2024", licence="CC BY-NC 4.0; the films keep the rights of their owners"
    )
    read = staticmethod(read)
    late_options = (*RecordedBuilder.late_options, "protocol", "gap_frames", "dev_share", "pairs")

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._pairs = Pairs({}, ())  # set by `scan`
        self._rows: dict[str, list[Mapping[str, Any]]] = {}  # {id: rows of its tracks}

    @property
    def splits_share_videos(self) -> bool:
        return self.builder_config.protocol == "veatic_official"

    @property
    def labels_facts(self) -> dict[str, Any]:
        return {"source": "mean of the raters", "range": [*LABEL_RANGE], "join": "frame number"}

    def scan(self, manual_dir: pathlib.Path) -> list[Recording]:
        layout, config, found = find_layout(manual_dir), self.builder_config, []
        self._pairs = find_pairs(layout.videos, parse_pairs(config.pairs))
        rows = read_targets(layout.targets, layout.videos)
        for number in layout.ids:
            whole = _recording(number, layout, self._pairs, config.dims)
            details = {"target": [list(row.point) for row in rows.get(number, ())]}
            problem = whole.problem or _target_problem(number, layout, self._pairs, rows)
            whole = dataclasses.replace(whole, details=details, problem=problem)
            found += [whole] if config.protocol == "video" else _parts(whole, config)
        return found + [
            Recording(name, name, name, split="train", problem=problem)
            for name, problem in layout.problems.items()
        ]

    def splitting_units(self, recordings: Sequence[Recording]) -> dict[str, str]:
        """Keep the ids that show the same video together, and also those that might do so."""
        links = [(each.subject_id, each.video_id) for each in recordings]
        links += [(str(number), "ids without a known partner") for number in self._pairs.alone]
        return splits.linked_subjects(links)

    def accept(self, recording: Recording, row: Mapping[str, Any]) -> None:
        self._rows.setdefault(recording.subject_id, []).append(row)  # also if it is refused
        super().accept(recording, row)

    def warnings(self, recordings: Sequence[Recording]) -> list[str]:
        lines = []
        if self.splits_share_videos:
            lines.append(
                "protocol=veatic_official: every video, and so every subject, is in train and in "
                "test; scores on test do not hold for people who were not seen in training"
            )
        if self._pairs.alone:
            names = ", ".join(map(str, self._pairs.alone))
            together = " they are kept in one split;" * (not self.splits_share_videos)
            lines.append(
                f"ids {names}: ids {PAIRED[0]} to {PAIRED[-1]} come in pairs that show the same "
                "frames, but not exactly one other video here shows the frames of these ids;"
                f"{together} set pairs=A:B,C:D if you know the pairs"
            )
        seen = {each.subject_id for each in recordings}
        few = {
            name: shares
            for name, shares in self._visible().items()
            if name in seen and shares["main_face"] < FEW_FRAMES
        }
        if few:
            shares = (f"{name}: {x['main_face']:.0%} ({x['face']:.0%})" for name, x in few.items())
            lines.append(
                "the main face is visible in under half of the frames of these ids (in brackets: "
                f"including faces that replace it): {', '.join(shares)}; name the target in "
                f"{TARGETS} if it is a different face"
            )
        return lines

    def extras(self, recordings: Mapping[str, Sequence[Recording]]) -> dict[str, Any]:
        config = self.builder_config
        facts = super().extras(recordings)
        facts["splits"]["protocol"] = config.protocol
        if self.splits_share_videos:
            facts["splits"] |= {"gap_frames": config.gap_frames, "dev_share": config.dev_share}
        pairs = sorted({tuple(sorted(each)) for each in self._pairs.partner.items()})
        return facts | {"pairs": [list(each) for each in pairs], "visible": self._visible()}

    def _visible(self) -> dict[str, dict[str, float]]:
        """Return the shares of the frames of each id that show its main face, and any face."""
        shares = {}
        for name, rows in self._rows.items():
            frames = sum(row["track"]["frames"] for row in rows)
            main = sum(row["tally"].get("main_face", 0) for row in rows)
            face = sum(row["face"] for row in rows)
            shares[name] = {"main_face": main / frames, "face": face / frames}
        return shares


def _recording(number: int, layout: Layout, pairs: Pairs, dims: Sequence[str]) -> Recording:
    """Return the recording of an id, without its target; each id counts as a subject."""
    paths = {"video": layout.videos.get(number)}
    paths |= {dim: layout.labels.get((number, dim)) for dim in dims}
    missing = [str(layout.path(number, role)) for role, path in paths.items() if path is None]
    return Recording(
        track_id=str(number),
        video_id=pairs.video_id(number),
        subject_id=str(number),
        files={role: str(path) for role, path in paths.items() if path is not None},
        problem=f"{', '.join(missing)}: cannot be found; restore the missing files"
        if missing
        else "",
    )


def _target_problem(
    number: int, layout: Layout, pairs: Pairs, rows: Mapping[int, list[Row]]
) -> str:
    """Return why the target of an id is not known, or ""."""
    own = rows.get(number, [])
    try:
        if own:
            check_rows(layout.targets, own, layout.videos[number])
    except InputError as error:
        return str(error)
    if number not in pairs:
        return ""
    other = pairs.partner.get(number)
    both = sorted({number, number if other is None else other})
    unnamed = [each for each in both if each not in rows]
    if unnamed:
        ids = f"ids {both[0]} and {both[1]}" if other is not None else f"id {number} and another id"
        return (
            f"{layout.targets}: names no target for id {' and '.join(map(str, unnamed))}; {ids} "
            "show the same frames with different targets, so add rows id,time_s,x,y for each of "
            "them, with a point on the target's face"
        )
    partners = {row.point: row.line for row in rows.get(other, [])} if other is not None else {}
    for row in own:
        if row.point.x is not None and row.point in partners:
            return (
                f"{layout.targets}: line {row.line}: id {number} has the same point as id {other} "
                f"on line {partners[row.point]}, but their targets differ; correct one of the two"
            )
    return ""


def _parts(whole: Recording, config: VeaticConfig) -> list[Recording]:
    """Divide a video as in the official protocol; a recording with a problem stays whole."""
    if whole.problem:
        return [dataclasses.replace(whole, split="train")]
    video = whole.files["video"]
    try:
        frames = len(read_timeline(video).time_s)
    except InputError as error:
        return [dataclasses.replace(whole, split="train", problem=str(error))]
    try:
        parts = parts_of(frames, config.gap_frames, config.dev_share)
    except InputError as error:
        return [dataclasses.replace(whole, split="train", problem=f"{video}: {error}")]
    return [
        dataclasses.replace(
            whole,
            track_id=f"{whole.track_id}_{part.split}",
            split=part.split,
            details={**whole.details, "span": [part.first, part.last], "frames": frames},
        )
        for part in parts
    ]
