"""Build RECOLA from any of its usual copies: AVEC 2016, original or centred."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from tfds_builders import trees
from tfds_builders.material import Material, Recording
from tfds_builders.raters import check_fusion
from tfds_builders.recola.labels import (
    STEP_S,
    Traces,
    fused,
    join,
    read_gold,
    read_raters,
    read_trace,
)
from tfds_builders.recola.layouts import LAYOUTS, Layout, Source, find_layout
from tfds_builders.recola.protocols import COUNTS, PROTOCOLS, split_of
from tfds_builders.recorded import RecordedBuilder
from tfds_builders.recorded_config import RecordedConfig, named_configs
from va_jax.types import DIMS, InputError
from va_jax.video.facts import read_timeline
from va_jax.video.read import VIDEO_SUFFIXES

FPS = 1 / STEP_S
FPS_TOLERANCE = 0.01
"""Largest relative deviation of a video's frame rate from FPS (our choice)."""


@dataclasses.dataclass
class RecolaConfig(RecordedConfig):
    """Options of this builder, set with `--config_options key=value`."""

    layout: str = "auto"  # or a name in `layouts.LAYOUTS`
    labels: str = ""  # "gold": published trace; "raters": six raters, fused; "": layout's default
    protocol: str = ""  # a name in `protocols.PROTOCOLS`; "": that of the layout
    fusion: str = "avec2016"  # rule to fuse the raters, one of `raters.FUSIONS`

    def __post_init__(self):
        super().__post_init__()
        check_fusion(self.fusion)
        for name, legal in (
            ("layout", ("auto", *LAYOUTS)),
            ("labels", ("", "gold", "raters")),
            ("protocol", ("", *PROTOCOLS)),
        ):
            if getattr(self, name) not in legal:
                known = ", ".join(filter(None, legal))
                raise InputError(f"{name}={getattr(self, name)!r} is not one of {known}")
        if not set(self.dims) <= set(DIMS):
            raise InputError(f"dims={','.join(self.dims)}: RECOLA has only {', '.join(DIMS)}")


class RoleFiles(NamedTuple):
    """All files that serve one role, such as the videos."""

    folder: pathlib.Path
    suffix: str
    files: dict[str, pathlib.Path]  # {recording: file}


def read(recording: Recording, config: RecolaConfig) -> Material:
    """Join frame i of the video to the row at 0.04 i seconds; frames are numbered from 1.

    The row at time 0 is not used.

    Raises:
        InputError: A file cannot be read, or the frame rate of the video differs from that of the
            rows.
    """
    files = {role: pathlib.Path(path) for role, path in recording.files.items()}
    _require_rate(files["video"])
    labels = None
    if config.dims[0] in files:
        if recording.details["labels"] == "raters":
            raters = [read_raters(files[dim]) for dim in config.dims]
            traces = [fused(each, config.fusion) for each in raters]
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
            f"{video}: has {fps:g} frames per second, but its labels have {FPS:g} rows per second; "
            f"re-encode it at {FPS:g} frames per second"
        )


def _read_gold(path: pathlib.Path, name: str) -> Traces:
    return read_gold(path, name) if path.suffix.lower() == ".arff" else read_trace(path)


class Builder(RecordedBuilder):
    """RECOLA: one track per participant; the detector finds the faces."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "the folder that contains a copy of RECOLA: recordings_video and ratings_gold_standard, or "
        "RECOLA-Video-recordings and RECOLA-Annotation, or Video_recordings_MP4 and "
        "Ratings_affective_behaviour_CCC_centred"
    )
    BUILDER_CONFIGS: ClassVar = named_configs(
        RecolaConfig, {"": {}, "raters": {"labels": "raters"}}
    )
    read = staticmethod(read)
    late_options = (*RecordedBuilder.late_options, "layout", "protocol")
    _layout: Layout | None = None  # set by `scan`

    @property
    def layout(self) -> Layout:
        """Return the layout detected by `scan`."""
        if self._layout is None:
            raise RuntimeError("the layout is not known before `scan` is called")
        return self._layout

    @property
    def expected(self) -> Mapping[str, int]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Return the size of the whole set, half of which is public, or {} before `scan`."""
        counts = COUNTS[self._layout.protocol] if self._layout else {}
        return {"all": sum(counts.values())} if self.builder_config.folds else counts

    @property
    def labels_facts(self) -> dict[str, Any]:
        labels = self.builder_config.labels or self.layout.default_labels
        return {
            "source": self.layout.sources[labels].description,
            "range": [-1, 1],
            "join": f"frame number, time / {STEP_S:g} s",
            **({"fusion": self.builder_config.fusion} if labels == "raters" else {}),
        }

    def extras(self, recordings: Mapping[str, Sequence[Recording]]) -> dict[str, Any]:
        facts = super().extras(recordings)
        if not self.builder_config.folds:
            facts["splits"]["protocol"] = self.layout.protocol
        return facts | {"layout": self.layout.name}

    def scan(self, manual_dir: pathlib.Path) -> list[Recording]:
        config = self.builder_config
        self._layout = layout = find_layout(manual_dir, config.layout)
        _require_fit(config, layout)
        labels = config.labels or layout.default_labels
        videos = trees.require_folder(manual_dir, layout.videos)
        roles = {"video": RoleFiles(videos, ".mp4", trees.files_by_name(videos, VIDEO_SUFFIXES))}
        for dim in config.dims:
            roles[dim] = _label_files(manual_dir, layout.sources[labels], dim)
        names = sorted(set().union(*(role.files for role in roles.values())))
        if labels == "gold" and "raters" in layout.sources:
            source = layout.sources["raters"]
            if trees.find_folder(manual_dir, *source.folder) is not None:
                for dim in config.dims:
                    roles[f"{dim}_raters"] = _label_files(manual_dir, source, dim)
        protocol = "" if config.folds else layout.protocol
        return [_recording(name, labels, roles, config.dims, protocol) for name in names]


def _label_files(root: pathlib.Path, source: Source, dim: str) -> RoleFiles:
    folder = trees.require_folder(root, *source.folder, dim)
    return RoleFiles(folder, source.suffix, trees.files_by_name(folder, [source.suffix]))


def _require_fit(config: RecolaConfig, layout: Layout) -> None:
    """Raise InputError for options that do not fit the layout."""
    for name, value, legal in (
        ("protocol", config.protocol, (layout.protocol,)),
        ("labels", config.labels, tuple(layout.sources)),
    ):
        if value not in ("", *legal):
            raise InputError(
                f"{name}={value}: the layout {layout.name} supports only "
                f"{name}={' or '.join(legal)}; leave the option empty, or choose a different layout"
            )
    if config.folds and layout.protocol == "avec2016":
        raise InputError(
            f"folds={config.folds}: AVEC 2016 has fixed splits and no test labels; "
            "set folds=0, or use the 'original' or 'centred' layout"
        )


def _recording(
    name: str, labels: str, roles: dict[str, RoleFiles], dims: Sequence[str], protocol: str
) -> Recording:
    """Return the recording called `name`; only test recordings in AVEC 2016 may lack labels."""
    files = {role: str(each.files[name]) for role, each in roles.items() if name in each.files}
    split = ""
    if protocol:
        split = split_of(protocol, name, pathlib.Path(next(iter(files.values()))))
    needed = ["video", *dims]
    if protocol == "avec2016" and split == "test" and not set(dims) & set(files):
        needed = ["video"]
    missing = [roles[role] for role in needed if role not in files]
    paths = [str(role.folder / f"{name}{role.suffix}") for role in missing]
    return Recording(
        track_id=name,
        video_id=name,
        subject_id=name,
        files=files,
        details={"labels": labels},
        split=split,
        problem=f"{', '.join(paths)}: cannot be found; restore the missing files"
        if missing
        else "",
    )
