"""Imports go one way, and fenced libraries stay behind their fence."""

import ast
import functools
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

LAYERS = [
    {"types"},
    {"io"},
    {"keys"},
    {"config"},
    {"data", "models", "weights", "faces", "video", "pages"},
    {"train", "evaluation", "scoring", "report"},
    {"export"},
    {"predict", "submit"},
    {"cli"},
    {"main", "__main__"},
]
"""Packages and files of va_jax: each imports only from its own layer and the ones before it."""

FENCES = {  # library -> the only places that may import it
    "flax.linen": ("va_jax/models/", "va_jax/train/summary.py"),
    "orbax": ("va_jax/train/checkpoints.py",),
    "tensorboardX": ("va_jax/train/writers.py",),
    "wandb": ("va_jax/train/writers.py",),
    "mlflow": ("va_jax/train/writers.py",),
    "matplotlib": ("va_jax/report/", "va_jax/data/preview.py", "va_jax/predict/"),
    "grain": ("va_jax/data/",),
    "av": ("va_jax/video/",),
    "h5py": ("va_jax/weights/",),
    "jinja2": ("va_jax/pages/render.py", "va_jax/export/model_card.py"),
    "safetensors": ("va_jax/weights/", "va_jax/export/arrays.py"),
    "absl": ("va_jax/cli/",),
    "ml_collections": ("va_jax/config/", "va_jax/cli/", "configs/"),
    "apache_beam": ("tfds_builders/workers.py",),
    "tensorflow": (),
    "mlcroissant": (),  # croissant.json is written without it
    "torch": (),
    "pickle": ("va_jax/weights/safe_pickle.py",),  # its unpickler admits arrays only
    "configs": ("configs/",),
    "tfds_builders": ("tfds_builders/", "va_jax/cli/"),
}

FOLDERS = ("va_jax", "tfds_builders", "configs")
FILES = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/*.py"))


def relative(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def imports(path: pathlib.Path) -> frozenset[str]:
    """Return the modules that a file imports, and the names that it takes from them."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def packages(path: pathlib.Path) -> set[str]:
    """Return the packages and files of va_jax that a file imports from."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("va_jax.")}


def layer(package: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if package in layer)


def module(path: pathlib.Path) -> str:
    return relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_every_package_has_a_layer():
    there = {
        path.stem if path.is_file() else path.name
        for path in (ROOT / "va_jax").iterdir()
        if path.suffix == ".py" or any(path.glob("*.py"))
    }
    assert there - {"__init__"} == set().union(*LAYERS)


def test_the_top_of_the_package_is_small():
    there = [p for p in (ROOT / "va_jax").iterdir() if not p.name.startswith("__pyc")]
    assert sum(path.is_file() for path in there) <= 7
    assert sum(path.is_dir() for path in there) <= 16


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_imports_only_from_its_own_layer_and_earlier_ones(path):
    folder, _, rest = relative(path).partition("/")
    if folder == "tfds_builders":
        allowed = {"types", "io", "video", "faces"}
        # The only modules of `data` that builders know: reading label files, and recognising copies
        # by the same measure before and after a build. None of them reads records.
        known = {f"va_jax.data.{name}" for name in ("columns", "looks", "duplicates")}
        used = {name for name in imports(path) if name.startswith("va_jax.data.")}
        assert all(name.startswith(tuple(known)) for name in used), used
        allowed |= {"data"} if used & known else set()
        assert packages(path) <= allowed
    elif folder == "configs":
        assert packages(path) <= {"config"}
    elif rest != "__init__.py":
        own = layer(rest.split("/")[0].removesuffix(".py"))
        assert all(layer(package) <= own for package in packages(path))


def test_no_file_imports_itself_in_a_circle():
    names = {module(path): path for path in FILES if path.name != "__init__.py"}
    graph = {name: imports(path) & names.keys() - {name} for name, path in names.items()}
    done: set[str] = set()
    while left := {name for name in graph if name not in done}:
        free = {name for name in left if graph[name] <= done}
        assert free, sorted(left)
        done |= free


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_fenced_libraries_stay_behind_their_fence(path):
    name = relative(path)
    for library, places in FENCES.items():
        used = any(n == library or n.startswith(f"{library}.") for n in imports(path))
        assert not used or name.startswith(places), f"{name} imports {library}"


def test_the_data_package_does_not_know_jax():
    for path in ROOT.glob("va_jax/data/*.py"):
        assert "jax" not in {name.split(".")[0] for name in imports(path)}, path


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_every_file_states_its_purpose_and_has_at_most_300_lines(path):
    text = path.read_text()
    assert path.name == "__init__.py" or ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 300
