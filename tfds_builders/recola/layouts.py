"""The layouts in which RECOLA is handed on, and which of them a tree has."""

import dataclasses
import pathlib
from collections.abc import Mapping

from tfds_builders import trees
from va_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class Source:
    """Label files of one kind: `folder`/DIMENSION/RECORDING`suffix`."""

    folder: tuple[str, ...]  # levels of `trees.find_folder`
    suffix: str
    description: str


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where videos and label files lie, and whose splits its recordings have."""

    name: str
    protocol: str
    videos: str
    sources: Mapping[str, Source]  # by value of the option `labels`, the usual one first

    @property
    def usual(self) -> str:
        """The value of the option `labels` that this layout is read with unless told otherwise."""
        return next(iter(self.sources))

    def is_in(self, root: pathlib.Path) -> bool:
        """Whether the tree has the videos and label files of one kind or more."""
        labels = (each.folder for each in self.sources.values())
        return trees.find_folder(root, self.videos) is not None and any(
            trees.find_folder(root, *levels) is not None for levels in labels
        )

    def __str__(self) -> str:
        labels = " or ".join("/".join(each.folder) for each in self.sources.values())
        return f"{self.name}: {self.videos} and {labels}".replace("*/", "")


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            "avec2016",
            "avec2016",
            "*/recordings_video",
            {
                "gold": Source(("*/ratings_gold_standard",), ".arff", "gold standard of AVEC 2016"),
                "raters": Source(
                    ("*/ratings_individual",), ".csv", "six raters of AVEC 2016, fused"
                ),
            },
        ),
        Layout(
            "original",
            "full46",
            "*/RECOLA-Video-recordings",
            {
                "raters": Source(
                    ("*/RECOLA-Annotation", "emotional_behaviour"),
                    ".csv",
                    "six raters of the release, fused",
                )
            },
        ),
        Layout(
            "centred",
            "full46",
            "*/Video_recordings_MP4",
            {
                "gold": Source(
                    ("*/Ratings_affective_behaviour_CCC_centred",), ".csv", "CCC-centred ratings"
                )
            },
        ),
    )
}
"""By name, in the order in which they are taken where a tree has several."""


def recognise(root: pathlib.Path, name: str) -> Layout:
    """The layout called `name`, or with "auto" the first that the tree has.

    Raises InputError where it has none.
    """
    wanted = [each for each in LAYOUTS.values() if name in ("auto", each.name)]
    found = next((each for each in wanted if each.is_in(root)), None)
    if found is None:
        folders = "; ".join(map(str, wanted))
        raise InputError(f"{root}: lacks the folders of RECOLA ({folders}); give the top of a copy")
    return found
