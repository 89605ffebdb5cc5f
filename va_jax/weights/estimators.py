"""Describe networks that others trained to estimate valence and arousal."""

import dataclasses
from typing import Any

from va_jax.types import DIMS, LOGIT, STRETCHED

EXPRESSIONS = ("anger", "contempt", "disgust", "fear")
EXPRESSIONS += ("happiness", "neutral", "sadness", "surprise")
"""AffectNet's expressions, in the order of EmotiEffLib's classes."""


@dataclasses.dataclass(frozen=True)
class Estimator:
    """The known facts about a network, apart from the names of its arrays."""

    outputs: tuple[str, ...]  # outputs of its last layer, in order
    data: str  # name of its training data
    alignment: str  # alignment of its crops, which are detected boxes
    size: int  # side of its crops, in px

    def facts(self, size: int = 0) -> dict[str, Any]:
        """Return the facts about its training data that a model stores; `size` overrides its own.

        The network looks at single frames, so the frame rate does not matter. Crops are stored as
        JPEGs of quality 100 before they reach the network (our choice).
        """
        crop = {"size": size or self.size, "source": "detect", "margin": 0.0}
        crop |= {"alignment": self.alignment, "jpeg_quality": 100}
        logits = [name for name in self.outputs if name.startswith(LOGIT)]
        return {
            "name": self.data,
            "input_size": size or self.size,
            "dims": [*DIMS, *logits],
            "crop": crop,
            "fps": 25.0,
            "split_hash": "none",
            "frames": {},
        }


ESTIMATORS = {
    "emotieffnet": Estimator(
        outputs=(*(f"{LOGIT}{name}" for name in EXPRESSIONS), *DIMS),
        data="AffectNet",
        alignment=STRETCHED,
        size=224,
    ),
}
"""Format of the weights -> the network."""
