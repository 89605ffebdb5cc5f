"""Two real faces: each keeps its number when they cross, turn back, leave and return."""

import pathlib
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from tests.predict.predicting import FakeModel, predictor, quiet
from va_jax import faces
from va_jax.predict.inputs import Video
from va_jax.predict.results import VideoResult
from va_jax.predict.tracks import TrackResult
from va_jax.video.read import read_frames

WIDTH, HEIGHT, SIDE, LEVEL = 640, 360, 140, 180  # pixels; centres of heads are on one level
CLIPS = ("smile.mp4", "tears_to_laughter.mp4")
APART = 50  # pixels between two heads from which on it is plain whose place is whose
Way = list[tuple[int, float]]  # frame and place across, with straight lines between


@pytest.fixture(scope="module")
def detector() -> faces.Detector:
    return faces.Detector(min_face=40)


@pytest.fixture(scope="module")
def heads(media, detector) -> list[list[np.ndarray]]:
    """The first frames of the clips, cut to the heads."""
    found = []
    for clip in CLIPS:
        frames = [
            image for (_, image), _ in zip(read_frames(media / clip), range(60), strict=False)
        ]
        x1, y1, x2, y2 = detector(frames[0]).boxes[0]
        half = int(0.8 * max(x2 - x1, y2 - y1))
        x, y = int(x1 + x2) // 2 + half, int(y1 + y2) // 2 + half
        around = [half] * 4
        wide = [cv2.copyMakeBorder(each, *around, cv2.BORDER_REPLICATE) for each in frames]
        cuts = [each[y - half : y + half, x - half : x + half] for each in wide]
        size = (SIDE, SIDE)
        found.append([cv2.resize(cut, size, interpolation=cv2.INTER_AREA) for cut in cuts])
    return found


def places(way: Way, frames: int) -> np.ndarray:
    return np.interp(np.arange(frames), *zip(*way, strict=True))


def film(path: pathlib.Path, heads, ways: list[Way], frames: int = 60) -> pathlib.Path:
    """The heads on their ways along a wall; the first one hides the second."""
    noise = np.random.default_rng(0).normal(128, 128, (HEIGHT, WIDTH, 3))
    wall = np.clip(128 + 8 * (cv2.GaussianBlur(noise, (0, 0), 9) - 128), 0, 255).astype(np.uint8)
    oval = np.zeros((SIDE, SIDE), np.uint8)
    cv2.ellipse(oval, (SIDE // 2, SIDE // 2), (55, 68), 0, 0, 360, 1, -1)
    top = LEVEL - SIDE // 2
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for frame in range(frames):
            wide = np.pad(wall, ((0, 0), (2 * SIDE, 2 * SIDE), (0, 0)), "edge")
            for head, way in list(zip(heads, ways, strict=True))[::-1]:
                left = round(float(places(way, frames)[frame])) - SIDE // 2 + 2 * SIDE
                under = wide[top : top + SIDE, left : left + SIDE]
                under[oval > 0] = head[frame][oval > 0]
            image = np.ascontiguousarray(wide[:, 2 * SIDE : -2 * SIDE])
            out = av.VideoFrame.from_ndarray(image, format="rgb24")
            out.pts, out.time_base = frame, Fraction(1, 25)
            container.mux(stream.encode(out))
        container.mux(stream.encode())
    return path


def predict(path: pathlib.Path, detector: faces.Detector, every: int = 1) -> VideoResult:
    made = predictor(FakeModel(), detector=detector, track="all", every=every)
    return made.predict(Video(path), quiet())[0]


def whose(track: TrackResult, ways: list[Way]) -> set[int]:
    """The heads on whose place a track is, where the two are not in one place."""
    across = np.stack([places(way, len(track.shown)) for way in ways])
    plain = track.shown & (np.abs(across[0] - across[1]) > APART)
    off = np.abs(track.boxes[plain][:, [0, 2]].mean(1) - across[:, plain])
    assert (off.min(0) < 25).all()
    return set(off.argmin(0).tolist())


CROSSING = [[(0, 120), (59, 520)], [(0, 520), (59, 120)]]
SLOWLY = [[(0, 220), (59, 420)], [(0, 420), (59, 220)]]
FAST = [[(0, 80), (29, 560), (59, 560)], [(0, 560), (29, 80), (59, 80)]]
TURNING_BACK = [[(0, 120), (29, 305), (59, 120)], [(0, 520), (29, 335), (59, 520)]]
STOPPING = [[(0, 120), (29, 320), (59, 320)], [(0, 320), (39, 320), (59, 520)]]
OVERTAKING = [[(0, 100), (59, 540)], [(0, 250), (59, 400)]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ways", "every"),
    [
        *(
            (ways, every)
            for ways in (CROSSING, SLOWLY, FAST, STOPPING, OVERTAKING)
            for every in (1, 3)
        ),
        (TURNING_BACK, 1),  # with longer steps only the looks of the faces differ from crossing
    ],
)
def test_faces_that_hide_each_other_keep_their_numbers(tmp_path, heads, detector, ways, every):
    tracks = predict(film(tmp_path / "a.mp4", heads, ways), detector, every).tracks
    assert [track.number for track in tracks] == [0, 1]
    assert sorted(sorted(whose(track, ways)) for track in tracks) == [[0], [1]]


@pytest.mark.slow
@pytest.mark.parametrize("other", [[(0, 200), (59, 200)], [(0, 200), (20, 200), (59, 480)]])
def test_a_face_that_returns_never_gets_the_number_of_the_other(tmp_path, heads, detector, other):
    ways = [other, [(0, 500), (18, 740), (30, 740), (59, 560)]]
    tracks = predict(film(tmp_path / "a.mp4", heads, ways), detector).tracks
    assert all(len(whose(track, ways)) == 1 for track in tracks)
    (stays,) = [track for track in tracks if whose(track, ways) == {0}]
    assert stays.shown.all()
    seen = sum(track.shown.astype(int) for track in tracks if track is not stays)
    assert seen.max() == 1
    assert seen[:8].all()
    assert not seen[20:30].any()
