"""From a video to its predictions: faces, boxes, times, values, and where the video breaks off."""

import pathlib

import cv2
import numpy as np
import pytest
import simplejpeg

from tests.predict.predicting import (
    METADATA,
    PLAIN,
    FakeModel,
    detect,
    predictor,
    quiet,
    write_video,
)
from tfds_builders import crops as builder_crops
from tfds_builders.material import Material, Tally
from tfds_builders.recorded_config import RecordedConfig
from va_jax.evaluation.postprocess import PostProcessing, Step
from va_jax.export.model import load
from va_jax.predict import inputs, preprocessing
from va_jax.predict.inputs import Image, Video
from va_jax.predict.preprocessing import Preprocessing
from va_jax.predict.results import VideoResult
from va_jax.types import STRETCHED, InputError

STILL = [[(0, 40, 20, 48)]] * 6


def predict(path: pathlib.Path, model=None, **chosen) -> VideoResult:
    return predictor(model, **chosen).predict(Video(path), quiet())[0]


def test_every_frame_has_its_time_box_and_values(tmp_path):
    stamps = [0, 40, 90, 100, 180, 300]
    result = predict(write_video(tmp_path / "a.mp4", STILL, stamps))
    np.testing.assert_allclose(result.time_s, np.array(stamps) / 1000, atol=1e-9)
    (track,) = result.tracks
    assert track.shown.all()
    np.testing.assert_allclose(track.boxes, np.tile([40, 20, 88, 68], (6, 1)), atol=1e-3)
    np.testing.assert_allclose(track.scores, 0.9)
    np.testing.assert_allclose(track.values, np.tile([1, 0], (6, 1)), atol=0.03)


def test_boxes_are_in_pixels_of_the_upright_frame_before_it_is_shrunk(tmp_path, monkeypatch):
    path = write_video(tmp_path / "turned.mp4", STILL, rotation=90)
    monkeypatch.setattr(inputs, "MAX_SIDE", 80)
    result = predict(path)
    assert (result.width, result.height) == (96, 160)
    # a quarter turn against the clock: (x, y) goes to (y, 160 - x)
    np.testing.assert_allclose(result.tracks[0].boxes[0], [20, 72, 68, 120], atol=2.1)


def test_crops_are_those_a_data_set_of_the_video_holds_byte_for_byte(tmp_path, monkeypatch):
    places = [[(0, 20 + 3 * n, 20, 40)] if n not in (5, 6) else [] for n in range(20)]
    path, model = write_video(tmp_path / "a.mp4", places), FakeModel()
    predict(path, model, preprocessing=preprocessing.Preprocessing(32, 90, None, 5), every=2)
    monkeypatch.setattr(builder_crops, "detector", lambda _: detect)
    config = RecordedConfig(name="x", size=32, detect_every=2)
    material = Material(path, "detect")
    _, cuts = builder_crops.cut(material, config, 5, Tally())
    cuts = list(cuts)
    assert [cut.jpeg for cut in cuts] == model.jpegs[0]
    assert 0 < sum(cut.face for cut in cuts) < 20
    np.testing.assert_array_equal(np.stack([cut.landmarks for cut in cuts]), model.landmarks)


@pytest.mark.slow
def test_values_are_those_of_the_model_on_the_crops_alone_and_in_a_batch(tmp_path, tiny_run):
    places = [
        [(0, 4 + n, 20, 40), *([(1, 100, 24, 36)] if n not in (4, 5) else [])] for n in range(14)
    ]
    path = write_video(tmp_path / "a.mp4", places, [100 * n for n in range(14)])
    model, sources = load(tiny_run), []
    traces = model.traces

    def noted(source, stride=None):
        sources.append(read(source))
        return traces(source, stride)

    def read(source):
        images = np.empty((2, 14, source.size, source.size, 3), np.uint8)
        for track in (0, 1):
            source.read(track, np.arange(14), images[track])
        return images, np.stack([source.labels(track).face for track in (0, 1)])

    model.traces, (how, _) = noted, preprocessing.from_metadata(model.metadata)
    result = predict(path, model, preprocessing=how, track="all")
    model.traces = traces
    (images, face), *_ = sources
    assert (~face).sum() == 2
    together = model(images, face)
    for track in (0, 1):
        np.testing.assert_array_equal(result.tracks[track].values, together[track])
        alone = model(images[track], face[track])
        np.testing.assert_allclose(result.tracks[track].values, alone, atol=1e-6)


def test_crossing_faces_keep_their_numbers_and_their_values(tmp_path):
    places = [[(1, 120 - 4 * n, 24, 36), (0, 4 + 4 * n, 20, 40)] for n in range(28)]
    result = predict(write_video(tmp_path / "a.mp4", places), track="all")
    assert [track.number for track in result.tracks] == [0, 1]
    for track, value, left in zip(result.tracks, ([1, 0], [0, 1]), (4, 120), strict=True):
        assert track.shown[[0, -1]].all()
        assert track.boxes[0, 0] == pytest.approx(left, abs=4)  # smoothed
        seen = np.flatnonzero(track.shown)
        apart = seen[(seen < 8) | (seen > 20)]
        np.testing.assert_allclose(track.values[apart], np.tile(value, (len(apart), 1)), atol=0.05)
    assert 0 < (~result.tracks[1].shown).sum() < 12


def test_a_face_that_leaves_is_not_shown_and_the_other_keeps_its_number(tmp_path):
    places = [[(0, 4, 20, 40), *([(1, 100, 24, 36)] if n < 10 else [])] for n in range(20)]
    stays, leaves = predict(write_video(tmp_path / "a.mp4", places), track="all").tracks
    assert stays.shown.all()
    np.testing.assert_allclose(stays.values, np.tile([1, 0], (20, 1)), atol=0.05)
    assert leaves.shown.tolist() == [True] * 10 + [False] * 10
    assert np.isnan(leaves.boxes[10:]).all()
    assert np.isnan(leaves.values[10:]).all()


def test_the_one_subject_is_the_largest_and_has_values_in_every_frame(tmp_path):
    places = [[(1, 100, 24, 24), *([(0, 4, 20, 60)] if n > 4 else [])] for n in range(20)]
    (track,) = predict(write_video(tmp_path / "a.mp4", places)).tracks
    assert track.shown.tolist() == [False] * 5 + [True] * 15
    assert np.isfinite(track.values).all()


def test_without_a_face_there_are_frames_but_no_tracks(tmp_path):
    path = write_video(tmp_path / "a.mp4", [[]] * 4)
    result, warnings = predictor().predict(Video(path), quiet())
    assert (len(result.time_s), result.tracks, warnings) == (4, [], [])


def test_a_file_that_breaks_off_is_predicted_up_to_there(tmp_path, monkeypatch):
    from va_jax.predict import inputs

    path = write_video(tmp_path / "a.mp4", STILL)
    whole = inputs.read_frames

    def breaking(*given):
        for number, frame in enumerate(whole(*given)):
            if number == 4:
                raise InputError("broken after 4 frames")
            yield frame

    monkeypatch.setattr(inputs, "read_frames", breaking)
    source = Video(path)
    result, _ = predictor().predict(source, quiet())
    assert len(result.time_s) == len(result.tracks[0].values) == 4
    assert source.broken == "broken after 4 frames"


def test_an_image_is_one_frame_and_one_detection_makes_a_face(tmp_path):
    image = np.zeros((96, 160, 3), np.uint8)
    image[20:68, 40:88] = 0, 0, 255  # red, as OpenCV writes it
    cv2.imwrite(str(tmp_path / "a.png"), image)
    result, warnings = predictor().predict(Image(tmp_path / "a.png"), quiet())
    assert (result.time_s.tolist(), warnings) == ([0.0], [])
    np.testing.assert_allclose(result.tracks[0].boxes, [[40, 20, 88, 68]])
    np.testing.assert_allclose(result.tracks[0].values, [[1, 0]], atol=0.03)


def test_a_file_that_is_not_an_image_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("no")
    with pytest.raises(InputError, match=r"a.png: not a readable image"):
        Image(tmp_path / "a.png")


def test_processed_values_went_through_the_post_processing(tmp_path):
    model = FakeModel()
    shift = Step("centre", {"bias": 0.25}, True, 0.1, 0.2)
    model.post_processing = PostProcessing({"valence": (shift,), "arousal": ()}, {})
    path = write_video(tmp_path / "a.mp4", STILL)
    raw, done = (predict(path, model, processed=each).tracks[0].values for each in (False, True))
    np.testing.assert_allclose(done - raw, np.tile([0.25, 0], (6, 1)), atol=1e-6)


def test_frames_are_taken_as_far_apart_as_in_training(tmp_path):
    model = FakeModel(METADATA | {"fps": 10.0, "stride": 2})  # 0.2 s
    predict(write_video(tmp_path / "a.mp4", STILL), model)
    assert model.strides == [5]


@pytest.mark.parametrize(
    ("fps", "stride", "warned"),
    [(25.0, 5, False), (30.0, 6, False), (24.0, 5, False), (7.0, 1, True), (2.0, 1, True)],
)
def test_the_stride_is_the_nearest_in_time_with_a_warning_if_it_is_far_off(fps, stride, warned):
    trained = {"fps": 10.0, "stride": 2}
    found, warning = preprocessing.stride_for(trained | {"temporal": "causal"}, fps)
    assert found == stride
    assert (warning is not None) == warned
    assert preprocessing.stride_for(trained | {"temporal": "none"}, fps) == (1, None)


def crop_of(**facts):
    return METADATA | {"crop": METADATA["crop"] | facts}


def test_crops_that_a_detector_cut_are_reproduced_without_a_warning():
    for source in ("detect", "videos: detect; crop folders: as they are"):
        assert preprocessing.from_metadata(crop_of(source=source)) == (PLAIN, [])


def test_a_network_that_expects_the_box_itself_gets_it_stretched():
    how, warnings = preprocessing.from_metadata(crop_of(alignment=STRETCHED))
    assert (how, warnings) == (Preprocessing(32, 90, 0.0, 0, stretched=True), [])
    image = np.zeros((100, 80, 3), np.uint8)
    image[20:80, 30:60] = 255
    box, points = np.array([30, 20, 59, 79], np.float32), np.zeros((5, 2), np.float32)
    encoded, _ = how.crop(image, box, points, shown=True)
    assert simplejpeg.decode_jpeg(encoded)[1:-1, 1:-1].min() > 250


@pytest.mark.parametrize(
    ("facts", "margin"),
    [
        ({"source": "drawn", "alignment": "none"}, 0.0),
        ({"source": "boxes", "alignment": "none: the upright square", "margin": 0.2}, 0.2),
        ({"source": "landmarks", "alignment": "level eyes, square"}, None),
        ({"source": "cropped_aligned", "alignment": "by the organisers, to five points"}, None),
    ],
)
def test_a_warning_names_the_substitute_for_crops_that_cannot_be_reproduced(facts, margin):
    made, (line,) = preprocessing.from_metadata(crop_of(**facts))
    assert made.margin == margin
    assert repr(facts["source"]) in line
    assert ("detected box" in line) == (margin is not None)


def test_a_network_that_takes_other_landmarks_is_refused():
    five, many = ({"size": 32, "landmarks": {"points": points}} for points in (5, 68))
    assert preprocessing.from_metadata(METADATA | {"input": five})[0].points == 5
    with pytest.raises(InputError, match="takes 68 landmarks"):
        preprocessing.from_metadata(METADATA | {"input": many})


def test_preprocessing_by_box_cuts_the_square_around_the_box(tmp_path):
    model = FakeModel()
    path = write_video(tmp_path / "a.mp4", STILL)
    predict(path, model, preprocessing=preprocessing.Preprocessing(32, 90, 0.5, 0))
    assert len(model.jpegs[0]) == 6
    image = cv2.imdecode(np.frombuffer(model.jpegs[0][0], np.uint8), cv2.IMREAD_COLOR_RGB)
    # the face is the middle half of a square with half its side on each end
    assert image[16, 16, 0] > 240
    assert image[16, 4, 0] < 20
    assert image[16, 11, 0] > 200
