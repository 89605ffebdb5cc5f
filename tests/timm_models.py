"""timm, for comparisons, also if the binary of its torchvision does not fit torch."""

from typing import Any

import pytest

DETECTIONS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def imported() -> Any:
    """Return the package timm; skip the test where it or torch is not installed.

    torchvision registers shapes of operators of its own binary when it is imported, and fails if
    the binary was made for another build of torch. No network of timm uses these operators.
    """
    torch = pytest.importorskip("torch")
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + DETECTIONS)
    return pytest.importorskip("timm")
