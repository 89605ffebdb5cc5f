"""The examples of docs/extend.md work: they are applied to a copy of the package and run."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXTEND = ROOT / "examples" / "extend"
PARTICIPANTS, FRAMES, SIDE = 6, 40, 48


@pytest.fixture
def copy(tmp_path):
    """A copy of the package, in which a test may change files."""
    for name in ("va_jax", "configs", "tfds_builders"):
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=skipped)
    return tmp_path / "copy"


def run(folder, *words):
    """Run Python in a copy of the package; return its output."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def add_network(copy, name):
    """Do what the page says: copy the file of the layers, and apply the patch."""
    shutil.copy(EXTEND / f"{name}.py", copy / "va_jax" / "models")
    patch = ["patch", "--strip=1", "--fuzz=0", "--input", str(EXTEND / f"{name}.patch")]
    done = subprocess.run(patch, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"make {name}.patch again: {done.stdout}"


def train_two_steps(copy, tiny_data, flag):
    words = ["-m", "va_jax", "train", "--config=quickstart.py:tiny", "--workdir=run", flag]
    run(copy, *words, f"--data.dir={tiny_data}", "--log.progress=False")
    assert (copy / "run" / "report.html").is_file()
    return (copy / "run" / "metrics.jsonl").read_text()


@pytest.mark.slow
def test_the_example_of_a_backbone_trains_two_steps(copy, tiny_data):
    add_network(copy, "convnext")
    assert '"step": 2' in train_two_steps(copy, tiny_data, "--model.backbone=convnext")
    layers = run(copy, "-m", "va_jax", "summary", "--config=quickstart.py:tiny",
                 "--model.backbone=convnext", f"--data.dir={tiny_data}")  # fmt: skip
    assert "block_1_0" in layers


@pytest.mark.slow
def test_the_example_of_a_temporal_stack_trains_two_steps_and_exports(copy, tiny_data):
    add_network(copy, "smoother")
    assert '"step": 2' in train_two_steps(copy, tiny_data, "--model.temporal=smoother")
    run(copy, "-m", "va_jax", "export", "run", "--out=exported")
    assert (copy / "exported" / "stream.jaxexport").is_file()


def load(name):
    """Return a module from the folder of the examples."""
    spec = importlib.util.spec_from_file_location(name, EXTEND / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stack_case(both_ways=False):
    """The example's stack with parameters, inputs, and a mask with holes and padding."""
    stack = load("smoother").Smoother(layers=2, units=4, bidirectional=both_ways)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 8, 5)), jnp.float32)
    mask = np.ones((3, 8), bool)
    mask[1, [0, 3, 4]] = mask[2, 5:] = False
    mask = jnp.asarray(mask)
    variables = stack.init(jax.random.key(0), x, mask, train=False)
    return stack, variables, x, mask


@pytest.mark.slow
def test_the_example_of_a_stack_gives_the_same_values_in_chunks():
    stack, variables, x, mask = stack_case()
    whole, _ = stack.apply(variables, x, mask, train=False)
    state, parts = None, []
    for part in (slice(0, 3), slice(3, 4), slice(4, 8)):
        y, state = stack.apply(variables, x[:, part], mask[:, part], state, train=False)
        parts.append(y)
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-6)


@pytest.mark.parametrize("both_ways", [False, True])
def test_masked_frames_do_not_affect_the_example_of_a_stack(both_ways):
    stack, variables, x, mask = stack_case(both_ways)
    before, _ = stack.apply(variables, x, mask, train=False)
    after, _ = stack.apply(variables, jnp.where(mask[..., None], x, 99), mask, train=False)
    np.testing.assert_allclose(after, before, atol=1e-6)
    assert np.ptp(before[0], axis=0).min() > 0


def test_the_averages_of_the_example_are_those_by_hand():
    block = load("smoother").SmootherBlock(1, 0.0, False)
    x = np.array([[[1.0], [3.0], [2.0]]], np.float32)
    valid = np.array([[True, True, False]])
    layer = {"kernel": np.zeros((1, 1), np.float32), "bias": np.zeros(1, np.float32)}
    params = {"rate": np.zeros(1, np.float32), "mix": layer}  # a rate of one half
    y, last = block.apply({"params": params}, x, valid, np.zeros((1, 1), np.float32), False)
    np.testing.assert_allclose(last, [[1.75]])  # 0 -> 0.5 -> 1.75, and the last frame is skipped
    np.testing.assert_allclose(y, x)  # the layer adds nothing, as gelu(0) = 0


@pytest.mark.slow
def test_the_example_of_a_data_set_builds_and_is_read_back(copy):
    shutil.copytree(EXTEND / "lab_study", copy / "tfds_builders" / "lab_study",
                    ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    study = copy / "study"
    for number in range(1, PARTICIPANTS + 1):
        folder = study / f"p{number:02}"
        folder.mkdir(parents=True)
        rows = ["frame,valence,arousal"]
        for frame in range(1, FRAMES + 1):
            grey = np.full((SIDE, SIDE, 3), 20 * number + frame, np.uint8)
            Image.fromarray(grey).save(folder / f"{frame:04}.jpg", quality=95)
            rows.append(f"{frame},{1 + frame % 9},{number}")
        (folder / "ratings.csv").write_text("\n".join(rows) + "\n")
    run(copy, "-m", "va_jax", "build", "lab_study/96", "--manual_dir=study", "--data_dir=data",
        "--config_options", "size=48")  # fmt: skip
    facts = run(copy, "-c", READ_BACK)
    assert facts.split() == ["6", "tracks", "240", "frames", "largest", "error", "0.0000"]


READ_BACK = """
import numpy as np
from va_jax.data import sources

tracks, frames, error = 0, 0, 0.0
for split in ("train", "dev", "test"):
    source = sources.open_split("data", "lab_study/96", split)
    for index, track in enumerate(source.tracks):
        numbers = np.arange(track.frames)
        images = np.zeros((track.frames, source.size, source.size, 3), np.uint8)
        labels = source.read(index, numbers, images)
        person = int(track.track_id[1:])
        rating = np.stack([1 + (numbers + 1) % 9, np.full(track.frames, person)], 1)
        error = max(error, np.abs(labels.target - (rating - 5) / 4).max())
        assert labels.face.all()
        assert np.abs(images.mean((1, 2, 3)) - (20 * person + numbers + 1)).max() < 3
        tracks, frames = tracks + 1, frames + track.frames
print(tracks, "tracks", frames, "frames", f"largest error {error:.4f}")
"""
