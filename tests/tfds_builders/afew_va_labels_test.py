"""The JSON files of AFEW-VA: their labels and landmarks, and refusals with file and frame."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfds_builders.afew_va_test import face, frame, write_clip
from tests.tfds_builders.layouts import labels_or_one_line, write_text
from tfds_builders.afew_va.labels import read_actor, read_annotation
from va_jax.types import DIMS, InputError


def test_labels_are_divided_by_ten(tmp_path):
    frames = {str(n): frame(n - 10, 10 - n) for n in range(21)}
    labels = read_annotation(write_clip(tmp_path / "1", frames), DIMS).labels
    tenths = (np.arange(-10, 11) / 10).astype(np.float32)
    found = labels.at(np.arange(21), np.zeros(21))
    np.testing.assert_array_equal(found, np.stack([tenths, -tenths], 1))


def content(**changes):
    """Return the JSON of a clip of one frame with changes; None removes a key."""
    whole = {**frame(1, 2), **changes}
    one = {key: each for key, each in whole.items() if each is not None}
    return json.dumps({"actor": "A", "frames": {"00007": one}})


def read_all(path):
    read_actor(path)
    return read_annotation(path, DIMS)


POINTS = face().tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: not valid JSON"),
        ('{"actor": "A",\n "frames": {,}}', "line 2: not valid JSON"),
        ("[]", "the file is not a JSON object"),
        ('{"frames": {}}', "the file has no key 'actor'"),
        ('{"actor": 7, "frames": {}}', "actor 7 is not a name"),
        ('{"actor": null, "frames": {}}', "actor None is not a name"),
        ('{"actor": "\\ud800", "frames": {}}', r"actor '\\ud800' is not a name"),
        ('{"actor": "A"}', "the file has no key 'frames'"),
        ('{"actor": "A", "frames": []}', "frames is not a JSON object"),
        ('{"actor": "A", "frames": {}}', "no frames"),
        ('{"actor": "A", "frames": {"00000": 3}}', "frame '00000' is not a JSON object"),
        ('{"actor": "A", "frames": {"-1": {}}}', "frame '-1': .* 1 to 5 digits"),
        ('{"actor": "A", "frames": {"999999": {}}}', "frame '999999': .* digits"),
        (
            '{"actor": "A", "frames": {"0": {}, "00000": {}}}',
            "frames '0' and '00000' have the same number",
        ),
        (content(valence="3"), "frame '00007': valence '3' is not a number from -10 to 10"),
        (content(arousal=True), "frame '00007': arousal True is not a number"),
        (content(valence=-11), "frame '00007': valence -11 is not a number"),
        (content(valence=[[1] * 99]), r"frame '00007': valence \[\[1, .*\.\.\.\]\] is not a"),
        (content(valence=None), "frame '00007' has no key 'valence'"),
        (content(landmarks=None), "frame '00007' has no key 'landmarks'"),
        (content(landmarks="x"), "frame '00007' has no list of landmarks; expected 68"),
        (content(landmarks=POINTS[:49]), "frame '00007' has 49 landmarks; expected 68"),
        (content(landmarks=[*POINTS[:67], [1]]), r"landmark 67 \[1\] is not a pair of coordinates"),
        (
            content(landmarks=[*POINTS[:67], [1, "2"]]),
            r"landmark 67 \[1, '2'\] is not a pair of coordinates",
        ),
        (content(landmarks=[[1, 1e9], *POINTS[1:]]), r"landmark 0 \[1, 1000000000.0\] is not"),
        (content().replace(": 2}", ": NaN}"), "arousal nan is not a number"),
        (content().replace(": 2}", ": 1e999}"), "arousal inf is not a number"),
        (content().replace(": 2}", f": {'9' * 5000}}}"), "cannot read this JSON"),
        ("[" * 100_000, "cannot read this JSON"),
    ],
)
def test_bad_files_are_refused_with_file_and_frame(tmp_path, text, message):
    path = write_text(tmp_path / "001.json", text)
    with pytest.raises(InputError, match=message) as caught:
        read_all(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_ignored_and_binary_files_are_refused(tmp_path):
    path = write_text(tmp_path / "001.json", "\ufeff" + content())
    labels = read_annotation(path, ("arousal", "valence")).labels
    assert labels.number.tolist() == [7]
    np.testing.assert_allclose(labels.values, [[0.2, 0.1]], rtol=1e-12)
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InputError, match=r"001\.json: not UTF-8 text"):
        read_annotation(path, DIMS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(max_examples=60)
@given(st.data())
def test_any_text_gives_labels_in_range_or_a_one_line_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.json"
    key = data.draw(st.sampled_from(["valence", "arousal", "landmarks", "file", "text"]))
    if key == "text":
        text = data.draw(st.text() | st.text(st.sampled_from('{}[]":,0123456789.-eNatrue\n')))
    elif key == "file":
        text = json.dumps(data.draw(JSON))
    else:
        text = content(**{key: data.draw(JSON)})
    path.write_bytes(text.encode(errors="surrogatepass"))
    labels_or_one_line(lambda: read_all(path).labels, path)


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.integers(0, 99_999),
        st.tuples(st.integers(-10, 10), st.integers(-10, 10), st.integers(0, 900)),
        min_size=1,
        max_size=8,
    )
)
def test_written_annotations_are_read_back(tmp_path_factory, clip):
    folder = tmp_path_factory.getbasetemp() / "any"
    frames = {f"{n:05d}": frame(v, a, face(x)) for n, (v, a, x) in clip.items()}
    path = write_clip(folder, frames, actor=" A  b")
    assert read_actor(path) == "a b"
    found = read_annotation(path, DIMS)
    assert found.labels.number.tolist() == sorted(clip)
    expected = np.array([clip[n][:2] for n in sorted(clip)]) / 10
    np.testing.assert_allclose(found.labels.values, expected, atol=1e-15)
    for number, (_, _, x) in clip.items():
        np.testing.assert_array_equal(found.landmarks[number], face(x))
