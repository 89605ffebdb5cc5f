"""The layouts of the copies of RECOLA, and the one that a tree has."""

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
    """The folders of videos and label files in a copy, and the protocol of its splits."""

    name: str
    protocol: str
    videos: str
    sources: Mapping[str, Source]  # by value of the option `labels`, the default first

    @property
    def default_labels(self) -> str:
        """Return the default of the option `labels` in this layout."""
        return next(iter(self.sources))

    def is_in(self, root: pathlib.Path) -> bool:
        """Return whether the tree contains the videos and at least one kind of label files."""
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
"""Layouts by name; if a tree has several, the first counts."""


def find_layout(root: pathlib.Path, name: str) -> Layout:
    """Return the layout called `name` or, with "auto", the first that the tree has.

    Raises:
        InputError: the tree lacks its folders.
    """
    wanted = [each for each in LAYOUTS.values() if name in ("auto", each.name)]
    found = next((each for each in wanted if each.is_in(root)), None)
    if found is None:
        folders = "; ".join(map(str, wanted))
        raise InputError(
            f"{root}: lacks the folders of RECOLA ({folders}); give the top folder of a copy"
        )
    return found
