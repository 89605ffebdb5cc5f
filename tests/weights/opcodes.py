"""Pickles by hand, for what no writer here would write: every function gives a few opcodes."""

import pathlib
import pickle
import struct
import zipfile

import numpy as np

from va_jax.weights import torch_files


def text(string: str) -> bytes:
    return b"X" + struct.pack("<I", len(string.encode())) + string.encode()


def whole(number: int) -> bytes:
    return b"I%d\n" % number


def row(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def table(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def name(path: str) -> bytes:
    module, _, last = path.rpartition(".")
    return f"c{module}\n{last}\n".encode()


def call(path: str, *arguments: bytes) -> bytes:
    return name(path) + row(*arguments) + b"R"


def storage(numel: int = 6, kind: str = "FloatStorage", key: str = "0") -> bytes:
    return row(text("storage"), name(f"torch.{kind}"), text(key), text("cpu"), whole(numel)) + b"Q"


def tensor(
    held: bytes, offset: int = 0, size: tuple[int, ...] = (2, 3), stride: tuple[int, ...] = (3, 1)
) -> bytes:
    shape = row(*map(whole, size)), row(*map(whole, stride))
    hooks = call("collections.OrderedDict")
    return call("torch._utils._rebuild_tensor_v2", held, whole(offset), *shape, b"\x89", hooks)


def torch_zip(path: pathlib.Path, opcodes: bytes, records: dict[str, bytes]) -> pathlib.Path:
    """A file as torch 1.6 and newer write it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + opcodes + b".")
        for record, content in records.items():
            archive.writestr(f"archive/{record}", content)
    return path


def torch_legacy(opcodes: bytes, keys: list[str], content: bytes) -> bytes:
    """A file as torch before 1.6 wrote it."""
    heads = [pickle.dumps(part, 2) for part in (torch_files.MAGIC, 1001, {"little_endian": True})]
    return b"".join([*heads, b"\x80\x02", opcodes, b".", pickle.dumps(keys, 2), content])


def python2(arrays: dict[str, np.ndarray]) -> bytes:
    """A dict of arrays as cPickle of Python 2 wrote it with protocol 2: byte strings throughout."""

    def string(value: bytes) -> bytes:
        if len(value) < 256:
            return b"U" + bytes([len(value)]) + value
        return b"T" + struct.pack("<i", len(value)) + value

    def array(value: np.ndarray) -> bytes:
        empty = row(name("numpy.ndarray"), b"K\x00\x85", string(b"b"))
        dtype = name("numpy.dtype") + string(value.dtype.str[1:].encode()) + b"K\x00K\x01\x87R"
        dtype += b"(K\x03" + string(b"<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        shape = row(*map(whole, value.shape))
        state = row(b"K\x01", shape, dtype, b"\x89", string(value.tobytes()))
        return name("numpy.core.multiarray._reconstruct") + empty + b"R" + state + b"b"

    items = b"".join(string(key.encode()) + array(value) for key, value in arrays.items())
    return b"\x80\x02}(" + items + b"u."


def python2_text(key: str, array: np.ndarray) -> bytes:
    """A dict of one float32 matrix as pickle of Python 2 wrote it by default, in lines of text."""
    raw = repr(array.tobytes())[1:].encode()
    lines = ["(dp1", f"S'{key}'", "p2", "cnumpy.core.multiarray", "_reconstruct", "p3"]
    lines += ["(cnumpy", "ndarray", "p4", "(I0", "tp5", "S'b'", "p6", "tp7", "Rp8"]
    lines += ["(I1", f"(I{array.shape[0]}", f"I{array.shape[1]}", "tp9", "cnumpy", "dtype", "p10"]
    lines += ["(S'f4'", "p11", "I0", "I1", "tp12", "Rp13", "(I3", "S'<'", "p14", "NNNI-1", "I-1"]
    return "\n".join([*lines, "I0", "tp15", "bI00", "S"]).encode() + raw + b"\np16\ntp17\nbs."
