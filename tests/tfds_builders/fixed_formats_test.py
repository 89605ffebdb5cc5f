"""Label files of fixed formats in disguise: the known values or a refusal, never other values."""

import json
import re

import numpy as np
import pytest

from tests.tfds_builders.layouts import write_text
from tests.tfds_builders.recola_test import RATER_HEADER, ROWS, TIMES, arff, raters_csv, ratings
from tests.tfds_builders.recola_test import trace as random_trace
from tfds_builders.afew_va.labels import read_annotation
from tfds_builders.aff_wild.labels import read_trace as read_aff_wild
from tfds_builders.aff_wild2.labels import read_labels as read_aff_wild2
from tfds_builders.recola.labels import RATERS, read_gold, read_raters, read_trace
from va_jax.types import DIMS, InputError

ONE, TWO, SIX = random_trace(1), np.stack([random_trace(2), random_trace(3)], 1), ratings(4)
NUMBER = re.compile(r"-?\d+\.\d+")


def lines(rows):
    return "".join(f"{','.join(map(str, row))}\n" for row in rows)


def points(face=0.0):
    return [[face + n, 2.0 * n] for n in range(68)]


def annotation(values):
    frames = {
        f"{n:05}": {"landmarks": points(), "valence": float(v), "arousal": float(-v)}
        for n, v in enumerate(values)
    }
    return json.dumps({"actor": "A", "frames": frames}, indent=1)


def same_of_all(traces):
    assert (traces.number == np.arange(ROWS)).all()
    return traces.values


TENTHS = np.arange(-6, 7)
READERS = {  # content, how to read it, known values
    "recola trace": (
        "time,value\n" + lines(zip(TIMES, ONE, strict=True)),
        lambda path: same_of_all(read_trace(path)),
        [ONE],
    ),
    "recola gold": (arff("dev_1", ONE), lambda path: same_of_all(read_gold(path, "dev_1")), [ONE]),
    "recola raters": (raters_csv(SIX), lambda path: same_of_all(read_raters(path)), SIX),
    "aff_wild": (lines(zip(ONE, strict=True)), lambda path: read_aff_wild(path, "valence"), ONE),
    "aff_wild2": (
        "valence,arousal\n" + lines(TWO),
        lambda path: read_aff_wild2(path, DIMS).values,
        TWO,
    ),
    "afew_va": (
        annotation(TENTHS),
        lambda path: read_annotation(path, DIMS).labels.values,
        np.stack([TENTHS, -TENTHS], 1) / 10,
    ),
}


def each_line(change):
    return lambda text: "".join(f"{change(line)}\n" for line in text.splitlines())


def exponents(text):
    return NUMBER.sub(lambda found: f"{float(found[0]):.6e}", text)


def decimal_commas(text):
    return NUMBER.sub(lambda found: found[0].replace(".", ","), text)


DISGUISES = {
    "plain": str,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "byte-order mark": lambda text: "\ufeff" + text,
    "no end of line": str.rstrip,
    "blank lines at the end": lambda text: text + "\n\n\n",
    "blank lines between": lambda text: text.replace("\n", "\n\n"),
    "blanks around lines": each_line(lambda line: f" {line} "),
    "quoted numbers": lambda text: NUMBER.sub(lambda found: f'"{found[0]}"', text),
    "exponents": exponents,
    "no leading zero": lambda text: text.replace("0.", "."),
    "a plus sign": lambda text: NUMBER.sub(
        lambda found: found[0] if found[0][0] == "-" else f"+{found[0]}", text
    ),
    "upper case": str.upper,
    "semicolons": lambda text: text.replace(",", ";"),
    "tabs": lambda text: text.replace(",", "\t").replace(";", "\t"),
    "decimal commas": decimal_commas,
    "decimal commas, semicolons": lambda text: decimal_commas(text.replace(",", ";")),
    "an index first": each_line(lambda line: f"7,{line}"),
    "another column last": each_line(lambda line: f"{line},0.5"),
    "first line twice": lambda text: text.splitlines(keepends=True)[0] + text,
}


ALWAYS_READ = ("plain", "CRLF", "byte-order mark", "no end of line")


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("reader", READERS)
def test_a_disguise_gives_the_known_values_or_a_refusal(tmp_path, reader, disguise):
    text, read, known = READERS[reader]
    path = write_text(tmp_path / "a.csv", DISGUISES[disguise](text))
    if disguise in ALWAYS_READ:
        np.testing.assert_allclose(read(path), known, atol=1e-12)
        return
    message, found = "", known
    try:
        found = read(path)
    except InputError as error:
        message = str(error)
    assert "\n" not in message
    assert not message or str(path) in message
    if (reader, disguise) != ("aff_wild", "first line twice"):  # it has no header: one more row
        np.testing.assert_allclose(found, known, atol=1e-12)


def test_the_raters_of_the_header_are_those_that_are_read():
    assert RATER_HEADER.replace(" ", "").split(";")[1:] == list(RATERS)
