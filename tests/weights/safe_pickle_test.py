"""Hostile pickles: nothing in them runs, the refused name is reported, and no claim is believed."""

import contextlib
import copyreg
import pathlib
import pickle
import struct

import numpy as np
import pytest

from tests.weights import torch_pickles
from tests.weights.read_test import KERNEL, SIX, assert_equal, refusal, saved, torch, written
from tests.weights.torch_pickles import (
    call,
    integer,
    name,
    row,
    storage,
    table,
    tensor,
    text,
    torch_zip,
)
from va_jax.weights import stand_ins, torch_files
from va_jax.weights.read import read

__all__ = ["saved", "torch"]  # fixtures, which are used by their names


class Created:
    """Writes a file when it is created."""

    def __new__(cls, path: str):
        pathlib.Path(path).touch()
        return super().__new__(cls)


class Restored:
    """Writes a file when it receives its state."""

    def __setstate__(self, path: str):
        pathlib.Path(path).touch()


EXTENSION = 0x77


def hostile_pickles(marker: pathlib.Path) -> dict[str, tuple[bytes, str]]:
    """Return pickles that create the file `marker`, and a part of each expected message."""
    touch = f"touch {marker}"
    system, argument = name("os.system"), text(touch)
    string = b"S'" + touch.encode() + b"'\n"
    imported = call("__builtin__.__import__", text("os"))
    getattr_call = call("__builtin__.getattr", imported, text("system"))
    strings = [b"\x8c" + bytes([len(part)]) + part.encode() for part in ("os", "system", touch)]
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    path = text(str(marker))
    new = name(f"{__name__}.Created") + row(path) + b"\x81"
    state = name(f"{__name__}.Restored") + b")\x81" + path + b"b"
    in_pid = row(text("storage"), system + row(argument) + b"R") + b"Q"
    after_good_name = call("collections.OrderedDict") + b"0" + system + row(argument) + b"R"
    objects = pickle.dumps({"w": np.array([_Reduced(marker)], object)})
    return {
        "GLOBAL and REDUCE": (system + row(argument) + b"R.", "os.system,"),
        "STACK_GLOBAL": (
            b"\x80\x04" + strings[0] + strings[1] + b"\x93" + strings[2] + b"\x85R.",
            "os.system,",
        ),
        "INST": (b"(" + string + b"ios\nsystem\n.", "os.system,"),
        "OBJ": (b"(" + system + string + b"o.", "os.system,"),
        "NEWOBJ": (new + b".", f"{__name__}.Created,"),
        "BUILD": (state + b".", f"{__name__}.Restored,"),
        "EXT": (b"\x82" + bytes([EXTENSION]) + row(argument) + b"R.", "pickle extension"),
        "eval": (call("__builtin__.eval", text(code)) + b".", "__builtin__.eval,"),
        "getattr": (getattr_call + row(argument) + b"R.", "__builtin__.getattr,"),
        "a value after a good name": (after_good_name + b".", "os.system,"),
        "in a persistent id": (in_pid + b".", "os.system,"),
        "an array of objects": (objects, "'O8', which is not numeric"),
    }


class _Reduced:
    """Pickled as a call that writes a file."""

    def __init__(self, marker: pathlib.Path):
        self.marker = marker

    def __reduce__(self):
        return eval, (f"open({str(self.marker)!r}, 'w').close()",)


@pytest.fixture
def registered_extension():
    copyreg.add_extension("os", "system", EXTENSION)
    yield
    copyreg.remove_extension("os", "system", EXTENSION)


@pytest.mark.parametrize("kind", hostile_pickles(pathlib.Path()))
@pytest.mark.usefixtures("registered_extension")
def test_a_hostile_pickle_runs_nothing_and_its_name_is_reported(tmp_path, kind):
    marker = tmp_path / "marker"
    content, refused = hostile_pickles(marker)[kind]
    content = content if content[0] == 0x80 else b"\x80\x02" + content
    with contextlib.suppress(pickle.UnpicklingError):  # Python refuses the id itself
        pickle.loads(content)
    assert marker.exists()  # the pickle is as dangerous as intended
    marker.unlink()
    assert refused in refusal(written(tmp_path / "w.pkl", content))
    assert not marker.exists()


def test_a_hostile_object_beside_tensors_runs_nothing(tmp_path, torch, saved):
    marker = tmp_path / "marker"
    path = saved({"w": torch.ones(3), "x": _Reduced(marker)})
    torch.load(path, weights_only=False)
    assert marker.exists()
    marker.unlink()
    assert "eval, which a weight file never needs" in refusal(path)
    assert not marker.exists()


def test_a_pickled_tensor_is_refused_by_the_function_that_would_load_it(torch, tmp_path):
    content = pickle.dumps({"w": torch.ones(3)})
    line = refusal(written(tmp_path / "w.pkl", content))
    assert "torch.storage._load_from_bytes," in line


def test_a_name_cannot_bring_control_characters_into_the_message(tmp_path):
    odd = "\x1b[2J\nos" * 100
    content = b"\x80\x04" + text(odd) + text("system") + b"\x93."
    assert r"\x1b[2J\nos" in refusal(written(tmp_path / "w.pkl", content))


# What the accepted names may do.


@pytest.mark.parametrize(
    "table", [stand_ins.CONSTRUCTORS, torch_files.CONSTRUCTORS], ids=["numpy", "torch"]
)
def test_every_constructor_is_our_own(table):
    for path, constructor in table.items():
        if callable(constructor):
            assert constructor.__module__ in (stand_ins.__name__, torch_files.__name__), path
        else:
            assert constructor is None or isinstance(constructor, str), path


@pytest.mark.parametrize("path", ["collections.OrderedDict", "_codecs.encode"])
@pytest.mark.parametrize("slots", [False, True])
def test_a_pickle_cannot_change_a_constructor(tmp_path, path, slots):
    constructor = stand_ins.CONSTRUCTORS[tuple(path.rsplit(".", 1))]
    before = dict(vars(constructor))
    state = table(set_state=b"N", __setstate__=b"N", __defaults__=b"N")
    state = b"N" + state + b"\x86" if slots else state
    content = b"\x80\x02" + name(path) + state + b"b."
    assert "sets attributes" in refusal(written(tmp_path / "w.pkl", content))
    assert dict(vars(constructor)) == before


def test_the_attributes_of_a_dict_are_ignored(tmp_path):
    made = call("collections.OrderedDict") + table(items=b"N", array=b"N", __setstate__=b"N") + b"b"
    filled = made + b"(" + text("w") + tensor(storage()) + b"u"
    path = torch_zip(tmp_path / "w.pth", filled, {"data/0": SIX.tobytes()})
    assert_equal(read(path), {"w": SIX.reshape(2, 3)})


@pytest.mark.parametrize("code", ["O8", "V8", "U4", "c8", "i4,f4"])
def test_arrays_of_other_things_than_numbers_are_refused(tmp_path, code):
    dtype = call("numpy.dtype", text(code), integer(0), integer(1))
    path = written(tmp_path / "w.pkl", b"\x80\x02" + table(w=dtype) + b".")
    assert f"type '{code}', which is not numeric" in refusal(path)


ARRAY = call("numpy.core.multiarray._reconstruct", name("numpy.ndarray"), b")", text("b"))
FLOAT = call("numpy.dtype", text("f4"))


def with_state(content: bytes, size: int = 1, dtype: bytes = FLOAT) -> bytes:
    return ARRAY + row(integer(1), row(integer(size)), dtype, b"\x89", content) + b"b"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (ARRAY, "has no content"),
        (with_state(text("abcd"), size=10**12), "4 bytes"),
        (with_state(text("abcdefgh")), "8 bytes"),
        (with_state(text(""), size=-1), "impossible shape"),
        (with_state(b"](Ne"), "of objects"),
        (with_state(text("abcd"), dtype=text("f4")), "of objects"),
        (FLOAT + row(integer(3), text("x")) + b"b", "no byte order"),
        (call("_codecs.encode", b"N", text("rot13")), "not text"),
    ],
)
def test_an_array_must_be_filled_by_its_bytes(tmp_path, value, reason):
    path = written(tmp_path / "w.pkl", b"\x80\x02" + table(w=value) + b".")
    assert reason in refusal(path)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (tensor(storage(), offset=1), "past the end of its storage"),
        (tensor(storage(), stride=(4, 1)), "past the end of its storage"),
        (tensor(storage(), size=(10**6, 10**6), stride=(0, 0)), "larger than its storage"),
        (tensor(storage(), stride=(-3, 1)), "impossible shape"),
        (tensor(storage(), size=(1,) * 40, stride=(1,) * 40), "impossible shape"),
        (tensor(storage(), size=(0, 2**61, 2**61), stride=(1, 1, 1)), "cut off or damaged"),
        (tensor(storage(), stride=(1,)), "cut off or damaged"),
        (tensor(storage(count=10**12), size=(10**12,), stride=(1,)), "has 24 bytes"),
        (tensor(storage(kind="DoubleStorage")), "has 24 bytes"),
        (tensor(storage(kind="QInt8Storage")), "torch.QInt8Storage,"),
        (tensor(storage(key="../../secret")), "cut off or damaged"),
        (tensor(integer(3)), "larger than its storage"),
        (tensor(row(text("module"), text("x"), text("y")) + b"Q"), "persistent ids"),
        (tensor(b"P0\n"), "persistent ids"),
        (tensor(storage()) + text("v") + tensor(storage(count=7)), "persistent ids"),
        (tensor(storage()) + b"u.", "extra data after its end"),
    ],
)
def test_a_tensor_stays_within_its_storage(tmp_path, value, reason):
    opened = b"}(" + text("w") + value + b"u"
    assert reason in refusal(torch_zip(tmp_path / "w.pth", opened, {"data/0": bytes(24)}))


@pytest.mark.parametrize(
    ("keys", "count", "values", "reason"),
    [
        ([], 6, 6, "does not match its tensors"),
        (["0", "0"], 6, 6, "does not match its tensors"),
        (["0"], 10**12, 6, "does not have the length"),
        (["0"], 6, 5, "has 20 bytes"),
        (["0"], 6, 7, "extra data after its end"),
    ],
)
def test_storages_of_old_torch_are_those_of_the_tensors(tmp_path, keys, count, values, reason):
    content = struct.pack("<q", count) + bytes(4 * values)
    content = torch_pickles.torch_legacy(table(w=tensor(storage())), keys, content)
    assert reason in refusal(written(tmp_path / "w.pth", content))


def test_an_unknown_byte_order_is_refused(tmp_path):
    records = {"data/0": bytes(24), "byteorder": b"middle"}
    path = torch_zip(tmp_path / "w.pth", table(w=tensor(storage())), records)
    assert "neither little nor big" in refusal(path)


# What would not end, or not fit into memory.


@pytest.mark.parametrize(
    "content",
    [
        (b"}" + text("a")) * 20_000 + b"N" + b"s" * 20_000,
        (b"}" + text("a")) * 18 + b"N" + b"s" * 18,
        b"}q\0" + text("a") + b"h\0s",
        table(a=b"}q\0", b=b"h\0"),
    ],
    ids=["deep", "too deep", "in itself", "twice"],
)
def test_dicts_that_are_nested_without_end_or_used_twice_are_refused(tmp_path, content):
    path = written(tmp_path / "w.pkl", b"\x80\x02" + content + b".")
    assert "nested more than 16 levels deep" in refusal(path)


BOMBS = {  # each crashes Python's own reader, exhausts its memory, or could keep it busy for ever
    "nested tuples as a key": b"})" + b"\x85" * 300_000 + b"Ns.",
    "a set of nested tuples": b"\x8f()" + b"\x85" * 300_000 + b"\x90.",
    "a long bytearray": b"\x96" + struct.pack("<Q", 2**40) + b"x.",
    "long bytes": b"\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "a long frame": b"\x95" + struct.pack("<Q", 2**62) + b"x.",
    "a far place in the memo": b"Nr\xff\xff\xff\xff.",
    "many digits": b"I" + b"9" * 100_000 + b"\n.",
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_a_pickle_that_would_fill_the_memory_or_never_end_is_refused(tmp_path, content):
    refusal(written(tmp_path / "w.pkl", b"\x80\x05" + content))


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [KERNEL], KERNEL, {("a", 1): KERNEL}, None])
def test_anything_but_a_dict_of_arrays_is_refused(tmp_path, content):
    refusal(written(tmp_path / "w.pkl", pickle.dumps(content)))
