"""Small weight files that would fill the memory are refused before they do."""

import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import scipy.io

from tests.weights.read_test import assert_equal, cell, refusal
from tests.weights.torch_pickles import (
    module,
    name,
    storage,
    table,
    tensor,
    text,
    torch_zip,
)
from va_jax.weights.read import read

MIB = 2**20
CLAIMED = 32 * MIB
"""Memory that each file asks for; at most 16 MiB are granted to a small file."""

HEAD = b"\x80\x02"
KEYS = b"]q\1(" + b"".join(b"(" + text(f"{n}") + b"Nt" for n in range(1000)) + b"e0"
COPIES = b"ccollections\nOrderedDict\nh\1\x85R0"


def deflated(path: pathlib.Path, members: dict[str, bytes]) -> pathlib.Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return path


def npz(path: pathlib.Path) -> None:
    np.savez_compressed(path, w=np.zeros(CLAIMED // 4, np.float32))


def torch_storage(path: pathlib.Path) -> None:
    weights = table(w=tensor(storage(CLAIMED // 4), size=(CLAIMED // 4, 1), stride=(1, 1)))
    deflated(path, {"data.pkl": HEAD + weights + b".", "data/0": bytes(CLAIMED)})


def torch_views(path: pathlib.Path) -> None:
    count = MIB // 4
    view = tensor(storage(count), size=(count, 1), stride=(1, 1))
    views = table(**{f"w{n}": view for n in range(CLAIMED // MIB)})
    deflated(path, {"data.pkl": HEAD + views + b".", "data/0": bytes(MIB)})


def matlab(path: pathlib.Path) -> None:
    net = {"layers": cell({"name": "fc8", "weights": cell(np.zeros((CLAIMED, 1), np.uint8))})}
    scipy.io.savemat(path, net, do_compression=True)


def matlab_elements(path: pathlib.Path) -> None:
    layers = cell(*[np.zeros((0, 0))] * (CLAIMED // 1000))
    scipy.io.savemat(path, {"layers": layers}, do_compression=True)


def hdf5(path: pathlib.Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.create_dataset("w", (CLAIMED // 4,), "f4", compression="gzip")[:] = 0


def pickled_lists(path: pathlib.Path) -> None:
    path.write_bytes(HEAD + b"(" + b"]" * (CLAIMED // 64) + b"l.")


def pickled_copies(path: pathlib.Path) -> None:
    path.write_bytes(HEAD + b"]q\0" + KEYS + COPIES * (CLAIMED // 64_000) + b".")


def pickled_bytes(path: pathlib.Path) -> None:
    long = text("a" * MIB) + b"q\1" + text("latin1") + b"q\2"
    encode = b"c_codecs\nencode\nh\1h\2\x86R0"
    path.write_bytes(HEAD + long + encode * (CLAIMED // MIB) + b".")


def foreign_objects(path: pathlib.Path) -> None:
    state = table(a=b"h\1")
    made = b"h\0h\1\x85R" + state + b"b0"
    path.write_bytes(HEAD + name("a.B") + b"q\0]q\1" + made * (CLAIMED // 500) + b".")


def foreign_states_in_each_other(path: pathlib.Path) -> None:
    count = CLAIMED // 100
    path.write_bytes(HEAD + name("a.B") + b"q\0" + b"h\0)R" * count + b"b" * count + b".")


def foreign_lists(path: pathlib.Path) -> None:
    items = b"(" + b"h\1" * 1000 + b"e"
    path.write_bytes(HEAD + name("a.B") + b")R]q\0q\1" + items * (CLAIMED // 64_000) + b".")


def foreign_names(path: pathlib.Path) -> None:
    long = text("a" * (MIB // 4)) + b"q\0" + text("b" * (MIB // 4)) + b"q\1"
    path.write_bytes(b"\x80\x04" + long + b"h\0h\1\x930" * (CLAIMED // 256) + b".")


def copied_sets(path: pathlib.Path) -> None:
    keys = b"]q\1(" + b"".join(text(f"{n}") for n in range(1000)) + b"e0"
    copies = b"h\0h\1\x85R0" * (CLAIMED // 64_000)
    path.write_bytes(HEAD + name("builtins.set") + b"q\0" + keys + copies + b".")


def shared_modules(path: pathlib.Path, leaf: bytes = b"", width: int = 2, depth: int = 40) -> None:
    """Write modules in each of which the next one has `width` names."""
    nested = leaf or module()
    for _ in range(depth):
        children = {"a": nested + b"q\0", **{f"b{n}": b"h\0" for n in range(width - 1)}}
        nested = module({}, children)
    torch_zip(path, nested, {"data/0": bytes(24)})


def shared_parameters(path: pathlib.Path) -> None:
    shared_modules(path, module({"w": tensor(storage())}), width=8, depth=6)


def long_module_names(path: pathlib.Path) -> None:
    leaf = module({}, {"a" * MIB: module({f"{n}": tensor(storage()) for n in range(40)})})
    torch_zip(path, leaf, {"data/0": bytes(24)})


def long_dict_names(path: pathlib.Path) -> None:
    nested = table(**{"a" * MIB: table(**{f"{n}": tensor(storage()) for n in range(40)})})
    torch_zip(path, nested, {"data/0": bytes(24)})


MODULES = (
    foreign_objects, foreign_states_in_each_other, foreign_lists, foreign_names, copied_sets,
    shared_modules, shared_parameters, long_module_names, long_dict_names,
)  # fmt: skip
SLOW = (
    "pickled_copies", "matlab_elements", "foreign_objects", "foreign_states_in_each_other",
    "shared_parameters", "foreign_names", "shared_modules",
)  # fmt: skip
BOMBS = {
    bomb.__name__: bomb
    for bomb in (
        npz, torch_storage, torch_views, matlab, matlab_elements, hdf5, pickled_lists,
        pickled_copies, pickled_bytes, *MODULES,
    )
}  # fmt: skip


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(bomb, id=kind, marks=[pytest.mark.slow] if kind in SLOW else [])
        for kind, bomb in BOMBS.items()
    ],
)
def test_a_small_file_that_would_take_a_lot_of_memory_is_refused(tmp_path, bomb):
    bomb(tmp_path / "w.npz")
    assert (tmp_path / "w.npz").stat().st_size < 2 * MIB
    assert "MiB of memory" in refusal(tmp_path / "w.npz")


PEAK = """
import pathlib, resource, sys
import h5py, scipy.io
from va_jax.types import InputError
from va_jax.weights.read import read

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before = peak()
for path in sys.argv[1:]:
    try:
        read(pathlib.Path(path))
    except InputError:
        continue
    sys.exit(f"{path} was read")
print((peak() - before) // 1024)
"""


@pytest.mark.slow
def test_refusing_these_files_takes_little_memory(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    monkeypatch.setattr(sys.modules[__name__], "CLAIMED", 400 * MIB)
    kinds = ("npz", "torch_storage", "matlab", "hdf5", "torch_views", "pickled_bytes")
    for kind in (*kinds, *(bomb.__name__ for bomb in MODULES)):
        BOMBS[kind](tmp_path / f"{kind}.npz")
    paths = sorted(tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *paths], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100


def test_weights_of_a_network_that_needs_them_are_read_however_well_they_compress(tmp_path):
    npz(tmp_path / "w.npz")
    found = read(tmp_path / "w.npz", needed=CLAIMED)
    assert_equal(found, {"w": np.zeros(CLAIMED // 4, np.float32)})


@pytest.mark.slow
def test_half_precision_that_compresses_is_read(tmp_path):
    values = np.random.default_rng(0).integers(0, 9, 6 * MIB).astype(np.float16)
    np.savez_compressed(tmp_path / "w.npz", w=values)
    assert len(read(tmp_path / "w.npz")["w"]) == 6 * MIB
