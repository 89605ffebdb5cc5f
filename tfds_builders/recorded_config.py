"""The options common to all builders for recorded faces, and the configurations based on them."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from va_jax import faces
from va_jax.io import number
from va_jax.types import DIMS, InputError
from va_jax.video import jpeg

SIZES = (112, 96, 224)


@dataclasses.dataclass
class RecordedConfig(tfds.core.BuilderConfig):
    """Options of all builders for recorded faces, set with `--config_options key=value`."""

    FACES: ClassVar[tuple[str, ...]] = ("detect",)  # legal values of `faces`

    size: int = 112  # side of the crops, pixels
    faces: str = "detect"  # the way to find the face, see material.Material
    dims: tuple[str, ...] = DIMS  # targets to read from the label files
    margin: float = 0.0  # margin on each side of a box, as a fraction of its longer side
    detect_every: int = 1  # search every n-th frame for faces
    min_face: int = 40  # smallest face to search for, in pixels of the decoded frame
    max_side: int = 1280  # larger videos are shrunk to this side before the search, pixels
    no_face: str = "refuse"  # or "mask": keep a recording that never shows a face, as black crops
    jpeg_quality: int = jpeg.QUALITY
    max_gap_s: float = 1.0  # longest gap between rows to interpolate across, for labels by time
    unused_rows: str = "refuse"  # or "drop": keep labels if most of their rows fall on no frame
    seed: int = 0  # seed for drawing the splits
    folds: int = 0  # number of cross-validation folds; fold number `fold` is test; 0: no folds
    fold: int = 0

    def __post_init__(self):
        for name in ("size", "detect_every", "min_face", "max_side", "max_gap_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)} must be above 0")
        if not 1 <= self.jpeg_quality <= 100:
            raise InputError(f"jpeg_quality={self.jpeg_quality} must be between 1 and 100")
        if self.margin < 0:
            raise InputError(f"margin={self.margin} must be at least 0")
        choices = {
            "no_face": ("refuse", "mask"),
            "unused_rows": ("refuse", "drop"),
            "faces": self.FACES,
        }
        for name, legal in choices.items():
            if getattr(self, name) not in legal:
                known = ", ".join(legal)
                raise InputError(f"{name}={getattr(self, name)!r} is not one of {known}")
        if not self.dims or len(set(self.dims)) < len(self.dims):
            raise InputError(f"dims={','.join(self.dims)} must list each target exactly once")
        if self.folds and not (self.folds >= 3 and 0 <= self.fold < self.folds):
            raise InputError(
                f"folds={self.folds}, fold={self.fold}: folds must be at least 3, and fold must be "
                "at least 0 and below folds"
            )

    @property
    def points(self) -> int:
        """Return the number of landmarks stored with each frame."""
        return faces.DETECTED_POINTS if self.faces == "detect" else 0


def parse_range(name: str, ends: Sequence[Any]) -> tuple[float, float]:
    """Return the option `name`, two numbers or their texts, as (lowest, highest).

    Raises:
        InputError: These are not two numbers in increasing order.
    """
    numbers = [number(str(each).strip()) for each in ends]
    if len(numbers) == 2 and None not in numbers:
        low, high = map(float, ends)
        if low < high:
            return low, high
    raise InputError(f"{name}={','.join(map(str, ends))}: expected LOW,HIGH, such as 0,100")


def named_configs(
    config: type[RecordedConfig],
    variants: Mapping[str, Mapping[str, Any]],
    sizes: Sequence[int] = SIZES,
    folds: int = 0,
) -> list[RecordedConfig]:
    """Return a configuration for each combination of variant, size and fold.

    They are called `SIZE`, `SIZE_VARIANT` and, if there are folds, also `..._foldK`.

    Args:
        config: Dataclass with the builder's options.
        variants: {name: options to set}; the name "" adds nothing to the configuration's name.
        sizes: Sides of the crops in pixels.
        folds: Number of folds; 0 for none.
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
