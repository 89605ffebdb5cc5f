"""A damaged file of a workdir is one line that names it, whatever the damage."""

import json
import shutil

import pytest

from tests.train.loop_test import tiny
from va_jax.evaluation.evaluate import open_runs
from va_jax.export import metadata
from va_jax.train import checkpoints, logs, workdir
from va_jax.train.checkpoints import Checkpoints
from va_jax.types import InputError

DAMAGE = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "garbage": lambda content: bytes([0xFF, 0xFE, 0, 7]) * 50,
    "another type": lambda content: b"[1, 2]",
}
READERS = {
    "config.json": workdir.load,
    "metrics.json": metadata.of_run,
    "checkpoints/1/postprocess.json": metadata.of_run,
    "data.json": metadata.of_run,
    "metrics.jsonl": logs.history,
    "checkpoints/1/_CHECKPOINT_METADATA": checkpoints.read_best,
    "checkpoints/1/data/metadata": checkpoints.read_best,
    "checkpoints/1/metrics/metrics": checkpoints.read_best,
    "checkpoints/1/state/_METADATA": checkpoints.read_best,
    "checkpoints/1/state/manifest.ocdbt": checkpoints.read_best,
}
LEFT_OUT = [("metrics.jsonl", "empty"), ("metrics.jsonl", "cut off")]  # as by a killed process


@pytest.fixture(scope="module")
def copy(tiny_run, tmp_path_factory):
    """A copy of the run to damage, which each test repairs."""
    kept = shutil.ignore_patterns("compiled", "plots", "traces*")
    return shutil.copytree(tiny_run, tmp_path_factory.mktemp("runs") / "run", ignore=kept)


def refused(path, damaged, read, run):
    content = path.read_bytes()
    path.write_bytes(damaged(content))
    try:
        with pytest.raises(InputError) as error:
            read(run)
    finally:
        path.write_bytes(content)
    line = str(error.value)
    assert "\n" not in line
    assert len(line) < 800
    return line


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_one_line_that_names_it(copy, name, damage):
    if (name, damage) in LEFT_OUT:
        pytest.skip("a line that is cut off is left out")
    line = refused(copy / name, DAMAGE[damage], READERS[name], copy)
    folder, _, last = name.rpartition("/")
    named = f"{copy / folder}" if last == "manifest.ocdbt" else last
    assert named in line


@pytest.mark.parametrize(
    "name", ["_CHECKPOINT_METADATA", "data/metadata", "metrics/metrics", "state/_METADATA"]
)
def test_a_missing_file_of_a_checkpoint_is_named(copy, tmp_path, name):
    run = shutil.copytree(copy, tmp_path / "run")
    path = run / "checkpoints" / "1" / name
    path.unlink()
    with pytest.raises(InputError, match=rf"{name}: not found; restore it, or delete .*/1 to"):
        Checkpoints(run)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("data.json", {"name": 3}),
        ("data.json", {"dims": "valence"}),
        ("data.json", {"input_size": None}),
        ("data.json", {"crop": [1]}),
        ("checkpoints/1/metrics/metrics", {"dev_ccc": "high"}),
        ("checkpoints/1/data/metadata", {"next_batch": 1.5}),
    ],
)
def test_a_value_of_another_type_is_named(copy, file, change):
    def changed(content):
        return json.dumps(json.loads(content) | change).encode()

    line = refused(copy / file, changed, metadata.of_run, copy)
    assert f"{copy / file}: " in line
    assert next(iter(change)) in line


def test_a_folder_that_is_no_checkpoint_is_named(copy, tmp_path):
    run = shutil.copytree(copy, tmp_path / "run")
    (run / "checkpoints" / "7").mkdir()
    with pytest.raises(InputError, match=r"checkpoints/7/_CHECKPOINT_METADATA: not found"):
        Checkpoints(run)


def test_a_run_is_not_evaluated_with_a_damaged_checkpoint(copy, tiny_data):
    config = tiny(tiny_data, **{"train.steps": 1})
    path = copy / "checkpoints" / "1" / "state" / "manifest.ocdbt"
    line = refused(path, DAMAGE["cut off"], lambda run: open_runs(config, run), copy)
    assert f"{copy / 'checkpoints' / '1' / 'state'}: damaged" in line
