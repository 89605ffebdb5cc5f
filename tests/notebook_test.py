"""The notebook is stored without outputs, and uses what exists."""

import ast
import importlib.util
import json
import pathlib

import pytest

PATH = pathlib.Path(__file__).resolve().parents[1] / "examples" / "first_hour.ipynb"
CELLS = json.loads(PATH.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell["id"])
def test_a_cell_is_stored_without_outputs(cell):
    assert not cell.get("outputs")
    assert cell.get("execution_count") is None
    assert not cell["metadata"]


def test_the_first_cell_installs_va_jax_only_if_it_is_missing():
    check, line = CODE[0].split("\n\n")[1].splitlines()
    assert check == 'if importlib.util.find_spec("va_jax") is None:'
    assert line.strip().startswith("%pip install")
    assert not any("%pip" in cell or "!" in cell for cell in CODE[1:])


@pytest.mark.parametrize("text", CODE[1:])
def test_every_import_of_the_project_exists(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module != "IPython.display":
            assert importlib.util.find_spec(node.module), node.module
            module = importlib.import_module(node.module)
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                assert hasattr(module, alias.name) or importlib.util.find_spec(name), name
