"""The detector agrees with its package, handles crowds, and reads weights without running code."""

import importlib.util
import io
import pathlib
import pickle

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from va_jax.faces import detect
from va_jax.faces.detect import Detector, iou
from va_jax.faces.detector_weights import load_weights, read_arrays
from va_jax.types import InputError
from va_jax.video.read import read_frames

lz4_frame = pytest.importorskip("lz4.frame")

# Output of the mtcnn package 1.0.0 under TensorFlow 2 for the first frame of smile.mp4, with the
# pyramid 12/40 * 0.709^k: x, y, width, height, score, five x, five y.
PACKAGE_SMILE = [
    *(221.4334, 84.893, 147.9627, 204.7052, 0.9998),
    *(258.761, 327.5269, 294.9055, 271.7723, 327.8155),
    *(169.6594, 166.4795, 212.8077, 250.9044, 248.2351),
]


@pytest.fixture(scope="module")
def smile(media) -> np.ndarray:
    return next(read_frames(media / "smile.mp4"))[1]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


def exact_pyramid(image: np.ndarray, scales: list[float]) -> list[np.ndarray]:
    height, width = image.shape[:2]
    sizes = [(int(width * s), int(height * s)) for s in scales]
    image = image.astype(np.float32)
    return [(cv2.resize(image, s, interpolation=cv2.INTER_AREA) - 127.5) / 128 for s in sizes]


@pytest.mark.slow
def test_the_cascade_agrees_with_the_mtcnn_package(smile, monkeypatch):
    monkeypatch.setattr(detect, "build_pyramid", exact_pyramid)
    found = Detector(refinements=0)(smile)
    x, y, width, height, score = PACKAGE_SMILE[:5]
    np.testing.assert_allclose(found.boxes, [[x, y, x + width, y + height]], atol=0.01)
    np.testing.assert_allclose(found.scores, [score], atol=1e-4)
    landmarks = np.stack([PACKAGE_SMILE[5:10], PACKAGE_SMILE[10:]], -1)
    np.testing.assert_allclose(found.landmarks, landmarks[None], atol=0.01)


def test_the_overlap_of_boxes_agrees_with_hand_calculation():
    box = np.array([0.0, 0, 4, 4])
    others = np.array([[0, 0, 4, 4], [2, 0, 6, 4], [1, 1, 3, 3], [4, 0, 8, 4], [9, 9, 9, 9]], float)
    for as_array in (np.asarray, jnp.asarray):
        expected = [1, 8 / 24, 4 / 16, 0, 0]
        np.testing.assert_allclose(iou(as_array(box[None]), as_array(others)), expected, rtol=1e-6)
        expected = [1, 8 / 16, 1, 0, 0]
        over_smaller = iou(as_array(box[None]), as_array(others), over_smaller=True)
        np.testing.assert_allclose(over_smaller, expected, rtol=1e-6)


def test_a_pyramid_of_halved_images_is_close_to_the_area_mean(smile):
    scales = detect.pyramid_scales(smile.shape[:2], 40)
    assert len(scales) == 7
    for fast, exact in zip(
        detect.build_pyramid(smile, scales), exact_pyramid(smile, scales), strict=True
    ):
        assert fast.shape == exact.shape
        assert np.abs(fast - exact).mean() < 0.02


@pytest.mark.slow
def test_a_shifted_image_shifts_the_landmarks(smile, detector):
    moved = cv2.copyMakeBorder(smile, 24, 0, 0, 40, cv2.BORDER_CONSTANT)[:360, 40:]
    moved = np.ascontiguousarray(moved)
    shift = detector(moved).landmarks - detector(smile).landmarks
    np.testing.assert_allclose(shift - [-40, 24], 0, atol=3)  # of a face 145 pixels wide


@pytest.mark.slow
def test_a_mirrored_face_has_its_points_in_the_order_of_the_image(smile, detector):
    mirrored = detector(np.ascontiguousarray(smile[:, ::-1])).landmarks[0]
    expected = detector(smile).landmarks[0][[1, 0, 2, 4, 3]]
    expected[:, 0] = smile.shape[1] - 1 - expected[:, 0]
    np.testing.assert_allclose(mirrored, expected, atol=6)
    assert mirrored[0, 0] < mirrored[1, 0]
    assert mirrored[3, 0] < mirrored[4, 0]


@pytest.fixture(scope="module")
def crowd(smile) -> np.ndarray:
    face = cv2.resize(smile[40:340, 150:450], (120, 120), interpolation=cv2.INTER_AREA)
    return np.tile(face, (2, 3, 1))


@pytest.fixture(scope="module")
def crowd_found(crowd) -> detect.Detections:
    return Detector(80, caps=(128, 128, 32))(crowd)


@pytest.mark.slow
def test_every_face_of_a_crowd_is_found(crowd_found):
    assert len(crowd_found.boxes) == 6
    assert (np.diff(crowd_found.scores) <= 0).all()


@pytest.mark.slow
def test_a_cap_that_drops_candidates_warns_and_leaves_the_other_faces_unchanged(crowd, crowd_found):
    with pytest.warns(UserWarning, match=r"caps\[2\]=4"):
        few = Detector(80, caps=(100, 90, 4))(crowd)
    assert 0 < len(few.boxes) <= 4
    gaps = np.abs(few.landmarks[:, None] - crowd_found.landmarks).max((2, 3))
    assert gaps.min(1).max() < 1e-2  # other padding, same faces


def test_one_compilation_serves_all_images_of_a_size(smile, detector, caplog):
    detector(smile)
    with jax.log_compiles():
        detector(smile[::-1].copy())
        assert "Compiling" not in caplog.text
        jax.jit(lambda x: x + 1)(1.0)
    assert "Compiling" in caplog.text  # so a second compilation would have been seen


def test_an_image_smaller_than_a_face_has_no_face(detector):
    found = detector(np.zeros((30, 300, 3), np.uint8))
    assert found.boxes.shape == (0, 4)
    assert found.landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize(
    ("options", "reason"), [({"min_face": 8}, "min_face=8"), ({"caps": (32, 0, 4)}, "caps=")]
)
def test_options_out_of_range_are_refused(options, reason):
    with pytest.raises(InputError, match=reason):
        Detector(**options)


def test_the_weights_are_complete():
    shapes = {net: [array.shape for array in arrays] for net, arrays in load_weights().items()}
    assert shapes["pnet"][0] == (3, 3, 3, 10)
    assert shapes["onet"][-6:] == [(256, 4), (4,), (256, 10), (10,), (256, 2), (2,)]
    assert sum(array.size for arrays in load_weights().values() for array in arrays) == 495_850


def test_the_error_for_a_missing_package_names_the_install_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install mtcnn"):
        load_weights.__wrapped__()


class Touch:
    """An object that creates a file when the ordinary reader unpickles it."""

    def __init__(self, path: pathlib.Path):
        self.path = str(path)

    def __reduce__(self):
        return exec, (f"open({self.path!r}, 'w').close()",)


def test_a_malicious_weight_file_runs_no_code(tmp_path):
    trace = tmp_path / "trace"
    code = pickle.dumps([np.zeros(2, np.float32), Touch(trace)])
    pickle.loads(code)
    assert trace.exists()  # the attack works on the ordinary reader
    trace.unlink()
    (tmp_path / "evil.lz4").write_bytes(lz4_frame.compress(code))
    with pytest.raises(InputError, match=r"it refers to (builtins\.exec|numpy)"):
        read_arrays(tmp_path / "evil.lz4")
    only = pickle.dumps(Touch(trace), protocol=0)
    (tmp_path / "evil.lz4").write_bytes(lz4_frame.compress(only))
    with pytest.raises(InputError, match=r"it refers to (builtins|__builtin__)\.exec"):
        read_arrays(tmp_path / "evil.lz4")
    assert not trace.exists()


def test_an_array_of_objects_is_refused(tmp_path):
    joblib = pytest.importorskip("joblib")
    trace = tmp_path / "trace"
    file = io.BytesIO()
    joblib.dump([np.array([Touch(trace)], object)], file)
    (tmp_path / "evil.lz4").write_bytes(lz4_frame.compress(file.getvalue()))
    with pytest.raises(InputError, match=r"'O8'|byte order"):
        read_arrays(tmp_path / "evil.lz4")
    assert not trace.exists()


def test_arrays_written_by_joblib_are_read_back(tmp_path):
    joblib = pytest.importorskip("joblib")
    arrays = [np.random.default_rng(0).normal(size=s).astype(np.float32) for s in ((3, 4), (5,))]
    file = io.BytesIO()
    joblib.dump(arrays, file)
    (tmp_path / "good.lz4").write_bytes(lz4_frame.compress(file.getvalue()))
    for read, written in zip(read_arrays(tmp_path / "good.lz4"), arrays, strict=True):
        np.testing.assert_array_equal(read, written)


@pytest.mark.parametrize("content", [b"", b"no lz4 at all"])
def test_a_broken_weight_file_is_refused(tmp_path, content):
    (tmp_path / "broken.lz4").write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.lz4: not a readable list"):
        read_arrays(tmp_path / "broken.lz4")


def test_a_truncated_weight_file_is_refused(tmp_path):
    folder = pathlib.Path(importlib.util.find_spec("mtcnn").origin).parent / "assets" / "weights"
    content = lz4_frame.decompress((folder / "pnet.lz4").read_bytes())
    for length in (100, 700, 20_000):
        (tmp_path / "short.lz4").write_bytes(lz4_frame.compress(content[:length]))
        with pytest.raises(InputError, match="not a readable list"):
            read_arrays(tmp_path / "short.lz4")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("jax_enable_x64", True),
        ("jax_numpy_dtype_promotion", "strict"),
        ("jax_numpy_rank_promotion", "raise"),
        ("jax_default_matmul_precision", "bfloat16"),
    ],
)
def test_settings_of_jax_do_not_change_the_faces(media, setting, value):
    _, image = next(read_frames(media / "smile.mp4"))
    expected, before = Detector()(image), getattr(jax.config, setting)
    jax.config.update(setting, value)
    try:
        jax.clear_caches()
        found = Detector()(image)
    finally:
        jax.config.update(setting, before)
        jax.clear_caches()
    for name in ("boxes", "scores", "landmarks"):
        assert getattr(found, name).dtype == np.float32
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-2)
