"""A fixture for tests whose faces are coloured squares."""

import pytest

from tests.tfds_builders.squares import SquareDetector
from tfds_builders import crops


@pytest.fixture
def squares_are_faces(monkeypatch) -> None:
    """Builders find coloured squares instead of faces."""
    detector = SquareDetector()
    monkeypatch.setattr(crops, "detector", lambda min_face: detector)
