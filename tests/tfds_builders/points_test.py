"""Points in a file for each frame: identified by number, parsed when needed, or refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfds_builders.layouts import write_text
from tfds_builders.points import PointFiles, box_around, read_pts
from tfds_builders.trees import numbered_files
from va_jax.types import InputError


def pts(points):
    rows = "".join(f"{x} {y}\n" for x, y in points)
    return f"version: 1\nn_points: {len(points)}\n{{\n{rows}}}\n"


def test_files_are_identified_by_number_and_sorted(tmp_path):
    for name in ("10.pts", "2.PTS", "frame_0001.pts", "._3.pts", "4.txt"):
        write_text(tmp_path / name, "")
    files = numbered_files(tmp_path, ".pts")
    assert [(n, path.name) for n, path in files.items()] == [
        (1, "frame_0001.pts"),
        (2, "2.PTS"),
        (10, "10.pts"),
    ]
    assert list(numbered_files(tmp_path, ".pts", ".txt")) == [1, 2, 4, 10]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["1.pts", "0001.pts"],
            r"1\.pts: has the same frame number as 0001\.pts; remove one of the two",
        ),
        (["face.pts"], r"face\.pts: the name contains no frame number; .* 00001\.pts"),
    ],
)
def test_names_without_a_number_of_their_own_are_refused(tmp_path, names, message):
    for name in names:
        write_text(tmp_path / name, "")
    with pytest.raises(InputError, match=message):
        numbered_files(tmp_path, ".pts")


def test_a_file_is_parsed_only_when_its_frame_is_looked_up(tmp_path):
    parsed = []

    def parse(path):
        parsed.append(path.name)
        return np.zeros((4, 2))

    files = {n: tmp_path / f"{n}.pts" for n in (2, 7, 10)}
    points = PointFiles(files, parse)
    assert (len(points), bool(points), 7 in points, 3 in points) == (3, True, True, False)
    assert list(points) == sorted(points) == [2, 7, 10]
    assert points.get(3) is None
    assert parsed == []
    assert points[7].shape == points.get(10).shape == (4, 2)
    assert parsed == ["7.pts", "10.pts"]


def test_the_box_is_the_least_and_greatest_of_its_points(tmp_path):
    path = write_text(tmp_path / "1.pts", pts([(30.5, 4), (10, 4), (10, 24.25), (30.5, 24.25)]))
    np.testing.assert_array_equal(box_around(read_pts(path, 4)), [10, 4, 30.5, 24.25])


def test_any_spacing_and_line_ends_and_a_byte_order_mark_are_accepted(tmp_path):
    text = "\ufeffversion:  1\r\nN_POINTS:  2\r\n\r\n{\r\n 1,5   2e1 \r\n-3\t.5\r\n}\r\n\r\n"
    points = read_pts(write_text(tmp_path / "1.pts", text), 2)
    np.testing.assert_array_equal(points, [[1.5, 20], [-3, 0.5]])


GOOD = pts([(1, 2), (3, 4)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (
            GOOD.replace("version: 1", "version: 2"),
            "line 1: found 'version: 2', expected 'version: 1'",
        ),
        (pts([(1, 2)]), "line 2: found 'n_points: 1', expected 'n_points: 2'"),
        (GOOD.replace("{", "("), r"line 3: found '\(', expected '{'"),
        (GOOD.replace("1 2", "1 2 3"), "line 4: '1 2 3' is not a point"),
        (GOOD.replace("3 4", "3 y"), "line 5: y 'y' is not a number"),
        (GOOD.replace("3 4", "nan 4"), "line 5: x 'nan' is not a number"),
        (GOOD.replace("3 4\n", ""), "line 5: '}' is not a point"),
        (GOOD.replace("}", "5 6\n}"), "line 6: found '5 6', expected '}'"),
        (GOOD + "5 6\n", "line 7: '5 6' follows the last point"),
        (GOOD.replace("}\n", ""), "line 5: the file ends before 2 points"),
        ("version: 1\n", "line 1: the file ends"),
    ],
)
def test_bad_points_are_refused_with_file_and_line(tmp_path, text, message):
    path = write_text(tmp_path / "9.pts", text)
    with pytest.raises(InputError, match=message) as caught:
        read_pts(path, 2)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@given(st.text() | st.text(st.sampled_from("0123456789.,-e\n {}\ufeff")))
@settings(max_examples=50)
def test_any_text_is_points_or_one_line(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.pts"
    path.write_bytes(("version: 1\nn_points: 2\n{\n" + text).encode(errors="surrogatepass"))
    try:
        points = read_pts(path, 2)
    except InputError as error:
        message = str(error)
    else:
        message = f"{path}"
        assert points.shape == (2, 2)
        assert np.isfinite(points).all()
    assert message.startswith(str(path))
    assert "\n" not in message


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=9))
@settings(max_examples=50)
def test_what_is_written_is_read(tmp_path_factory, points):
    path = write_text(tmp_path_factory.getbasetemp() / "written.pts", pts(points))
    np.testing.assert_array_equal(read_pts(path, len(points)), points)
