"""One recording in many disguises: its values are read, or the file is refused, never others."""

import csv
import dataclasses
import io
import random

import numpy as np
import pytest

from va_jax.scoring.align import Tally, pair
from va_jax.scoring.files import TARGET, Timing, read_header, read_trace_file
from va_jax.types import InputError

DIMS = ["valence", "arousal"]
FRAMES = np.arange(24)
VALUES = np.random.default_rng(0).uniform(-1, 1, (FRAMES.size, 2)).round(4)
TIMES_S = FRAMES / 25


@dataclasses.dataclass
class Sheet:
    """A csv file before it is written."""

    keys: dict[str, list[str]]
    values: dict[str, list[str]]
    before: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    after: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    values_first: bool = False
    upper: bool = False
    delimiter: str = ","
    decimal: str = "."
    quoting: int = csv.QUOTE_MINIMAL
    ends: str = "\n"
    mark: str = ""

    def write(self, path):
        parts = [self.before, self.keys, self.values, self.after]
        if self.values_first:
            parts[1], parts[2] = parts[2], parts[1]
        columns = {name: cells for part in parts for name, cells in part.items()}
        names = [name.upper() if self.upper else name for name in columns]
        file = io.StringIO()
        writer = csv.writer(
            file, delimiter=self.delimiter, quoting=self.quoting, lineterminator=self.ends
        )
        writer.writerow(names)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([cell.replace(".", self.decimal) for cell in row])
        path.write_bytes((self.mark + file.getvalue()).encode())
        return path


def numbers(values, form="{:.4f}"):
    return [form.format(value) for value in values]


def plain(keys):
    return Sheet(keys, dict(zip(DIMS, map(numbers, VALUES.T), strict=True)))


COUNTS = numbers(FRAMES, "{}")
SECONDS, MILLISECONDS = numbers(TIMES_S, "{:.2f}"), numbers(FRAMES * 40, "{}")

KEYS = {
    "frame": {"frame": COUNTS},
    "frame number": {"Frame Number": COUNTS},
    "video_frame": {"video_frame": COUNTS},
    "frame as a float": {"frame": numbers(FRAMES, "{}.0")},
    "time_s": {"time_s": SECONDS},
    "time (s)": {"Time (s)": SECONDS},
    "time in seconds": {"time in seconds": SECONDS},
    "timestamp": {"timestamp": SECONDS},
    "exponents": {"time": numbers(TIMES_S, "{:.6e}")},
    "time_ms": {"time_ms": MILLISECONDS},
    "msec": {"msec": numbers(FRAMES * 40, "{}.000")},
    "both": {"frame": COUNTS, "time_s": SECONDS},
    "both units": {"time_ms": MILLISECONDS, "time": SECONDS},
    "frame and milliseconds": {"time_ms": MILLISECONDS, "frame": COUNTS},
}
UNCLEAR = {
    "milliseconds": ({"timestamp": MILLISECONDS}, Timing(time_unit="ms")),
    "frames as time": ({"time": COUNTS}, Timing(time_unit="frame")),
    "pandas index": ({"": COUNTS}, Timing(time_column="1", time_unit="frame")),
    "id": ({"id": COUNTS}, Timing(time_column="ID", time_unit="frame")),
    "index in ms": ({"index": MILLISECONDS}, Timing(time_column="index", time_unit="ms")),
    "nothing": ({"note": COUNTS}, Timing(time_column="note", time_unit="frame")),
}
OTHER = numbers(VALUES[::-1, 0])


def spread(sheet):
    for name, cells in sheet.values.items():
        sheet.values[name] = numbers(map(float, cells), "{:e}")


DISGUISES = {
    "crlf": lambda sheet: setattr(sheet, "ends", "\r\n"),
    "cr": lambda sheet: setattr(sheet, "ends", "\r"),
    "byte-order mark": lambda sheet: setattr(sheet, "mark", "\ufeff"),
    "quotes": lambda sheet: setattr(sheet, "quoting", csv.QUOTE_ALL),
    "semicolons": lambda sheet: setattr(sheet, "delimiter", ";"),
    "tabs": lambda sheet: setattr(sheet, "delimiter", "\t"),
    "decimal commas": lambda sheet: vars(sheet).update(delimiter=";", decimal=","),
    "quoted decimal commas": lambda sheet: setattr(sheet, "decimal", ","),
    "values first": lambda sheet: setattr(sheet, "values_first", True),
    "upper case": lambda sheet: setattr(sheet, "upper", True),
    "blank lines": lambda sheet: setattr(sheet, "ends", sheet.ends * 2),
    "exponents": spread,
    "confidence": lambda sheet: sheet.before.update({f"{dim}_confidence": OTHER for dim in DIMS}),
    "statistics": lambda sheet: sheet.after.update(valence_std=OTHER, arousal_mean=OTHER),
    "a trace of a run": lambda sheet: sheet.after.update(
        {f"{dim}{end}": OTHER for dim in DIMS for end in (TARGET, "_processed")}
    ),
    "raters": lambda sheet: sheet.before.update(valence_FM1=OTHER, P1_arousal=OTHER),
    "an index": lambda sheet: sheet.before.update({"": numbers(FRAMES + 7, "{}")}),
    "an id": lambda sheet: sheet.before.update(id=numbers(FRAMES[::-1], "{}")),
    "text": lambda sheet: sheet.before.update(note=["a, 1,2,3,4; b"] * len(FRAMES)),
}


def check(file):
    np.testing.assert_allclose(file.values, VALUES, rtol=0, atol=1e-12)
    assert file.frame is not None or file.time_s is not None
    if file.frame is not None:
        np.testing.assert_array_equal(file.frame, FRAMES)
    if file.time_s is not None:
        np.testing.assert_allclose(file.time_s, TIMES_S, rtol=0, atol=1e-9)


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
def test_the_values_are_read_in_every_disguise(tmp_path, keys):
    for name, disguise in DISGUISES.items():
        sheet = plain(keys)
        disguise(sheet)
        path = sheet.write(tmp_path / f"{name}.csv")
        check(read_trace_file(path, DIMS))
        assert set(DIMS) <= set(read_header(path))


def test_the_values_are_read_in_several_disguises_at_once(tmp_path):
    draw = random.Random(1)
    for _ in range(60):
        sheet = plain(draw.choice(list(KEYS.values())))
        names = draw.sample(list(DISGUISES), 4)
        for name in names:
            DISGUISES[name](sheet)
        try:
            check(read_trace_file(sheet.write(tmp_path / "P1.csv"), DIMS))
        except InputError as error:  # several kinds of time, or a decimal comma beside text
            raise AssertionError(names) from error


@pytest.mark.parametrize(("keys", "timing"), UNCLEAR.values(), ids=UNCLEAR)
def test_an_unclear_time_is_refused_until_an_option_settles_it(tmp_path, keys, timing):
    for disguise in [*DISGUISES.values()][::3]:
        sheet = plain(keys)
        disguise(sheet)
        if timing.time_column == "1" and (sheet.before or sheet.values_first):
            continue
        path = sheet.write(tmp_path / "P1.csv")
        with pytest.raises(InputError, match=r"P1\.csv: line 1: .*time_unit") as caught:
            read_trace_file(path, DIMS)
        assert "\n" not in str(caught.value)
        check(read_trace_file(path, DIMS, timing))


def test_decimal_commas_between_commas_are_refused(tmp_path):
    path = plain(KEYS["time_s"]).write(tmp_path / "P1.csv")
    lines = path.read_text().splitlines()
    for rows in (slice(1, None), slice(15, 16)):
        changed = [*lines]
        changed[rows] = [line.replace(".", ",") for line in lines[rows]]
        path.write_text("\n".join(changed))
        with pytest.raises(
            InputError, match=rf"P1\.csv: line {rows.start + 1}: the row has 6 cells"
        ):
            read_trace_file(path, DIMS)


def test_times_in_another_unit_than_their_name_are_refused_beside_the_other_side(tmp_path):
    right = read_trace_file(plain(KEYS["time_s"]).write(tmp_path / "right.csv"), DIMS)
    for cells in (MILLISECONDS, COUNTS):
        wrong = read_trace_file(plain({"time_s": cells}).write(tmp_path / "wrong.csv"), DIMS)
        for sides in ((right, wrong), (wrong, right)):
            with pytest.raises(InputError, match=r"wrong\.csv: .* rows last .*time_ms"):
                pair(*sides, Tally())


def mutated(draw, text):
    """Return the text with one to four changes such as an editor or a broken disk makes."""
    for _ in range(draw.choice([1, 1, 2, 3])):
        lines, at = text.split("\n"), draw.randrange(len(text) + 1)
        kind = draw.randrange(8)
        if kind == 0:
            text = text[:at] + text[at + draw.randint(1, 5) :]
        elif kind == 1:
            text = text[:at] + draw.choice(",;\t\"'.-eE+0159 \n\r\ufeffxé\0=") + text[at:]
        elif kind == 2:
            text = text.replace(draw.choice(",;\n.-01"), draw.choice(",;\t\n. -1"), 1)
        elif kind == 3:
            lines.insert(draw.randrange(len(lines)), draw.choice(lines))
            text = "\n".join(lines)
        elif kind == 4:
            lines.insert(1, lines.pop(draw.randrange(1, len(lines)) if len(lines) > 1 else 0))
            text = "\n".join(lines)
        elif kind == 5:
            cells = draw.choice(lines).split(",")
            draw.shuffle(cells)
            text = text.replace(lines[draw.randrange(len(lines))], ",".join(cells), 1)
        elif kind == 6:
            old = draw.choice(lines).split(",")[0]
            text = text.replace(old, draw.choice(["", "nan", "inf", "1e999", "1e22", "-5", "x"]), 1)
        else:
            text = text[:at]
    return text


def fuzz(folder, count, seed):
    """Read mutated files, and compare those that are accepted with the csv module."""
    draw, accepted = random.Random(seed), 0
    labels = read_trace_file(plain(KEYS["both"]).write(folder / "labels.csv"), DIMS)
    originals = []
    for name, keys in KEYS.items():
        sheet = plain(keys)
        DISGUISES[draw.choice(list(DISGUISES))](sheet)
        originals.append(sheet.write(folder / f"{name}.csv").read_bytes().decode())
    path = folder / "P1.csv"
    for _ in range(count):
        text = mutated(draw, draw.choice(originals))
        path.write_bytes(text.encode(errors="replace"))
        try:
            file = read_trace_file(path, DIMS, Timing(fps=25.0))
            trace = pair(file, labels, Tally()).on_labels(0.1)
        except InputError:
            continue
        accepted += 1
        assert np.isfinite(trace.pred[trace.mask]).all()
        assert file.time_s is not None
        assert (np.diff(file.time_s) > 0).all(), text
        compare(file, text)
    return accepted


def compare(file, text):
    """Compare the values of a file with those that the csv module finds under the same names."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    header = next(line for line in lines if line.strip())
    found = []
    for delimiter in ";\t,":
        cells = next(csv.reader([header], delimiter=delimiter))
        names = [cell.strip(" \t'\"").lower() for cell in cells]
        if set(DIMS) <= set(names):
            found.append((delimiter, names))
    ((delimiter, names),) = found
    for row, line in enumerate(file.line):
        cells = next(csv.reader([lines[line - 1]], delimiter=delimiter, skipinitialspace=True))
        assert len(cells) == len(names), (header, lines[line - 1])
        for column, dim in enumerate(DIMS):
            cell = cells[names.index(dim)].strip(" \t'\"").replace(",", ".")
            try:
                expected = float(cell)
            except ValueError:
                expected = np.nan
            expected = expected if abs(expected) < 1e38 else np.nan
            np.testing.assert_equal(file.values[row, column], expected, str(lines[line - 1]))


def test_mutated_files_are_read_as_the_csv_module_reads_them_or_refused(tmp_path):
    assert 60 < fuzz(tmp_path, 250, 0) < 240


@pytest.mark.slow
def test_many_mutated_files_are_read_right_or_refused(tmp_path):
    assert 800 < fuzz(tmp_path, 8_000, 1) < 7_600
