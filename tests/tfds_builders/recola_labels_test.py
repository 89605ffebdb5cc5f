"""RECOLA's label files: arff and csv in any dialect, and refusals with file and line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfds_builders.layouts import labels_or_one_line, write_text
from tests.tfds_builders.recola_test import (
    ARFF,
    RATER_HEADER,
    ROWS,
    TIMES,
    raters_csv,
    ratings,
    trace,
)
from tfds_builders.recola.labels import (
    RATERS,
    Traces,
    join,
    read_gold,
    read_raters,
    read_trace,
)
from va_jax.types import InputError


@pytest.mark.parametrize(
    "text",
    [
        "time;value\n" + "".join(f"{t};{v}\n" for t, v in zip(TIMES, trace(7), strict=True)),
        "".join(f"{t},{v}\n" for t, v in zip(TIMES, trace(7), strict=True)),
        "\ufeffArousal\tTime (s) \r\n"
        + "".join(f"{v}\t{t}\r\n" for t, v in zip(TIMES, trace(7), strict=True)),
        "".join(f"{t};{v}\n" for t, v in zip(TIMES, trace(7), strict=True)).replace(".", ","),
        "".join(f'"{t + 0.0039}", {v}\n' for t, v in zip(TIMES, trace(7), strict=True)),
    ],
    ids=["semicolon", "no header", "tab, value first", "comma decimals", "a little off the grid"],
)
def test_the_centred_copy_is_read_in_any_dialect(tmp_path, text):
    read = read_trace(write_text(tmp_path / "P16.csv", text))
    np.testing.assert_array_equal(read.number, range(ROWS))
    np.testing.assert_array_equal(read.values, [trace(7)])


def test_raters_are_kept_on_the_labelled_rows_only():
    gold = Traces(np.array([1, 2, 4]), np.array([[0.1, 0.2, 0.4]]))
    raters = Traces(np.array([0, 1, 4]), np.array([[0, 1, 4], [0, -1, -4]]) / 10)
    labels = join([gold, gold], [raters, None])
    np.testing.assert_array_equal(labels.raters[0], [[0.1, np.nan, 0.4], [-0.1, np.nan, -0.4]])
    assert labels.raters[1].shape == (0, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (ARFF, "contains no rows"),
        ("@relation x\ndev_1,0.04,0\n", "line 2: unexpected 'dev_1,0.04,0' before @data"),
        ("@relation x\n% only this\n", "contains no @data"),
        ("@attribute\n@data\n", "line 1: unexpected '@attribute' before @data"),
        (ARFF.replace("frameTime", "time"), "line 7: the attributes are instance_name, time, gold"),
        (ARFF + "dev_1,0.04\n", "line 9: has 2 cells instead of 3"),
        (
            ARFF + "dev_2,0.04,0\n",
            "line 9: the instance is 'dev_2', but the file is named after 'dev_1'",
        ),
        (ARFF + "dev_1,0.04,high\n", "line 9: GoldStandard 'high' is not a number"),
        (ARFF + "dev_1,0.04,0\ndev_1,0.08,1.01\n", "line 10: GoldStandard 1.01 is outside"),
        (ARFF + "dev_1,0.04,?\n", "GoldStandard has no values"),
        (ARFF + "dev_1,0.02,0\n", "line 9: time 0.02 matches no frame"),
        (ARFF + "dev_1,0.0445,0\n", r"line 9: time 0\.0445 matches no frame"),
        (ARFF + "dev_1,0.039,0\ndev_1,.041,0\n", r"line 10: time \.041 matches no frame"),
        (ARFF + "dev_1,-0.04,0\n", r"line 9: time -0\.04 matches no frame; .* starting at 0"),
        (ARFF + "dev_1,1e300,0\n", "line 9: time 1e300 matches no frame"),
        (ARFF + "dev_1,0.08,0\ndev_1,0.04,0\n", r"line 10: time 0\.04 comes after time 0\.08"),
        (ARFF + "dev_1,0.08,0\ndev_1,0.08,0\n", r"line 10: time 0\.08 repeats time 0\.08"),
        (ARFF + "dev_1,later,0\n", "line 9: time 'later' is not a number"),
    ],
)
def test_bad_gold_standards_are_refused_with_file_and_line(tmp_path, text, message):
    path = write_text(tmp_path / "dev_1.arff", text)
    with pytest.raises(InputError, match=message) as caught:
        read_gold(path, "dev_1")
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


HEADER = RATER_HEADER + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER, "contains no rows"),
        (
            HEADER.replace("FF3", "FF4") + "0;0;0;0;0;0;0\n",
            r"line 1: no column is named 'FF3' \(columns: .*FF4",
        ),
        (HEADER.replace(";FF3", "") + "0;0;0;0;0;0\n", "line 1: no column is named 'FF3'"),
        ("0;0;0;0;0;0;0\n", "line 1: the header is missing; add a line with the names time, FM1"),
        (
            HEADER.replace("FM1", "FM1;extra") + "0;0;0;0;0;0;0;0\n",
            "line 1: the columns are .*extra",
        ),
        (HEADER + "0;0;0;0;0;0\n", "line 2: has 6 cells"),
        (HEADER + "0;0;0;0;0;0;-1.5\n", "line 2: FF3 -1.5 is outside"),
        (HEADER + "0;0;0;bad;0;0;0\n", "line 2: FM3 'bad' is not a number"),
        (HEADER + "0;0;nan;0;0;0;0\n0.04;0;;0;0;0;0\n", "FM2 has no values"),
        (
            "frame;FM1;FM2;FM3;FF1;FF2;FF3\n1;0;0;0;0;0;0\n",
            r"line 1: 0 columns have the name of a time in seconds \(columns: frame",
        ),
    ],
)
def test_bad_ratings_are_refused_with_file_and_line(tmp_path, text, message):
    path = write_text(tmp_path / "P16.csv", text)
    with pytest.raises(InputError, match=message) as caught:
        read_raters(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_raters_are_found_by_name(tmp_path):
    shuffled = [3, 0, 5, 1, 2, 4]
    header = ";".join([*(RATERS[k].lower() for k in shuffled), " Time"])
    rows = (";".join([*(str(k / 10) for k in shuffled), str(t)]) for t in TIMES)
    path = write_text(tmp_path / "P16.csv", "\n".join([header, *rows]))
    expected = np.repeat(np.arange(6)[:, None] / 10, ROWS, axis=1)
    np.testing.assert_array_equal(read_raters(path).values, expected)


def test_decimal_commas_are_read_and_binary_files_and_extra_columns_refused(tmp_path):
    path = write_text(tmp_path / "a.csv", raters_csv(ratings(3)).replace(".", ","))
    np.testing.assert_array_equal(read_raters(path).values, ratings(3))
    path.write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_raters(path)
    path.write_bytes(b"0\x00;0\n")
    with pytest.raises(InputError, match="zero bytes"):
        read_trace(path)
    with pytest.raises(InputError, match="line 1: has 3 columns; expected 2, time and value"):
        read_trace(write_text(path, "0;0;0\n"))


TEXT = st.text() | st.text(st.sampled_from("0123456789.,;-e\n\t \"'%@?dat\ufeff"))


def read_whole(read, path):
    """Read a file and check its frame numbers; return its labels, None if it is refused."""

    def labels():
        traces = read(path)
        assert traces.number[0] >= 0
        assert (np.diff(traces.number) > 0).all()
        return join([traces], [None])

    return labels_or_one_line(labels, path)


@settings(max_examples=60)
@given(TEXT, st.sampled_from(["", ARFF, HEADER, "time;value\n", ARFF + "dev_1,0,0\n"]))
def test_any_text_gives_labels_in_range_or_a_one_line_error(tmp_path_factory, text, head):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes((head + text).encode(errors="surrogatepass"))
    for read in (lambda each: read_gold(each, "dev_1"), read_raters, read_trace):
        read_whole(read, path)


NUMBERS = st.lists(st.integers(0, 2_000_000), min_size=1, max_size=20, unique=True).map(sorted)


@settings(max_examples=60)
@given(NUMBERS, st.data())
def test_written_labels_are_read_back(tmp_path_factory, numbers, data):
    values = np.array(
        data.draw(
            st.lists(
                st.tuples(*[st.floats(-1, 1)] * len(RATERS)),
                min_size=len(numbers),
                max_size=len(numbers),
            )
        )
    )
    times = [f"{0.04 * n:.2f}" for n in numbers]
    path = tmp_path_factory.getbasetemp() / "written.txt"
    write_text(
        path, ARFF + "".join(f"dev_1,{t},{v}\n" for t, v in zip(times, values[:, 0], strict=True))
    )
    gold = read_gold(path, "dev_1")
    write_text(path, "".join(f"{t}\t{v}\n" for t, v in zip(times, values[:, 0], strict=True)))
    one = read_trace(path)
    rows = "".join(
        f"{t};" + ";".join(map(repr, row)) + "\n"
        for t, row in zip(times, values.tolist(), strict=True)
    )
    write_text(path, HEADER + rows)
    six = read_raters(path)
    for traces, expected in ((gold, values[:, :1]), (one, values[:, :1]), (six, values)):
        np.testing.assert_array_equal(traces.number, numbers)
        np.testing.assert_array_equal(traces.values, expected.T)
