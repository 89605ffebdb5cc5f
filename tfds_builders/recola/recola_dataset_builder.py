"""Build RECOLA from any of the copies that its users have: AVEC 2016, original, centred."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from tfds_builders import trees
from tfds_builders.material import Material, Recording
from tfds_builders.recola.labels import (
    STEP_S,
    Traces,
    fused,
    join,
    read_gold,
    read_raters,
    read_trace,
)
from tfds_builders.recola.layouts import LAYOUTS, Layout, Source, recognise
from tfds_builders.recola.protocols import COUNTS, PROTOCOLS, split_of
from tfds_builders.recorded import RecordedBuilder
from tfds_builders.recorded_config import RecordedConfig, named_configs
from va_jax.types import DIMS, InputError
from va_jax.video.facts import read_timeline
from va_jax.video.read import VIDEO_SUFFIXES

FPS = 1 / STEP_S
FPS_TOLERANCE = 0.01
"""Greatest deviation of a video's frame rate, as a share, at which rows join by number (ours)."""


@dataclasses.dataclass
class RecolaConfig(RecordedConfig):
    """Options of this builder; `--config_options key=value` sets them."""

    layout: str = "auto"  # or a name of `layouts.LAYOUTS`
    labels: str = ""  # "gold": the one published trace; "raters": theirs, fused; "": what is usual
    protocol: str = ""  # a name of `protocols.PROTOCOLS`; "": that of the layout

    def __post_init__(self):
        super().__post_init__()
        for name, legal in (
            ("layout", ("auto", *LAYOUTS)),
            ("labels", ("", "gold", "raters")),
            ("protocol", ("", *PROTOCOLS)),
        ):
            if getattr(self, name) not in legal:
                known = ", ".join(filter(None, legal))
                raise InputError(f"{name}={getattr(self, name)!r} is none of {known}")
        if not set(self.dims) <= set(DIMS):
            raise InputError(f"dims={','.join(self.dims)}: RECOLA has {', '.join(DIMS)}")


class Shelf(NamedTuple):
    """Where the files of one role lie."""

    folder: pathlib.Path
    suffix: str
    files: dict[str, pathlib.Path]  # by recording


def read(recording: Recording, config: RecolaConfig) -> Material:
    """Frame i of the video, from 1 on, takes the rows of time 0.04 i; that of time 0 has no frame.

    Raises InputError also where the video does not have the frame rate of the rows.
    """
    files = {role: pathlib.Path(path) for role, path in recording.files.items()}
    _require_rate(files["video"])
    labels = None
    if config.dims[0] in files:
        if recording.details["labels"] == "raters":
            raters = [read_raters(files[dim]) for dim in config.dims]
            traces = [fused(each) for each in raters]
        else:
            known = (files.get(f"{dim}_raters") for dim in config.dims)
            raters = [path and read_raters(path) for path in known]
            traces = [_read_gold(files[dim], recording.track_id) for dim in config.dims]
        labels = join(traces, raters)
    return Material(files["video"], "detect", labels, first=1)


def _require_rate(video: pathlib.Path) -> None:
    fps = read_timeline(video).fps or 0.0
    if abs(fps / FPS - 1) > FPS_TOLERANCE:
        raise InputError(
            f"{video}: has {fps:g} frames a second, its labels {FPS:g} rows, so numbers do not "
            f"join them; re-encode it at {FPS:g} frames a second"
        )


def _read_gold(path: pathlib.Path, name: str) -> Traces:
    return read_gold(path, name) if path.suffix.lower() == ".arff" else read_trace(path)


class Builder(RecordedBuilder):
    """RECOLA: one track for each participant, whose face the detector finds."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "The folder that holds a copy of RECOLA: recordings_video and ratings_gold_standard, or "
        "RECOLA-Video-recordings and RECOLA-Annotation, or Video_recordings_MP4 and "
        "Ratings_affective_behaviour_CCC_centred."
    )
    BUILDER_CONFIGS: ClassVar = named_configs(
        RecolaConfig, {"": {}, "raters": {"labels": "raters"}}
    )
    read = staticmethod(read)
    late_options = (*RecordedBuilder.late_options, "layout", "protocol")
    _layout: Layout | None = None  # of the tree, once it was scanned

    @property
    def expected(self) -> Mapping[str, int]:
        """Of the whole set, half of which is public; empty before a tree was scanned."""
        counts = COUNTS[self._layout.protocol] if self._layout else {}
        return {"all": sum(counts.values())} if self.builder_config.folds else counts

    @property
    def labels_facts(self) -> dict[str, Any]:
        """Only after `scan`: the layout tells what there is."""
        labels = self.builder_config.labels or self._layout.usual
        return {
            "source": self._layout.sources[labels].description,
            "range": [-1, 1],
            "join": f"frame number, time / {STEP_S:g} s",
        }

    def extras(self, recordings: Mapping[str, Sequence[Recording]]) -> dict[str, Any]:
        facts = super().extras(recordings)
        if not self.builder_config.folds:
            facts["splits"]["protocol"] = self._layout.protocol
        return facts | {"layout": self._layout.name}

    def scan(self, manual_dir: pathlib.Path) -> list[Recording]:
        config = self.builder_config
        self._layout = layout = recognise(manual_dir, config.layout)
        _require_fit(config, layout)
        labels = config.labels or layout.usual
        videos = trees.require_folder(manual_dir, layout.videos)
        shelves = {"video": Shelf(videos, ".mp4", trees.files_by_name(videos, VIDEO_SUFFIXES))}
        for dim in config.dims:
            shelves[dim] = _shelf(manual_dir, layout.sources[labels], dim)
        named = sorted(set().union(*(shelf.files for shelf in shelves.values())))
        if labels == "gold" and "raters" in layout.sources:
            source = layout.sources["raters"]
            if trees.find_folder(manual_dir, *source.folder) is not None:
                for dim in config.dims:
                    shelves[f"{dim}_raters"] = _shelf(manual_dir, source, dim)
        protocol = "" if config.folds else layout.protocol
        return [_recording(name, labels, shelves, config.dims, protocol) for name in named]


def _shelf(root: pathlib.Path, source: Source, dim: str) -> Shelf:
    folder = trees.require_folder(root, *source.folder, dim)
    return Shelf(folder, source.suffix, trees.files_by_name(folder, [source.suffix]))


def _require_fit(config: RecolaConfig, layout: Layout) -> None:
    """Raises InputError where the options ask for what a tree of this layout does not have."""
    for name, value, legal in (
        ("protocol", config.protocol, (layout.protocol,)),
        ("labels", config.labels, tuple(layout.sources)),
    ):
        if value not in ("", *legal):
            raise InputError(
                f"{name}={value}: the layout {layout.name} has {name}={' or '.join(legal)}; "
                "leave it empty, or choose another layout"
            )
    if config.folds and layout.protocol == "avec2016":
        raise InputError(
            f"folds={config.folds}: AVEC 2016 has its own splits, test without labels; "
            "set folds=0, or choose the layout original or centred"
        )


def _recording(
    name: str, labels: str, shelves: dict[str, Shelf], dims: Sequence[str], protocol: str
) -> Recording:
    """Only the test recordings of AVEC 2016 may be without labels: no others' were held back."""
    files = {role: str(each.files[name]) for role, each in shelves.items() if name in each.files}
    split = ""
    if protocol:
        split = split_of(protocol, name, pathlib.Path(next(iter(files.values()))))
    needed = ["video", *dims]
    if protocol == "avec2016" and split == "test" and not set(dims) & set(files):
        needed = ["video"]
    missing = [shelves[role] for role in needed if role not in files]
    paths = [str(shelf.folder / f"{name}{shelf.suffix}") for shelf in missing]
    problem = f"{', '.join(paths)}: missing; copy what {name} lacks" if missing else ""
    return Recording(
        name, name, name, files, details={"labels": labels}, split=split, problem=problem
    )
