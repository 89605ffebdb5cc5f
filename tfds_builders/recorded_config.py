"""The options that all builders of recorded faces have, and the configurations made from them."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from va_jax import faces
from va_jax.types import DIMS, InputError
from va_jax.video import jpeg

SIZES = (112, 96, 224)


@dataclasses.dataclass
class RecordedConfig(tfds.core.BuilderConfig):
    """Options of all builders of recorded faces; set by `--config_options key=value`."""

    FACES: ClassVar[tuple[str, ...]] = ("detect",)  # legal values of `faces`

    size: int = 112  # side of the crops, pixels
    faces: str = "detect"  # how the face is found, see material.Material
    dims: tuple[str, ...] = DIMS  # targets to read from the label files
    margin: float = 0.0  # around boxes, as a share of the longer side, on each end
    detect_every: int = 1  # search every n-th frame for faces
    min_face: int = 40  # smallest face searched for, pixels of the decoded frame
    max_side: int = 1280  # larger videos are shrunk to this before the search, pixels
    no_face: str = "refuse"  # or "mask": keep a recording that never shows a face, as black crops
    jpeg_quality: int = jpeg.QUALITY
    max_gap_s: float = 1.0  # labels joined by time: rows further apart are not interpolated
    seed: int = 0  # for drawing the splits
    folds: int = 0  # 0: one split; else fold number `fold` of this many is the test split
    fold: int = 0

    def __post_init__(self):
        for name in ("size", "detect_every", "min_face", "max_side", "max_gap_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)} must be above 0")
        if not 1 <= self.jpeg_quality <= 100:
            raise InputError(f"jpeg_quality={self.jpeg_quality} must be from 1 to 100")
        if self.margin < 0:
            raise InputError(f"margin={self.margin} must be 0 or above")
        for name, legal in (("no_face", ("refuse", "mask")), ("faces", self.FACES)):
            if getattr(self, name) not in legal:
                known = ", ".join(legal)
                raise InputError(f"{name}={getattr(self, name)!r} is not one of {known}")
        if not self.dims or len(set(self.dims)) < len(self.dims):
            raise InputError(f"dims={','.join(self.dims)} must name each target once")
        if self.folds and not (self.folds >= 3 and 0 <= self.fold < self.folds):
            raise InputError(
                f"folds={self.folds}, fold={self.fold}: give at least 3 folds, and a smaller fold"
            )

    @property
    def points(self) -> int:
        """Return the number of landmarks stored with each frame."""
        return faces.DETECTED_POINTS if self.faces == "detect" else 0


def named_configs(
    config: type[RecordedConfig],
    variants: Mapping[str, Mapping[str, Any]],
    sizes: Sequence[int] = SIZES,
    folds: int = 0,
) -> list[RecordedConfig]:
    """Return a configuration for each variant, size and, with `folds`, fold.

    They are called `SIZE`, `SIZE_VARIANT` and, with `folds`, also `..._foldK`.

    Args:
        config: the dataclass of the builder's options.
        variants: {name: options it sets}; the name "" adds nothing to the configuration's name.
        sizes: sides of the crops, pixels.
        folds: number of folds; 0 for none.
    """
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
