"""Reading the csv files of predictions: what a spreadsheet does to them, and what is refused."""

import pytest

from va_jax.scoring import predicted
from va_jax.scoring.predicted import csv_header, summary_header
from va_jax.types import InputError

HEADER = ",".join(csv_header(["valence"]))


def row(frame="0", time_s="0.0", track="0"):
    return f"clip.mp4,{frame},{time_s},{track},1,1,9,9,0.9,0.5,1"


def write(path, *rows, header=HEADER, encoding="utf-8"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_our_files_are_recognised_with_and_without_a_byte_order_mark(tmp_path, encoding):
    path = write(tmp_path / "a.csv", row(), row("1", "0.1"), encoding=encoding)
    assert predicted.source_of(path) == "clip.mp4"
    assert predicted.read(path).time_s.tolist() == [0.0, 0.1]
    header = ",".join(summary_header(["valence"]))
    summary = write(tmp_path / "summary.csv", header=header, encoding=encoding)
    assert predicted.is_summary(summary)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (row("1", ""), r"a\.csv: row 3: time_s '' is not a number; .*predict the video again"),
        (row("1", "inf"), r"row 3: time_s 'inf' is not a number"),
        (row("", "0.1"), r"row 3: frame '' is not a number"),
        (row(), r"a\.csv: track 0 has several rows for the same frame"),
    ],
)
def test_rows_without_a_place_in_time_are_refused(tmp_path, second, message):
    path = write(tmp_path / "a.csv", row(), second)
    with pytest.raises(InputError, match=message):
        predicted.read(path)
