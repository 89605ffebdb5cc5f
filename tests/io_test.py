"""Names of files, and csv cells of users' text."""

import csv

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from va_jax.io import split_cells, text_cell
from va_jax.types import file_name, track_name

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.text(
    "a_./%\\:0F2", min_size=1
)


@given(NAMES)
@example("a/b")
@example("a__b")
@example("a%2Fb")
@example("..")
def test_a_track_is_recovered_from_its_file_name(name):
    stem = file_name(name)
    assert track_name(stem) == name  # so no two tracks share a file
    assert not stem.startswith(".")
    assert not set(stem) & {*'/\\<>:"|?*', *map(chr, range(32)), "\x7f"}


@pytest.mark.parametrize("name", ["P16", "2-30-640x360", "a__b", "Zoë 1", "a.b", "_x_", "a%zz"])
def test_common_names_are_used_as_they_are(name):
    assert track_name(name) == name
    assert file_name(name) == name.replace("%", "%25")


@given(st.text(min_size=1))
@example("=1+1")
@example("\t=1")
def test_text_is_never_a_formula_and_numbers_do_not_change(text):
    cell = text_cell(text)
    assert cell[0] not in "=+-@\t\r"
    assert not cell.startswith("'") or cell == f"'{text}"
    assert cell in (text, f"'{text}")


def test_an_apostrophe_against_formulas_is_removed_on_reading(tmp_path):
    path = tmp_path / "names.csv"
    names = ["=HYPERLINK(1)", "+49", "-a", "@sum", "P16", "'tis", "Students'", "'both'", "o'clock"]
    with path.open("w", newline="") as file:
        csv.writer(file).writerow([text_cell(name) for name in names])
    assert split_cells(path.read_text().strip(), ",") == names
