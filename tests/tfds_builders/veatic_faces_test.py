"""VEATIC with the real detector, on rendered people who share a video."""

import av
import numpy as np
import pytest
import simplejpeg

from tests.tfds_builders.layouts import build_set, write_text
from tests.tfds_builders.synthetic_faces_test import person, still
from tests.tfds_builders.veatic_tree import add_labels, values
from tfds_builders.synthetic_faces import render

FRAMES, SIZE = 40, 128
ANN, BEN = 3, 8  # rendered people who look different


def portrait(number):
    return render.render(person(number), still(), SIZE, np.random.default_rng(0))[0]


def write_people(path, people):
    """Write a video with one person on the left and one on the right, if `people(n)` names them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    faces = {number: portrait(number) for number in (ANN, BEN)}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.bit_rate = 4_000_000
        for n in range(FRAMES):
            image = np.full((180, 320, 3), 110, np.uint8)
            for number, x in people(n).items():
                image[26 : 26 + SIZE, x : x + SIZE] = faces[number]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def who(track):
    """Return the person in each crop, by the colour of its middle; None without a face."""
    colours = {n: portrait(n)[50:90, 45:85].reshape(-1, 3).mean(0) for n in (ANN, BEN)}
    people = []
    for jpeg, face in zip(track["frames"], track["face"], strict=True):
        middle = simplejpeg.decode_jpeg(jpeg)[28:84, 28:84].reshape(-1, 3).mean(0)
        nearest = min(colours, key=lambda n: np.abs(colours[n] - middle).sum())
        people.append(nearest if face else None)
    return people


@pytest.mark.slow
def test_the_real_detector_finds_the_person_who_is_named(tmp_path):
    root = tmp_path / "in"
    both = {ANN: 10, BEN: 180}
    write_people(root / "video" / "1.mp4", lambda n: both)
    write_people(root / "video" / "2.mp4", lambda n: {BEN: 180} if n >= 20 else both)
    for number in (1, 2):
        add_labels(root, number, FRAMES)
    _, tracks = build_set(tmp_path, "veatic")
    assert who(tracks["2"][1]) == [BEN] * FRAMES
    write_text(root / "target.csv", "id,time_s,x,y\n1,0,250,95\n1,1.0,75,95\n2,0,75,95\n")
    facts, tracks = build_set(tmp_path, "veatic")
    assert who(tracks["1"][1]) == [BEN] * 25 + [ANN] * 15
    assert who(tracks["2"][1]) == [ANN] * 20 + [None] * 20
    for number in (1, 2):
        labels = tracks[str(number)][1]["target"]
        np.testing.assert_allclose(labels, values(number, FRAMES), atol=1e-6)
    assert np.isfinite(tracks["1"][1]["landmarks"]).all()
    assert facts["visible"]["2"]["main_face"] == 0.5
