"""Known labels in many disguises: each reader returns the known values or refuses the file."""

import random

import numpy as np
import pytest

from tests.tfds_builders.layouts import labels_or_one_line, write_text
from tfds_builders.label_csv import Format, read_labels
from tfds_builders.labels import NumberedLabels
from tfds_builders.sewa import clips
from tfds_builders.sewa.labels import read_column
from tfds_builders.sewa_avec import labels as avec
from va_jax.types import DIMS, InputError

ROWS = 50
STEP_S = 0.04
TIMES = np.round(np.arange(ROWS) * STEP_S, 2)
VALUES = np.round(np.stack([0.9 * np.sin(TIMES), -0.6 * np.cos(2 * TIMES)], 1), 4)
BASE = [["time", *DIMS]] + [
    [f"{t:.2f}", *map(str, row)] for t, row in zip(TIMES, VALUES.tolist(), strict=True)
]


def text(table, delimiter=",", end="\n"):
    return end.join(delimiter.join(row) for row in table) + end


def columns(order, header=None, extra=None):
    """Return BASE with its columns in `order`; `extra(row)` is another column, put first."""
    table = [[row[n] for n in order] for row in BASE]
    if extra:
        table = [[extra(n), *row] for n, row in enumerate(table)]
    return [header.split(",") if header else table[0], *table[1:]]


def cells(change, where=(0, 1, 2)):
    """Return BASE with some columns of every row changed."""
    return [
        BASE[0],
        *([change(cell) if n in where else cell for n, cell in enumerate(row)] for row in BASE[1:]),
    ]


def number_rows(name):
    return lambda n: str(n - 1) if n else name


def decimal_comma(cell):
    return cell.replace(".", ",")


def as_ms(cell):
    return f"{1000 * float(cell):.0f}"


def named(name, table):
    return [[name, *DIMS], *table[1:]]


FRAMES = [[str(n), *row[1:]] for n, row in enumerate(BASE, -1)]
MS = cells(as_ms, (0,))
READ = {
    "plain": text(BASE),
    "no header": text(BASE[1:]),
    "CRLF": text(BASE, end="\r\n"),
    "CR": text(BASE, end="\r"),
    "byte-order mark": "\ufeff" + text(BASE),
    "no end of line": text(BASE).rstrip(),
    "quoted": text([[f'"{cell}"' for cell in row] for row in BASE]),
    "blanks": text([[f" {cell} " for cell in row] for row in BASE]),
    "blank lines": text(BASE).replace("\n", "\n\n", 9),
    "semicolons": text(BASE, ";"),
    "tabs": text(BASE, "\t"),
    "decimal commas": text(cells(decimal_comma), ";"),
    "quoted decimal commas": text(cells(lambda cell: f'"{decimal_comma(cell)}"')),
    "upper case": text(BASE).upper(),
    "exponents": text(cells(lambda cell: f"{float(cell):.6e}")),
    "no leading zero": text(cells(lambda cell: cell.replace("0.", "."))),
    "reordered": text(columns([2, 0, 1])),
    "index column": text(columns([0, 1, 2], extra=number_rows(""))),
    "frames beside times": text(columns([0, 1, 2], extra=number_rows("frame"))),
    "columns of a tool": text(columns([0, 1, 2], extra=lambda n: "0.97" if n else "confidence")),
    "standard deviations": text(columns([0, 1, 2], extra=lambda n: "1" if n else "valence_std")),
    "one named rater": text(named("time", columns([0, 1, 2], "time,P1_valence,arousal_P1"))),
    "seconds by name": text(named("Time (s)", BASE)),
    "milliseconds by name": text(named("time_ms", MS)),
    "milliseconds, second": text(columns([1, 0, 2], "valence,msec,arousal")[:1])
    + text([[row[1], row[0], row[2]] for row in MS[1:]]),
    "frame numbers": text(named("frame", FRAMES)),
    "frame numbers, decimal": text(named("video_frame", [[f"{r[0]}.0", *r[1:]] for r in FRAMES])),
}  # fmt: skip
REFUSED = {
    "decimal commas between commas": text(cells(decimal_comma)),
    "index instead of a time": text(columns([1, 2], extra=number_rows(""))),
    "row numbers": text(columns([1, 2], extra=number_rows("row"))),
    "microseconds": text(named("time_us", MS)),
    "time of day": text(cells(lambda cell: f"00:00:{cell}", (0,))),
    "seconds called frames": text(named("frame", BASE)),
    "blank-delimited": text(BASE, " "),
    "UTF-16": text(BASE).encode("utf-16"),
    "gold standard beside raters": text(
        columns([0, 1, 2], "valence_2,time,valence,arousal", number_rows("x"))
    ),
    "means": text(columns([0, 1, 2], "time,valence_mean,arousal_mean")),
    "short names": text(columns([0, 1, 2], "time,v,a")),
    "two headers": text([BASE[0], *BASE]),
    "units below the header": text([BASE[0], ["s", "", ""], *BASE[1:]]),
}


def read(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_labels(path, DIMS)


def times_of(labels):
    return labels.number * STEP_S if isinstance(labels, NumberedLabels) else labels.time_s


@pytest.mark.parametrize("name", READ)
def test_known_labels_are_read_in_every_disguise(tmp_path, name):
    labels = read(tmp_path / "a.csv", READ[name])
    np.testing.assert_allclose(times_of(labels), TIMES, atol=1e-12)
    np.testing.assert_allclose(labels.values, VALUES, atol=1e-12)


@pytest.mark.parametrize("name", REFUSED)
def test_a_disguise_with_another_reading_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"a\.csv"):
        read(tmp_path / "a.csv", REFUSED[name])


@pytest.mark.parametrize("name", ["no header", "index instead of a time", "short names"])
def test_options_settle_a_refused_file(tmp_path, name):
    content = {**READ, **REFUSED}[name]
    by_position = ("valence:2", "arousal:3")
    form = {
        "no header": Format(time_unit="s"),
        "index instead of a time": Format(time_column="1", time_unit="frame"),
        "short names": Format(columns=by_position),
    }[name]
    labels = read_labels(write_text(tmp_path / "a.csv", content), DIMS, form)
    np.testing.assert_allclose(labels.values, VALUES, atol=1e-12)


NAME = "SSL_C2_S055_P109_VC1_000000_000049"
SEWA = {
    "plain": "frame,valence",
    "by another name": "frame_idx,rater,value",
    "values first": "Frame,Valence,rater_1",
    "a statistic last": "frame,valence,valence_std",
    "another target last": "frame,valence,arousal",
}
SEWA_REFUSED = ("frame,arousal", "frame,x", "frame,valence_std", "frame,valence_1,valence_2")


def sewa_text(header):
    """Return rows of the frame number, the value below `valence` or `value`, and 0.125."""
    names = header.casefold().split(",")
    at = next((names.index(name) for name in ("valence", "value") if name in names), None)
    rows = [["0.125"] * len(names) for _ in range(ROWS)]
    for n, row in enumerate(rows):
        row[0] = str(n)
        if at is not None:
            row[at] = str(n / 100)
    return text([header.split(","), *rows])


@pytest.mark.parametrize("header", SEWA.values(), ids=SEWA)
@pytest.mark.parametrize("change", ["", "\r\n", "\ufeff", ";"])
def test_the_value_column_of_sewa_is_found_by_its_name(tmp_path, header, change):
    content = sewa_text(header)
    content = {
        "": content,
        "\r\n": content.replace("\n", "\r\n"),
        "\ufeff": "\ufeff" + content,
        ";": content.replace(",", ";").replace(".", ","),
    }[change]
    number, values = read_column(write_text(tmp_path / "a.csv", content), "valence")
    np.testing.assert_array_equal(number, np.arange(ROWS))
    np.testing.assert_allclose(values, np.arange(ROWS) / 100)
    assert clips.parse(NAME).frames == ROWS


@pytest.mark.parametrize("header", SEWA_REFUSED)
def test_a_sewa_file_without_a_value_column_is_refused_unless_it_is_named(tmp_path, header):
    path = write_text(tmp_path / "a.csv", sewa_text(header))
    with pytest.raises(InputError, match=r"a\.csv: line 1: .*columns=") as caught:
        read_column(path, "valence")
    assert "\n" not in str(caught.value)
    last = header.split(",")[-1]
    assert (
        read_column(path, "valence", ["arousal:x", f"valence:{last}"])[1].tolist() == [0.125] * 50
    )


AVEC = [[*avec.HEADER]] + [
    ["'Train_01'", t, arousal, valence, "0.5"] for t, valence, arousal in BASE[1:]
]


AVEC_READ = {
    "plain": text(AVEC),
    "no header": text(AVEC[1:]),
    "CRLF": text(AVEC, end="\r\n"),
    "CR": text(AVEC, end="\r"),
    "byte-order mark": "\ufeff" + text(AVEC),
    "no end of line": text(AVEC).rstrip(),
    "quoted": text([[f'"{cell}"' for cell in row] for row in AVEC]),
    "blanks": text([[f" {cell} " for cell in row] for row in AVEC]),
    "blank lines": text(AVEC).replace("\n", "\n\n", 9),
    "semicolons": text(AVEC, ";"),
    "tabs, reordered": text([[row[n] for n in (3, 1, 0, 4, 2)] for row in AVEC], "\t"),
    "decimal commas": text([[decimal_comma(cell) for cell in row] for row in AVEC], ";", "\r\n"),
    "quoted decimal commas": text([[f'"{decimal_comma(cell)}"' for cell in row] for row in AVEC]),
    "upper case": text([[cell.upper() for cell in AVEC[0]], *AVEC[1:]]),
    "exponents": text(
        [AVEC[0], *([row[0], *(f"{float(c):.6e}" for c in row[1:])] for row in AVEC[1:])]
    ),
    "no leading zero": text(AVEC).replace("0.", "."),
}  # fmt: skip
AVEC_REFUSED = {
    "index column": text([["x", *AVEC[0]], *([str(n), *row] for n, row in enumerate(AVEC[1:]))]),
    "extra column": text([[*row, "0.97"] for row in AVEC]),
    "a column less": text([row[:-1] for row in AVEC]),
    "frame numbers": text([AVEC[0], *([r[0], str(n), *r[2:]] for n, r in enumerate(AVEC[1:]))]),
    "milliseconds": text([AVEC[0], *([r[0], as_ms(r[1]), *r[2:]] for r in AVEC[1:])]),
    "decimal commas between commas": text([[decimal_comma(cell) for cell in row] for row in AVEC]),
    "another recording": text(AVEC).replace("Train_01", "Train_02"),
    "blank-delimited": text(AVEC, " "),
    "two headers": text([AVEC[0], *AVEC]),
}


def read_avec(path, content):
    return avec.read_labels(write_text(path, content), "Train_01", DIMS, 0.5)


@pytest.mark.parametrize("name", AVEC_READ)
def test_known_labels_of_the_challenges_are_read_in_every_disguise(tmp_path, name):
    labels = read_avec(tmp_path / "a.csv", AVEC_READ[name])
    np.testing.assert_allclose(labels.time_s, TIMES, atol=1e-12)
    np.testing.assert_allclose(labels.values, VALUES, atol=1e-12)


@pytest.mark.parametrize("name", AVEC_REFUSED)
def test_labels_of_the_challenges_with_another_reading_are_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"a\.csv") as caught:
        read_avec(tmp_path / "a.csv", AVEC_REFUSED[name])
    assert "\n" not in str(caught.value)


JUNK = ("valence_std", "arousal_confidence", "index", "id", "", "face", "valid", "mean_valence")
CHARACTERS = "0123456789.,;-+e\t \r\n'\"_aims"


def edit_cells(rng, table):
    """Change rows or columns of the table, without moving a value below another header."""
    kind, at = rng.randrange(7), rng.randrange(len(table))
    row = table[at]
    if kind == 0:
        del table[at]
    elif kind == 1:
        table.insert(rng.randrange(len(table)), list(row))
    elif kind == 2 and at:
        one, other = rng.randrange(len(row)), rng.randrange(len(row))
        row[one], row[other] = row[other], row[one]
    elif kind == 3 and row:
        del row[rng.randrange(len(row))]
    elif kind == 4:
        row.insert(rng.randrange(len(row) + 1), "0.5")
    elif kind == 5:
        place = rng.randrange(len(table[0]) + 1)
        for n, each in enumerate(table):
            each.insert(place, str(n - 1) if n else rng.choice(JUNK))
    else:
        other = rng.randrange(len(table))
        table[at], table[other] = table[other], table[at]


def edit_characters(rng, content):
    at = rng.randrange(len(content))
    inserted = rng.choice(CHARACTERS) if rng.random() < 0.7 else ""
    return content[:at] + inserted + content[at + rng.randrange(2) :]


def check_mutated(path, seed):
    """Read a mutated file; each edit may change one row, but shift no others."""
    rng = random.Random(seed)
    table, edits = [list(row) for row in BASE[:13]], rng.randint(1, 3)
    for _ in range(edits):
        edit_cells(rng, table)
    content = text(table, rng.choice(",;\t"), rng.choice(["\n", "\r\n"]))
    for _ in range(more := rng.randint(0, 2)):
        content = edit_characters(rng, content)
    labels = labels_or_one_line(lambda: read(path, content), path)
    if labels is None:
        return False
    times = times_of(labels)
    frame = np.clip(np.rint(times / STEP_S), 0, ROWS - 1).astype(int)
    same = (np.abs(TIMES[frame] - times) < 1e-9) & (labels.values == VALUES[frame]).all(1)
    assert (~same).sum() <= edits + more, (seed, content)
    return True


@pytest.mark.parametrize(
    "count", [100, pytest.param(20_000, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_mutated_files_are_refused_or_shift_no_label(tmp_path, count):
    accepted = sum(check_mutated(tmp_path / "a.csv", seed) for seed in range(count))
    assert 0.05 * count < accepted < 0.9 * count
