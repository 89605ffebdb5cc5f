"""A module imports only from rooms before its own, and fenced libraries stay behind their fence."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

LAYERS = [
    {"schema"},
    {"config", "command_line", "metrics", "influence", "intervals", "losses", "postprocess"}
    | {"jpeg"},
    {"card", "card_text", "lags", "chain", "fitting", "provenance"}
    | {"models", "weights", "data", "video", "video_facts", "video_writer", "faces"},
    {"optim", "sharding", "train_state", "checkpoints", "logs", "step", "inference"}
    | {"processes", "profiling", "stopping", "failures", "stream", "stablehlo"}
    | {"scoring", "challenges", "report"},
    {"sheet", "passport", "passport_fields", "model_card", "trial", "export", "starting", "summary"}
    | {"evaluate", "train", "cross_data"},
    {"model", "prediction"},
    {"browse", "compare", "doctor", "main", "matrix", "predict", "score", "selftest"}
    | {"submission", "verify"},
]

FENCES = {  # library -> the only places that may import it
    "flax.linen": ("va_jax/models/",),
    "orbax": ("va_jax/checkpoints.py",),
    "tensorboardX": ("va_jax/logs.py",),
    "matplotlib": ("va_jax/report/", "va_jax/sheet.py", "va_jax/prediction/"),
    "grain": ("va_jax/data/",),
    "av": ("va_jax/video.py", "va_jax/video_facts.py", "va_jax/video_writer.py"),
    "h5py": ("va_jax/weights/",),
    "safetensors": ("va_jax/weights/", "va_jax/export.py"),
    "apache_beam": ("tfds_builders/workers.py",),
    "tensorflow": (),
    "torch": (),
    "pickle": ("va_jax/weights/pickles.py",),  # a reader that admits arrays only
    "zipfile": ("va_jax/weights/",),
}

FILES = sorted([*ROOT.glob("va_jax/**/*.py"), *ROOT.glob("tfds_builders/**/*.py")])


def imports(path: pathlib.Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def relative(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


def level(room: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if room in layer)


def test_every_room_has_a_layer():
    rooms = {
        relative(path).split("/")[1].removesuffix(".py")
        for path in FILES
        if "va_jax/" in relative(path)
    }
    assert rooms - {"__init__"} == set().union(*LAYERS)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_module_imports_only_from_earlier_layers_or_its_own(path):
    name = relative(path)
    rooms = {n.split(".")[1] for n in imports(path) if n.startswith("va_jax.")}
    if name.startswith("tfds_builders/"):
        assert rooms <= {"schema", "jpeg", "video", "video_facts", "faces"}, name
    elif not name.endswith("__init__.py"):
        own = name.split("/")[1].removesuffix(".py")
        assert all(level(room) <= level(own) for room in rooms), name


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_fenced_libraries_stay_behind_their_fence(path):
    name = relative(path)
    for library, places in FENCES.items():
        used = any(n == library or n.startswith(f"{library}.") for n in imports(path))
        assert not used or name.startswith(places), f"{name} imports {library}"


def test_the_package_knows_neither_configs_nor_builders():
    """But for the doctor, a command that looks at what the builders would read."""
    for path in ROOT.glob("va_jax/**/*.py"):
        tops = {n.split(".")[0] for n in imports(path)}
        allowed = {"tfds_builders"} if path.name == "doctor.py" else set()
        assert not tops & {"configs", "tfds_builders"} - allowed, path


def test_the_data_rooms_do_not_know_jax():
    for path in ROOT.glob("va_jax/data/*.py"):
        assert "jax" not in {n.split(".")[0] for n in imports(path)}, path


def test_every_module_says_in_its_first_line_what_it_is_for():
    for path in FILES:
        if path.name != "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text())), path
