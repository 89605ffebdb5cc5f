"""The package installs from a wheel and works away from the clone."""

import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that `pip wheel .` builds."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout  # fmt: skip
    for name in filter(None, listed.splitlines()):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
    return next(folder.glob("*.whl"))


def pip(*arguments):
    done = subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_wheel_holds_configs_builders_types_and_the_model(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "configs/quickstart.py",
        "tfds_builders/video_folder/README.md",
        "va_jax/py.typed",
        "va_jax/pages/timeline.js",
        "va_jax/pages/uplot/LICENSE",
        "va_jax/predict/page.html",
        "va_jax/report/report.html",
        "va_jax/scoring/compare.html",
        "va_jax/export/model_card.md",
        "va_jax/published/model/model.safetensors",
    ):
        assert name in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]
    metadata = next(name for name in names if name.endswith("METADATA"))
    assert b"Project-URL" in zipfile.ZipFile(wheel).read(metadata)


@pytest.mark.slow
def test_the_installed_package_tests_itself_and_trains_away_from_the_clone(wheel, tmp_path):
    """Only va_jax comes from the wheel; the packages it needs are those of this environment."""
    installed, here = tmp_path / "installed", tmp_path / "here"
    here.mkdir()
    pip("install", "--no-deps", "--target", str(installed), str(wheel))
    environment = os.environ | {"PYTHONPATH": str(installed), "XLA_FLAGS": ""}

    def va_jax(*arguments):
        done = subprocess.run([sys.executable, str(installed / "bin" / "va_jax"), *arguments],
                              cwd=here, env=environment, capture_output=True, text=True,
                              check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = [sys.executable, "-c", "import va_jax; print(va_jax.__file__)"]
    found = subprocess.run(where, cwd=here, env=environment, capture_output=True, text=True,
                           check=True).stdout  # fmt: skip
    assert found.startswith(str(installed))
    assert "reproduces the published numbers" in va_jax("selftest")
    va_jax("train", "--config=quickstart.py:tiny", "--workdir=run", "--log.progress=False")
    assert (here / "run" / "report.html").is_file()
    assert "scored" in va_jax("evaluate", "run", "--eval.state=window", "--out=windows")
