"""Networks that others trained to estimate valence and arousal: their outputs, data and crops."""

import dataclasses
from typing import Any

from va_jax.types import DIMS, LOGIT, STRETCHED

EXPRESSIONS = ("anger", "contempt", "disgust", "fear")
EXPRESSIONS += ("happiness", "neutral", "sadness", "surprise")
"""AffectNet's expressions, in the order of the classes of EmotiEffLib."""


@dataclasses.dataclass(frozen=True)
class Estimator:
    """What is known about a network, besides the names of its arrays."""

    outputs: tuple[str, ...]  # of its last layer, in order
    data: str  # what it was trained on
    alignment: str  # of its crops, which are detected boxes
    size: int  # side of its crops, in px

    def facts(self, size: int = 0) -> dict[str, Any]:
        """Return the facts about its data that a model stores; `size` replaces its own size.

        The network looks at single frames, so the frame rate does not matter. Crops pass through a
        JPEG of quality 100 on their way to the network (our choice).
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
