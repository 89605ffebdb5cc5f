"""Write pickles and torch files opcode by opcode, also such as no library would write."""

import pathlib
import pickle
import struct
import zipfile

from va_jax.weights import torch_files


def text(string: str) -> bytes:
    return b"X" + struct.pack("<I", len(string.encode())) + string.encode()


def integer(number: int) -> bytes:
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


def storage(count: int = 6, kind: str = "FloatStorage", key: str = "0") -> bytes:
    kind_name = name(f"torch.{kind}")
    return row(text("storage"), kind_name, text(key), text("cpu"), integer(count)) + b"Q"


def tensor(
    held: bytes, offset: int = 0, size: tuple[int, ...] = (2, 3), stride: tuple[int, ...] = (3, 1)
) -> bytes:
    shape = row(*map(integer, size)), row(*map(integer, stride))
    hooks = call("collections.OrderedDict")
    return call("torch._utils._rebuild_tensor_v2", held, integer(offset), *shape, b"\x89", hooks)


def module(
    parameters: dict[str, bytes] | None = None,
    modules: dict[str, bytes] | None = None,
    kind: str = "torch.nn.modules.module.Module",
    **state: bytes,
) -> bytes:
    """Return a whole module of class `kind`, with more items in its state."""
    parts = {"_parameters": table(**parameters or {}), "_buffers": table()}
    parts |= {"_modules": table(**modules or {}), **state}
    return name(kind) + b")\x81" + table(**parts) + b"b"


def torch_zip(path: pathlib.Path, opcodes: bytes, records: dict[str, bytes]) -> pathlib.Path:
    """Write a file as torch 1.6 and newer do."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + opcodes + b".")
        for record, content in records.items():
            archive.writestr(f"archive/{record}", content)
    return path


def torch_legacy(opcodes: bytes, keys: list[str], content: bytes) -> bytes:
    """Return a file as torch before 1.6 wrote it."""
    heads = [pickle.dumps(part, 2) for part in (torch_files.MAGIC, 1001, {"little_endian": True})]
    return b"".join([*heads, b"\x80\x02", opcodes, b".", pickle.dumps(keys, 2), content])
