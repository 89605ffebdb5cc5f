"""An export is complete, works without this package, and equals its run, or is not written."""

import functools
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from va_jax.config import with_values
from va_jax.data import sources
from va_jax.export import arrays, check, export, metadata, stablehlo
from va_jax.models.build import build_model
from va_jax.train import initialize, provenance
from va_jax.train import workdir as run_config
from va_jax.train.checkpoints import read_best
from va_jax.types import InputError

ROOT = pathlib.Path(__file__).resolve().parents[2]

ALONE = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("va_jax", "flax", "orbax", "ml_collections", "safetensors"):
            raise ImportError(f"{name} must not be imported")
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
    config = run_config.load(tiny_run)
    model = build_model(config.model, tuple(provenance.read(tiny_run)["dims"]))
    variables, _ = read_best(tiny_run)
    live = jax.jit(functools.partial(stablehlo.predict, model))
    return lambda *inputs: np.asarray(live(variables, *inputs))


def noise(size, shape, seed=0):
    frames = np.random.default_rng(seed).integers(0, 256, (*shape, size, size, 3), np.uint8)
    return frames, np.random.default_rng(seed).random(shape) < 0.7


def test_an_export_has_all_files_and_the_facts_of_its_run(tiny_export, tiny_run):
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
    known = {"comparisons": None, "files": None}
    assert metadata.read(tiny_export) | known == metadata.of_run(tiny_run) | known


def test_every_file_but_the_metadata_has_its_sha256(tiny_export):
    assert metadata.read(tiny_export)["files"] == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tiny_export.iterdir()
        if path.name != "passport.json"
    }


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model.npz", "model.jaxexport", "config.json", "data.json"]
)
def test_a_changed_byte_is_found_by_all_who_start_from_an_export(tiny_export, tmp_path, name):
    folder = shutil.copytree(tiny_export, tmp_path / "export")
    content = bytearray((folder / name).read_bytes())
    content[-9] ^= 1
    (folder / name).write_bytes(content)
    for use in (metadata.read, initialize.exported.check_folder):
        with pytest.raises(
            InputError, match=rf"{name}: the file has changed since the export"
        ) as error:
            use(folder)
        assert "\n" not in str(error.value)


def test_an_export_without_digests_is_read_and_can_get_them(tiny_export, tmp_path):
    folder = shutil.copytree(tiny_export, tmp_path / "export")
    current = metadata.read(folder)
    metadata.write(folder, {key: value for key, value in current.items() if key != "files"})
    (folder / "data.json").write_bytes(b"{}")
    (folder / "MODEL_CARD.md").write_text("my own words")
    metadata.write_with_digests(folder, metadata.read(folder))
    (folder / "MODEL_CARD.md").write_text("other words")
    assert metadata.read(folder)["files"].keys() == current["files"].keys()


def test_every_file_is_compared_on_random_and_real_frames_of_two_shapes(tiny_export):
    rows = metadata.read(tiny_export)["comparisons"]
    names = ("model.safetensors", "model.npz", "model.jaxexport", "stream.jaxexport, in halves")
    assert [(r["artefact"], r["frames"], r["batch"], r["time"]) for r in rows] == [
        (name, frames, *shape)
        for name in names
        for frames in ("random", "real")
        for shape in ((1, 8), (2, 6))
    ]
    assert all(0 <= row["max_abs_difference"] <= check.LIMIT for row in rows)


@pytest.mark.slow
def test_jax_alone_gives_the_predictions_of_the_network(tiny_export, network, tmp_path):
    size, calls, expected = metadata.read(tiny_export)["input"]["size"], [], []
    for number, shape in enumerate(((1, 7), (3, 4))):
        frames, face = noise(size, shape, number)
        np.save(tmp_path / f"frames{number}.npy", frames)
        np.save(tmp_path / f"face{number}.npy", face)
        call = f"{tiny_export} {tmp_path}/frames{number}.npy --face={tmp_path}/face{number}.npy"
        calls += [call, f"{call} --stream=2"]
        expected += [network(frames, face)] * 2
    np.save(tmp_path / "track.npy", noise(size, (1, 7), 0)[0][0])  # no batch dimension
    np.save(tmp_path / "seen.npy", noise(size, (1, 7), 0)[1][0])
    calls += [f"{tiny_export} {tmp_path}/track.npy --face={tmp_path}/seen.npy"]
    expected += [expected[0]]
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
    with np.load(tiny_export / "model.npz", allow_pickle=False) as stored:
        found = dict(stored)
    named = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
    }
    assert found.keys() == named.keys()
    for name, array in arrays.read(tiny_export).items():
        np.testing.assert_array_equal(array, found[name])
        np.testing.assert_array_equal(array, named[name])


def test_the_documentation_shows_how_to_load_the_arrays(tiny_export, tiny_run, monkeypatch):
    monkeypatch.chdir(tiny_export.parent)
    shutil.copytree(tiny_export, "exported", dirs_exist_ok=True)
    text = (ROOT / "docs" / "export.md").read_text()
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", text, re.S) if "model.npz" in b)
    found: dict = {}
    exec(block, found)
    jax.tree.map(np.testing.assert_array_equal, found["variables"], read_best(tiny_run)[0])


def test_a_changed_array_is_found(tiny_export, network, tmp_path):
    folder = shutil.copytree(tiny_export, tmp_path / "export")
    (folder / "stream.jaxexport").unlink()
    known = metadata.read(folder) | {"stream_state": None, "files": {}}
    metadata.write(folder, known)
    stored = arrays.read(folder)
    stored["params/head_valence/bias"] = stored["params/head_valence/bias"] + np.float32(2e-5)
    np.savez(folder / "model.npz", **stored)
    inputs = [*noise(known["input"]["size"], (2, 4))]
    found = check.differences(folder, [check.Case("random", inputs, network(*inputs))])
    assert {row["artefact"]: row["max_abs_difference"] > check.LIMIT for row in found} == {
        "model.safetensors": False,
        "model.npz": True,
        "model.jaxexport": False,
    }


@pytest.mark.parametrize("difference", [2e-5, float("nan")])
def test_a_difference_above_the_limit_leaves_nothing(tiny_run, tmp_path, monkeypatch, difference):
    row = {"artefact": "model.npz", "frames": "real", "batch": 2, "time": 6}
    printed = json.dumps([row | {"max_abs_difference": difference}])
    done = subprocess.CompletedProcess([], 0, printed)
    monkeypatch.setattr(check.subprocess, "run", lambda *_, **__: done)
    monkeypatch.setattr(export, "write_functions", lambda *_: None)  # slow
    with pytest.raises(InputError, match=r"model\.npz .* real frames of shape \[2, 6\].*1e-05"):
        export.export(tiny_run, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_file_that_cannot_be_read_back_leaves_nothing(tiny_run, tmp_path, monkeypatch):
    def damage(folder, *_):
        (folder / "model.jaxexport").write_bytes(b"abc")

    monkeypatch.setattr(export, "write_functions", damage)
    with pytest.raises(InputError, match=r"check the export: .* exit code 1"):
        export.export(tiny_run, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_stays_and_a_run_without_facts_leaves_nothing(
    tiny_export, tiny_run, tmp_path
):
    before = (tiny_export / "passport.json").read_text()
    with pytest.raises(InputError, match=rf"--out={tiny_export} already exists"):
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
    config = run_config.load(tiny_run)
    one, two = check.real_inputs(config, metadata.of_run(tiny_run))
    source = sources.open_split(str(tiny_data), "synthetic_faces/tiny", "dev")
    for inputs, tracks in ((one, [0]), (two, [0, 1])):
        for row, track in enumerate(tracks):
            first = int(source.labels(track).face.argmax())
            numbers = first + config.window.stride * np.arange(inputs[0].shape[1])
            images = np.empty((len(numbers), source.size, source.size, 3), np.uint8)
            labels = source.read(track, numbers, images)
            np.testing.assert_array_equal(inputs[0][row], images)
            np.testing.assert_array_equal(inputs[1][row], labels.face)


@pytest.mark.slow
def test_without_the_data_set_only_random_frames_are_compared(
    tiny_run, tiny_export, network, tmp_path, capsys
):
    config = with_values(run_config.load(tiny_run), **{"data.dir": str(tmp_path)})
    rows = check.check(tiny_export, network, config, metadata.read(tiny_export))
    assert {row["frames"] for row in rows} == {"random"}
    assert re.search(r"real frames .*synthetic_faces/tiny", capsys.readouterr().out)


def test_random_landmarks_are_made_for_a_network_that_takes_them(tiny_run):
    facts = metadata.of_run(tiny_run)
    facts["input"]["landmarks"] = {"points": 5, "place": "after_fc"}
    for inputs, shape in zip(check.random_inputs(facts), check.SHAPES, strict=True):
        assert [array.shape[:2] for array in inputs] == [shape] * 3
        assert (inputs[2].dtype, inputs[2].shape[2:]) == (np.float32, (5, 2))


def test_cases_reach_another_process_unchanged(tmp_path):
    inputs = [*noise(4, (2, 3))]
    cases = [
        check.Case(name, inputs, np.full((2, 3, 2), number, np.float32))
        for number, name in enumerate(("random", "random", "real"))
    ]
    check.write_cases(tmp_path / "cases.npz", cases)
    for found, case in zip(check.read_cases(tmp_path / "cases.npz"), cases, strict=True):
        assert found.frames == case.frames
        jax.tree.map(np.testing.assert_array_equal, found[1:], case[1:])


@pytest.mark.slow
def test_the_command_prints_the_comparison(tiny_run, tmp_path):
    out = tmp_path / "out"
    line = [sys.executable, "-m", "va_jax.main", "--mode=export", f"--workdir={tiny_run}"]
    done = subprocess.run(
        [*line, f"--out={out}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert re.search(r"^model\.jaxexport +real +2 +6 ", done.stdout, re.M)
    assert metadata.read(out)["comparisons"]
    again = subprocess.run([*line, f"--out={out}"], cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 1
    assert re.fullmatch(rf"error: --out={out} already exists.*\n", again.stderr)


@pytest.mark.parametrize("name", [arrays.SAFETENSORS, arrays.NPZ])
def test_scalars_and_transposed_arrays_are_read_as_they_were_written(tmp_path, name):
    tree = {"slope": np.float32(0.25), "kernel": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    arrays.write(tmp_path, {"params": tree})
    found = arrays.read(tmp_path, name)
    for key, value in tree.items():
        assert found[f"params/{key}"].shape == value.shape
        np.testing.assert_array_equal(found[f"params/{key}"], value)
