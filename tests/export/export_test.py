"""Exports: complete, readable without this package, compared with their run, whole or not there."""

import functools
import json
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from va_jax import config as configuration
from va_jax.data import sources
from va_jax.export import export, metadata, stablehlo, trial, verify
from va_jax.export.export import LIMIT
from va_jax.models import build
from va_jax.train import provenance
from va_jax.train.checkpoints import read_best
from va_jax.types import InputError

ROOT = pathlib.Path(__file__).resolve().parents[2]

ALONE = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("va_jax", "flax", "orbax", "ml_collections", "safetensors"):
            raise ImportError(f"{name} is not to be imported")
sys.meta_path.insert(0, Refuse())
script, out, *calls = sys.argv[1:]
for number, call in enumerate(calls):
    sys.argv = [script, *call.split()]
    with open(f"{out}{number}.csv", "w") as sys.stdout:
        runpy.run_path(script, run_name="__main__")
"""


@pytest.fixture
def network(tiny_run):
    """The network of the run, from its checkpoint."""
    config = configuration.load(tiny_run)
    model = build.build(config.model, tuple(provenance.read(tiny_run)["dims"]))
    variables, _ = read_best(tiny_run)
    live = jax.jit(functools.partial(stablehlo.predict, model))
    return lambda *inputs: np.asarray(live(variables, *inputs))


def noise(size, shape, seed=0):
    frames = np.random.default_rng(seed).integers(0, 256, (*shape, size, size, 3), np.uint8)
    return frames, np.random.default_rng(seed).random(shape) < 0.7


def test_a_folder_explains_itself(tiny_export, tiny_run):
    assert sorted(path.name for path in tiny_export.iterdir()) == [
        "MODEL_CARD.md",
        "config.json",
        "data.json",
        "model.jaxexport",
        "model.npz",
        "model.safetensors",
        "passport.json",
        "postprocess.json",
        "stream.jaxexport",
    ]
    for name in ("config.json", "data.json"):
        assert (tiny_export / name).read_text() == (tiny_run / name).read_text()
    expected = metadata.of_run(tiny_run) | {"comparisons": None}
    assert metadata.read(tiny_export) | {"comparisons": None} == expected


def test_every_artefact_was_compared_on_random_and_real_frames_of_two_shapes(tiny_export):
    rows = metadata.read(tiny_export)["comparisons"]
    names = ("model.safetensors", "model.npz", "model.jaxexport", "stream.jaxexport, in halves")
    assert [(r["artefact"], r["frames"], r["batch"], r["time"]) for r in rows] == [
        (name, frames, *shape)
        for name in names
        for frames in ("random", "real")
        for shape in ((1, 8), (2, 6))
    ]
    assert all(0 <= row["max_abs_difference"] <= LIMIT for row in rows)


@pytest.mark.slow
def test_jax_and_numpy_alone_give_what_the_network_gives(tiny_export, network, tmp_path):
    size, calls, expected = metadata.read(tiny_export)["input"]["size"], [], []
    for number, shape in enumerate(((1, 7), (3, 4))):
        frames, face = noise(size, shape, number)
        np.save(tmp_path / f"frames{number}.npy", frames)
        np.save(tmp_path / f"face{number}.npy", face)
        call = f"{tiny_export} {tmp_path}/frames{number}.npy --face={tmp_path}/face{number}.npy"
        calls += [call, f"{call} --stream=2"]
        expected += [network(frames, face)] * 2
    script = ROOT / "examples" / "jax_alone.py"
    subprocess.run(
        [sys.executable, "-c", ALONE, str(script), str(tmp_path / "pred"), *calls],
        cwd=tmp_path,
        check=True,
    )
    for number, values in enumerate(expected):
        head, *lines = (tmp_path / f"pred{number}.csv").read_text().splitlines()
        assert head == "row,frame,valence,arousal"
        found = np.array([line.split(",")[2:] for line in lines], float)
        np.testing.assert_allclose(found, values.reshape(-1, 2), atol=1e-5, rtol=0)


def test_numpy_reads_every_array_of_the_run(tiny_export, tiny_run):
    variables, _ = read_best(tiny_run)
    with np.load(tiny_export / "model.npz", allow_pickle=False) as arrays:
        found = dict(arrays)
    named = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
    }
    assert found.keys() == named.keys()
    for name, array in export.read(tiny_export).items():
        np.testing.assert_array_equal(array, found[name])
        np.testing.assert_array_equal(array, named[name])


def test_the_manual_shows_how_to_load_the_arrays(tiny_export, tiny_run, monkeypatch):
    monkeypatch.chdir(tiny_export.parent)
    shutil.copytree(tiny_export, "exported", dirs_exist_ok=True)
    manual = (ROOT / "docs" / "export.md").read_text()
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", manual, re.S) if "model.npz" in b)
    found: dict = {}
    exec(block, found)
    jax.tree.map(np.testing.assert_array_equal, found["variables"], read_best(tiny_run)[0])


def test_a_damaged_artefact_is_found(tiny_export, network, tmp_path):
    folder = shutil.copytree(tiny_export, tmp_path / "export")
    (folder / "stream.jaxexport").unlink()
    known = metadata.read(folder) | {"stream_state": None}
    metadata.write(folder, known)
    arrays = export.read(folder)
    arrays["params/head_valence/bias"] = arrays["params/head_valence/bias"] + np.float32(2e-5)
    np.savez(folder / "model.npz", **arrays)
    inputs = [*noise(known["input"]["size"], (2, 4))]
    found = verify.differences(folder, [trial.Case("random", inputs, network(*inputs))])
    assert {row["artefact"]: row["max_abs_difference"] > LIMIT for row in found} == {
        "model.safetensors": False,
        "model.npz": True,
        "model.jaxexport": False,
    }


@pytest.mark.parametrize("difference", [2e-5, float("nan")])
def test_a_difference_leaves_nothing(tiny_run, tmp_path, monkeypatch, difference):
    row = {"artefact": "model.npz", "frames": "real", "batch": 2, "time": 6}
    rows = [row | {"max_abs_difference": difference}]
    monkeypatch.setattr(export, "_compared", lambda *_: rows)
    monkeypatch.setattr(export, "write_functions", lambda *_: None)  # takes long
    with pytest.raises(InputError, match=r"model\.npz gives .* on real frames \[2, 6\], above the"):
        export.export(tiny_run, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_cannot_be_read_again_leaves_nothing(tiny_run, tmp_path, monkeypatch):
    def damage(folder, *_):
        (folder / "model.jaxexport").write_bytes(b"abc")

    monkeypatch.setattr(export, "write_functions", damage)
    with pytest.raises(InputError, match=r"could not be read again, see above \(exit code 1\)"):
        export.export(tiny_run, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays_and_what_lacks_facts_leaves_nothing(tiny_export, tiny_run, tmp_path):
    before = (tiny_export / "passport.json").read_text()
    with pytest.raises(InputError, match=r"exists already; choose another folder, or delete it"):
        export.export(tiny_run, tiny_export)
    assert (tiny_export / "passport.json").read_text() == before
    with pytest.raises(InputError, match=r"nowhere/config\.json: not found"):
        export.export(tmp_path / "nowhere", tmp_path / "other")
    older = shutil.copytree(tiny_run, tmp_path / "run")
    (older / "data.json").unlink()
    with pytest.raises(InputError, match=r"data\.json: not found"):
        export.export(older, tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_real_frames_are_those_of_the_dev_split_spaced_as_in_training(tiny_run, tiny_data):
    config, known = configuration.load(tiny_run), metadata.of_run(tiny_run)
    (named, _, real, both), lacking = trial.inputs(config, known)
    assert (named[0], real[0], lacking) == ("random", "real", "")
    source = sources.open_split(str(tiny_data), "synthetic_faces/tiny", "dev")
    for inputs, tracks in ((real[1], [0]), (both[1], [0, 1])):
        for row, track in enumerate(tracks):
            first = int(source.labels(track).face.argmax())
            numbers = first + config.window.stride * np.arange(inputs[0].shape[1])
            images = np.empty((len(numbers), source.size, source.size, 3), np.uint8)
            labels = source.read(track, numbers, images)
            np.testing.assert_array_equal(inputs[0][row], images)
            np.testing.assert_array_equal(inputs[1][row], labels.face)


def test_without_the_data_set_only_random_frames_are_tried_and_it_is_told(tiny_run, tmp_path):
    config = configuration.load(tiny_run)
    with config.unlocked():
        config.data.dir = str(tmp_path)
    named, lacking = trial.inputs(config, metadata.of_run(tiny_run))
    assert [name for name, _ in named] == ["random", "random"]
    assert "'synthetic_faces/tiny': not found in data.dir" in lacking


def test_landmarks_are_tried_where_a_network_takes_them(tiny_run):
    known = metadata.of_run(tiny_run)
    known["input"]["landmarks"] = {"points": 5, "place": "after_fc"}
    for inputs, shape in zip(trial.random_inputs(known), trial.SHAPES, strict=True):
        assert [x.shape[:2] for x in inputs] == [shape] * 3
        assert (inputs[2].dtype, inputs[2].shape[2:]) == (np.float32, (5, 2))


def test_cases_reach_another_process_as_they_are(tmp_path):
    inputs = [*noise(4, (2, 3))]
    kept = [
        trial.Case(name, inputs, np.full((2, 3, 2), number, np.float32))
        for number, name in enumerate(("random", "random", "real"))
    ]
    trial.write(tmp_path / "cases.npz", kept)
    for found, case in zip(trial.read(tmp_path / "cases.npz"), kept, strict=True):
        assert found.frames == case.frames
        jax.tree.map(np.testing.assert_array_equal, found[1:], case[1:])


@pytest.mark.slow
def test_the_command_prints_what_it_compared(tiny_run, tiny_export, tmp_path):
    line = [sys.executable, "-m", "va_jax.main", "--mode=export", f"--workdir={tiny_run}"]
    out = tmp_path / "out"
    done = subprocess.run(
        [*line, f"--out={out}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "| model.jaxexport | real | [2, 6] |" in done.stdout
    assert json.loads((out / "passport.json").read_text()).keys() == metadata.read(out).keys()
    again = subprocess.run([*line, f"--out={out}"], cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 1
    assert (
        again.stderr == f"error: --out={out} exists already; choose another folder, or delete it\n"
    )
