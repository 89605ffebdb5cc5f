"""Weight files: arrays come back exactly; a foreign or damaged file gives a one-line error."""

import contextlib
import io
import json
import pathlib
import pickle
import struct
import sys
import zipfile

import numpy as np
import pytest
import safetensors.numpy
import scipy.io

from tests.weights import torch_pickles
from va_jax.types import InputError
from va_jax.weights.read import read

rng = np.random.default_rng(0)
KERNEL = rng.normal(size=(3, 4)).astype(np.float32)
BIAS = np.arange(5, dtype=np.float32)
ARRAYS = {
    "single": KERNEL,
    "fortran": np.asfortranarray(KERNEL),
    "axes": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1),
    "int": np.arange(4),
    "bool": np.array([True, False]),
    "count": np.array(7),
    "none": np.zeros((0, 3), np.float32),
}


def refusal(path: pathlib.Path) -> str:
    """Return the message with which a file is refused, without the path it must start with."""
    with pytest.raises(InputError) as caught:
        read(path)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert line.isprintable()
    assert len(line) < 600
    return line.removeprefix(str(path))


def written(path: pathlib.Path, content: bytes) -> pathlib.Path:
    path.write_bytes(content)
    return path


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


# Pickles of numpy arrays.


@pytest.mark.parametrize("old_names", [False, True])
@pytest.mark.parametrize("protocol", range(6))
def test_pickled_arrays_of_every_protocol_come_back(tmp_path, protocol, old_names):
    content = pickle.dumps(ARRAYS, protocol)
    if old_names and protocol < 4:  # from 4 on a name's letters are counted
        content = content.replace(b"numpy._core", b"numpy.core")
    assert_equal(read(written(tmp_path / "w.pkl", content)), ARRAYS)


@pytest.mark.parametrize("protocol", range(6))
def test_floats_become_float32_and_all_take_this_machines_byte_order(tmp_path, protocol):
    arrays = {"half": BIAS.astype("f2"), "double": KERNEL.astype(">f8"), "int": BIAS.astype(">i2")}
    found = read(written(tmp_path / "w.pkl", pickle.dumps(arrays, protocol)))
    assert_equal(found, {"half": BIAS, "double": KERNEL, "int": BIAS.astype(np.int16)})
    assert all(array.dtype.isnative for array in found.values())


SIX = np.arange(6, dtype=np.float32)
PYTHON_2_BINARY = (  # {"conv1/7x7_s2": SIX.reshape(2, 3)} in protocol 2: byte strings throughout
    b"\x80\x02}(U\x0cconv1/7x7_s2cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
    b"K\x00\x85U\x01btR(K\x01(I2\nI3\ntcnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNN"
    b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x18" + SIX.tobytes() + b"tbu."
)
PYTHON_2_TEXT = (  # {"w": SIX.reshape(2, 3)} in protocol 0, in lines of text
    b"(dp1\nS'w'\np2\ncnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\ntp5\n"
    b"S'b'\np6\ntp7\nRp8\n(I1\n(I2\nI3\ntp9\ncnumpy\ndtype\np10\n(S'f4'\np11\nI0\nI1\ntp12\nRp13\n"
    b"(I3\nS'<'\np14\nNNNI-1\nI-1\nI0\ntp15\nbI00\n"
    b"S" + repr(SIX.tobytes())[1:].encode() + b"\np16\ntp17\nbs."
)


@pytest.mark.parametrize(
    ("key", "content"), [("conv1/7x7_s2", PYTHON_2_BINARY), ("w", PYTHON_2_TEXT)]
)
def test_pickles_of_python_2_come_back(tmp_path, key, content):
    expected = {key: SIX.reshape(2, 3)}
    assert_equal(pickle.loads(content, encoding="latin1"), expected)  # Python reads the same
    assert_equal(read(written(tmp_path / "w.pkl", content)), expected)


def test_keys_of_nested_dicts_are_joined_and_values_that_are_not_arrays_are_left_out(tmp_path):
    inner = {"conv": {"kernel": KERNEL, 3: BIAS}, "note": "x", "rate": 0.1, "best": np.float64(2)}
    content = pickle.dumps({"net": inner, "history": [BIAS, None]})
    found = read(written(tmp_path / "w.pkl", content))
    assert_equal(found, {"net.conv.kernel": KERNEL, "net.conv.3": BIAS})


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model_state", "model"])
def test_a_checkpoint_is_reduced_to_its_weights_without_the_prefix_of_data_parallel(tmp_path, key):
    content = {"epoch": 3, key: {"module.a": KERNEL, "module.b": BIAS}, "optimizer": {"m": BIAS}}
    found = read(written(tmp_path / "w.pkl", pickle.dumps(content)))
    assert_equal(found, {"a": KERNEL, "b": BIAS})


def test_the_prefix_module_stays_unless_every_name_has_it(tmp_path):
    np.savez(tmp_path / "w.npz", **{"module.a": KERNEL, "head": BIAS})
    assert list(read(tmp_path / "w.npz")) == ["module.a", "head"]


def test_two_arrays_with_the_same_name_are_refused(tmp_path):
    content = pickle.dumps({"a": {"b": KERNEL}, "a.b": BIAS})
    assert "two arrays named 'a.b'" in refusal(written(tmp_path / "w.pkl", content))


# PyTorch.


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def saved(request, torch, tmp_path):
    def save(content: object, **options: object) -> pathlib.Path:
        path = tmp_path / "w.pth"
        torch.save(content, path, _use_new_zipfile_serialization=request.param, **options)
        return path

    return save


def test_tensors_of_every_kind_come_back(torch, saved):
    base = torch.arange(24.0).reshape(2, 3, 4)
    content = {
        "whole": base,
        "transposed": base.transpose(0, 2),
        "piece": base[1, 1:, ::2],
        "row": base[0, 0].expand(1, 4),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "scalar": torch.tensor(2.5),
        "none": torch.zeros(0, 3),
        "num_batches_tracked": torch.tensor(1234),
        "double": torch.linspace(0, 1, 5, dtype=torch.float64),
        "half": torch.linspace(0, 1, 5).half(),
        "bfloat16": torch.linspace(0, 1, 5).bfloat16(),
        "int": torch.tensor([1, -2], dtype=torch.int32),
        "short": torch.tensor([1, -2], dtype=torch.int16),
        "char": torch.tensor([1, -2], dtype=torch.int8),
        "byte": torch.tensor([1, 254], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
    }
    expected = {
        name: (value.float() if value.is_floating_point() else value).detach().numpy()
        for name, value in content.items()
    }
    found = read(saved(content))
    assert_equal(found, expected)
    assert np.shares_memory(found["whole"], found["transposed"])
    assert not found["whole"].flags.writeable


def test_a_training_checkpoint_gives_its_state_dict(torch, saved):
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    net(torch.ones(2, 3))
    optimizer = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"betas": (0.9, 1)}]}
    weights = torch.nn.DataParallel(net).state_dict()
    path = saved({"epoch": 3, "optimizer": optimizer, "state_dict": weights, "b": np.float64(0.5)})
    found = read(path)
    assert_equal(found, {name: value.numpy() for name, value in net.state_dict().items()})
    assert found["1.num_batches_tracked"] == 1


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_torch_files_of_every_protocol_come_back(torch, saved, protocol):
    content = {"a": torch.from_numpy(KERNEL)}
    assert_equal(read(saved(content, pickle_protocol=protocol)), {"a": KERNEL})


TENSOR = torch_pickles.table(w=torch_pickles.tensor(torch_pickles.storage()))


def test_both_forms_of_torch_files_are_read_without_torch(tmp_path):
    records = {"data/0": SIX.tobytes()}
    old = torch_pickles.torch_legacy(TENSOR, ["0"], struct.pack("<q", 6) + SIX.tobytes())
    paths = (
        torch_pickles.torch_zip(tmp_path / "zip", TENSOR, records),
        written(tmp_path / "old", old),
    )
    for path in paths:
        assert_equal(read(path), {"w": SIX.reshape(2, 3)})


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        ("FloatStorage", SIX.astype(">f4")),
        ("HalfStorage", SIX.astype(">f2")),
        ("BFloat16Storage", (SIX.view(np.uint32) >> 16).astype(">u2")),  # exact below 256
        ("LongStorage", SIX.astype(">i8")),
        ("ByteStorage", SIX.astype("u1")),
    ],
)
def test_a_big_endian_storage_is_read(tmp_path, kind, stored):
    held = torch_pickles.table(w=torch_pickles.tensor(torch_pickles.storage(kind=kind)))
    records = {"data/0": stored.tobytes(), "byteorder": b"big"}
    found = read(torch_pickles.torch_zip(tmp_path / "w.pth", held, records))["w"]
    np.testing.assert_array_equal(found, SIX.reshape(2, 3))


# Safetensors, npz, MATLAB, HDF5.


def safetensors_file(path: pathlib.Path, **arrays: tuple[str, np.ndarray]) -> pathlib.Path:
    header, content = {}, b""
    for name, (kind, array) in arrays.items():
        span = [len(content), len(content) + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": span}
        content += array.tobytes()
    head = json.dumps(header).encode()
    return written(path, struct.pack("<Q", len(head)) + head + content)


def test_safetensors_come_back_including_bfloat16(tmp_path):
    bits = (SIX.view(np.uint32) >> 16).astype(np.uint16)
    stored = {
        "double": ("F64", KERNEL.astype(np.float64)),
        "brain": ("BF16", bits),
        "half": ("F16", BIAS.astype(np.float16)),
        "bool": ("BOOL", np.array([True, False])),
        "count": ("I64", np.array(7)),
    }
    found = read(safetensors_file(tmp_path / "w.safetensors", **stored))
    expected = {"double": KERNEL, "brain": SIX, "half": BIAS}
    expected |= {name: stored[name][1] for name in ("bool", "count")}
    assert_equal({name: found.pop(name) for name in expected}, expected)
    assert not found
    safetensors.numpy.save_file({"w": KERNEL}, tmp_path / "w.safetensors")
    assert_equal(read(tmp_path / "w.safetensors"), {"w": KERNEL})


def test_safetensors_of_a_type_unknown_to_numpy_are_refused(tmp_path):
    path = safetensors_file(tmp_path / "w.safetensors", w=("F8_E4M3", np.zeros(4, np.uint8)))
    assert "'w' has the type F8_E4M3" in refusal(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_comes_back(tmp_path, save):
    save(tmp_path / "w.npz", **ARRAYS, **{"a/b": KERNEL.astype(np.float64)})
    assert_equal(read(tmp_path / "w.npz"), {**ARRAYS, "a/b": KERNEL})


@pytest.mark.parametrize(
    ("array", "reason"),
    [(["x"], "type <U1"), ([1j], "type <c16"), ([None], "Object arrays")],
)
def test_npz_of_other_things_than_numbers_is_refused(tmp_path, array, reason):
    np.savez(tmp_path / "w.npz", good=KERNEL, odd=np.array(array))
    assert reason in refusal(tmp_path / "w.npz")


@pytest.mark.parametrize("shape", [(7,), (10**12,), (2**40, 2**40), (-2, -3)])
def test_an_npz_array_that_claims_more_than_it_stores_is_refused(tmp_path, shape):
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("w.npy", file.getvalue() + bytes(24))
    assert "cut off or damaged" in refusal(tmp_path / "w.npz")


def cell(*items: object) -> np.ndarray:
    row = np.empty((1, len(items)), object)
    row[0, :] = items
    return row


CONV = rng.normal(size=(3, 3, 2, 4)).astype(np.float32)
DENSE = rng.normal(size=(1, 1, 4, 2)).astype(np.float32)
AVERAGE = rng.uniform(0, 255, (2, 2, 3)).astype(np.float32)
NEW_NET = {
    "layers": cell(
        {"name": "conv1_1", "type": "conv", "weights": cell(CONV, np.arange(4.0)[:, None])},
        {"name": "relu1_1", "type": "relu", "weights": np.zeros((0, 0))},
        {"name": "fc8", "weights": cell(DENSE, np.ones((1, 2)))},
    ),
    "meta": {"normalization": {"averageImage": AVERAGE}, "classes": {"name": cell("Á", "b")}},
}
OLD_NET = {
    "layers": cell(
        {"name": "conv1_1", "filters": CONV, "biases": np.arange(4.0)[None]},
        {"name": "relu1_1", "type": "relu"},
        {"name": "bare", "filters": np.zeros((0, 0)), "biases": np.zeros((0, 0))},
        {"name": "fc8", "filters": DENSE, "biases": np.ones((1, 2))},
    ),
    "normalization": {"averageImage": AVERAGE},
}
NET_ARRAYS = {
    "conv1_1.weight": CONV,
    "conv1_1.bias": np.arange(4, dtype=np.float32),
    "fc8.weight": DENSE,
    "fc8.bias": np.ones(2, np.float32),
    "averageImage": AVERAGE,
}


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("net", [NEW_NET, OLD_NET], ids=["new", "old"])
def test_a_matconvnet_net_comes_back(tmp_path, net, nested, compress):
    path = tmp_path / "w.mat"
    scipy.io.savemat(path, {"net": net} if nested else net, do_compression=compress)
    assert_equal(read(path), NET_ARRAYS)


def test_a_matlab_file_without_a_net_is_refused(tmp_path):
    scipy.io.savemat(tmp_path / "w.mat", {"x": KERNEL})
    assert "no cell array 'layers'" in refusal(tmp_path / "w.mat")


@pytest.mark.parametrize(
    ("size", "claim"), [((3, 3, 2, 4), (10**4, 10**4, 10**4, 1)), ((1, 4), (10**6, 10**6))]
)
def test_a_matlab_array_that_claims_more_than_it_stores_is_refused(tmp_path, size, claim):
    scipy.io.savemat(tmp_path / "w.mat", OLD_NET)
    content = (tmp_path / "w.mat").read_bytes()
    size, claim = (struct.pack(f"<{len(dims)}i", *dims) for dims in (size, claim))
    assert size in content
    path = written(tmp_path / "w.mat", content.replace(size, claim, 1))
    assert "damaged" in refusal(path)


@pytest.fixture(scope="module")
def h5py():
    return pytest.importorskip("h5py")


def test_keras_weights_come_back_by_their_paths(tmp_path, h5py):
    zeros = np.zeros((500, 500), np.float32)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["layers/dense/vars/0"] = BIAS.astype(np.float16)
        file["lstm/lstm/kernel:0"] = KERNEL.astype(np.float64)
        file.create_dataset("packed", data=zeros, compression="gzip")
        file.attrs["layer_names"] = ["lstm"]
    expected = {"layers/dense/vars/0": BIAS, "lstm/lstm/kernel": KERNEL, "packed": zeros}
    assert_equal(read(tmp_path / "w.h5"), expected)


def test_without_h5py_the_message_names_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    path = written(tmp_path / "w.h5", b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert "pip install h5py" in refusal(path)


def test_hdf5_that_points_elsewhere_or_claims_too_much_is_refused(tmp_path, h5py):
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        secret = written(tmp_path / "secret", bytes(24))
        file.create_dataset("w", (6,), "f4", external=[(str(secret), 0, 24)])
    assert "'w' are stored in another file" in refusal(tmp_path / "outside.h5")
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((6,), "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "w", (6,))
        file.create_virtual_dataset("w", layout)
    assert "'w' are stored in another file" in refusal(tmp_path / "virtual.h5")
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("w", (10**12,), "f4", chunks=(1000,))[:10] = 1
    assert "more than 16 MiB of memory" in refusal(tmp_path / "huge.h5")


# Other files.


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("w.mat", b"MATLAB 7.3 MAT-file" + bytes(500), "again with '-v7'"),
        ("w.pth", b"<!DOCTYPE html>", "a web page"),
        ("w.pth", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ("w.onnx", b"\x08\x07\x12\x07pytorch", "an ONNX model; use the .pt"),
        ("w.bin", b"who knows", "a file of an unknown type"),
    ],
)
def test_a_foreign_file_is_refused_with_its_kind(tmp_path, name, content, kind):
    line = refusal(written(tmp_path / name, content))
    assert kind in line
    assert "expected one of .safetensors, .npz, torch .pth" in line


def test_a_keras_archive_is_refused_with_a_remedy(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"")
    assert "extract model.weights.h5" in refusal(tmp_path / "w.keras")


def test_a_missing_file_a_folder_and_an_empty_file_are_refused(tmp_path):
    assert "cannot be read (No such file" in refusal(tmp_path / "absent.pth")
    assert "cannot be read (Is a directory)" in refusal(tmp_path)
    assert "is empty" in refusal(written(tmp_path / "w.pth", b""))


def test_the_extension_does_not_matter(tmp_path):
    np.savez(tmp_path / "w.npz", w=KERNEL)
    assert_equal(read((tmp_path / "w.npz").rename(tmp_path / "w.pth")), {"w": KERNEL})


# Damage, in every format.


def write_sample(path: pathlib.Path, kind: str) -> None:
    arrays = {"a": KERNEL, "b": np.arange(5), "half": BIAS.astype(np.float16)}
    held = {"v": torch_pickles.storage(), "w": torch_pickles.storage(key="1", kind="LongStorage")}
    tensors = torch_pickles.table(**{name: torch_pickles.tensor(held[name]) for name in held})
    match kind.split():
        case ["npz"]:
            np.savez(path.with_suffix(".npz"), **arrays)
            path.with_suffix(".npz").rename(path)
        case ["safetensors"]:
            safetensors.numpy.save_file(arrays, path)
        case ["python2"]:
            path.write_bytes(PYTHON_2_BINARY)
        case ["pickle", protocol]:
            path.write_bytes(pickle.dumps({"state_dict": arrays, "epoch": 3}, int(protocol)))
        case ["torch", "zip"]:
            records = {"data/0": SIX.tobytes(), "data/1": bytes(48), "byteorder": b"little"}
            torch_pickles.torch_zip(path, tensors, records)
        case ["torch", "legacy"]:
            length = struct.pack("<q", 6)
            content = length + SIX.tobytes() + length + bytes(48)
            path.write_bytes(torch_pickles.torch_legacy(tensors, ["0", "1"], content))
        case ["matlab", how]:
            with path.open("wb") as file:
                scipy.io.savemat(file, {"net": NEW_NET}, do_compression=how == "compressed")
        case ["hdf5"]:
            with pytest.importorskip("h5py").File(path, "w") as file:
                file["lstm/kernel:0"] = KERNEL


KINDS = ["npz", "safetensors", "python2", "torch zip", "torch legacy", "matlab plain"]
KINDS += ["matlab compressed", *(f"pickle {protocol}" for protocol in range(6))]


@pytest.mark.parametrize("kind", [*KINDS, "hdf5"])
def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path, kind):
    write_sample(tmp_path / "whole", kind)
    assert read(tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    step = max(1, len(content) // 120)
    for length in {*range(0, len(content), step), *range(len(content) - 24, len(content))}:
        refusal(written(tmp_path / "cut", content[:length]))


@pytest.mark.parametrize("kind", KINDS)  # the HDF5 library does not promise it
def test_a_file_with_wrong_bytes_is_read_or_refused(tmp_path, kind):
    write_sample(tmp_path / "whole", kind)
    content = (tmp_path / "whole").read_bytes()
    wrong = np.random.default_rng(1)
    for _ in range(150):
        damaged = bytearray(content)
        for at in wrong.integers(len(content), size=2):
            damaged[at] = wrong.integers(256)
        with contextlib.suppress(InputError):
            read(written(tmp_path / "damaged", bytes(damaged)))


@pytest.mark.parametrize(("kind", "array"), [("npz", KERNEL), ("torch zip", SIX)])
def test_a_bad_checksum_is_refused(tmp_path, kind, array):
    write_sample(tmp_path / "w", kind)
    content = (tmp_path / "w").read_bytes()
    damaged = content.replace(array.tobytes(), (array + 1).tobytes())
    assert damaged != content
    assert "Bad CRC-32" in refusal(written(tmp_path / "w", damaged))


def test_a_zip_that_lies_about_its_sizes_is_refused(tmp_path):
    write_sample(tmp_path / "w", "torch zip")
    content = bytearray((tmp_path / "w").read_bytes())
    at = content.index(b"PK\1\2", content.index(b"PK\1\2") + 1)  # data/0 in the directory
    for size, reason in ((2**20, "cut off or damaged"), (2**32 - 2, "more than 16 MiB of memory")):
        content[at + 20 : at + 28] = struct.pack("<2I", size, size)
        assert reason in refusal(written(tmp_path / "w", bytes(content)))
