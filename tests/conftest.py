"""Four simulated CPU devices, strict types and shapes, and the real clips where they are."""

import fcntl
import os
import pathlib
import signal
import tempfile

os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=4"
    " --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # compile fast
    " --xla_cpu_collective_call_terminate_timeout_seconds=600"  # four devices may share one core
)
os.environ["JAX_PLATFORMS"] = "cpu"
if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker shares the cache of who started it
    cache = tempfile.TemporaryDirectory()  # one program, compiled once, also for processes
    os.environ["JAX_COMPILATION_CACHE_DIR"] = cache.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import hypothesis
import jax
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# The same examples on every machine, however slow: a failure is the work of a change.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("suite")

MEDIA = pathlib.Path(
    os.environ.get("VA_JAX_MEDIA", pathlib.Path(__file__).resolve().parents[2] / "shared/media")
)

hook = install_import_hook("va_jax", "beartype.beartype")


@pytest.fixture(autouse=True)
def _default_signals() -> None:
    """Programs started by a test inherit no ignored signals, from a shell or an earlier test."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture(scope="session")
def media() -> pathlib.Path:
    """Folder of the annotated real clips; tests that need it skip where it is absent."""
    if not MEDIA.is_dir():
        pytest.skip(f"real clips not found at {MEDIA}")
    return MEDIA


def built_once(factory: pytest.TempPathFactory, name: str, build) -> pathlib.Path:
    """Return a folder that `build` fills in the first worker that asks; the others wait for it."""
    workers = "PYTEST_XDIST_WORKER" in os.environ
    base = factory.getbasetemp().parent if workers else factory.getbasetemp()
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (base / f"{name}.done").exists():
            with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
                build(base / name)
            (base / f"{name}.done").touch()
    return base / name


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> pathlib.Path:
    """Data folder that holds `synthetic_faces/tiny`; do not change it."""
    from va_jax.data import sources

    return built_once(
        tmp_path_factory,
        "tiny_data",
        lambda folder: sources.build(str(folder), "synthetic_faces/tiny"),
    )


@pytest.fixture(scope="session")
def two_sets(tmp_path_factory, tiny_data) -> pathlib.Path:
    """Data folder that holds `synthetic_faces/tiny` and the other set of `tests.two_sets`."""
    from tests import two_sets

    return built_once(
        tmp_path_factory, "two_sets", lambda folder: two_sets.build(folder, tiny_data)
    )


@pytest.fixture(scope="session")
def two_sets_run(tmp_path_factory, two_sets) -> pathlib.Path:
    """Workdir of an evaluated run of two steps on two sets with a head each; copy it to change."""
    from tests.two_sets import config_of
    from va_jax.evaluation.evaluate import evaluate
    from va_jax.train.loop import train

    def build(workdir: pathlib.Path) -> None:
        config = config_of(two_sets, **{"model.heads": "per_set"})
        train(config, workdir)
        evaluate(config, workdir)

    return built_once(tmp_path_factory, "two_sets_run", build)


@pytest.fixture
def without_page(monkeypatch) -> None:
    """Evaluations draw no report.html, which costs two seconds each."""
    from va_jax.report import page

    monkeypatch.setattr(page, "write", lambda *_: None)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, tiny_data) -> pathlib.Path:
    """Workdir of an evaluated run of one step on `synthetic_faces/tiny`; copy it to change it."""
    from tests.train.loop_test import tiny
    from va_jax.evaluation.evaluate import evaluate
    from va_jax.train.loop import train

    def build(workdir: pathlib.Path) -> None:
        config = tiny(tiny_data, **{"train.steps": 1})
        train(config, workdir)
        evaluate(config, workdir)

    return built_once(tmp_path_factory, "tiny_run", build)


@pytest.fixture(scope="session")
def tiny_export(tmp_path_factory, tiny_run) -> pathlib.Path:
    """The exported model of `tiny_run`; copy it to change it."""
    from va_jax.export.export import export

    return built_once(tmp_path_factory, "tiny_export", lambda out: export(tiny_run, out))
