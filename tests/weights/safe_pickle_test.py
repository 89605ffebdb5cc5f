"""Hostile pickles: nothing in them runs, the refused name is told, and no claim is believed."""

import copyreg
import os
import pathlib
import pickle
import struct

import numpy as np
import pytest

from tests.weights import opcodes
from tests.weights.opcodes import call, name, row, storage, table, tensor, text, torch_zip, whole
from tests.weights.read_test import KERNEL, SIX, assert_equal, refusal, saved, torch, written
from va_jax.weights import safe_pickle, torch_files
from va_jax.weights.read import read

__all__ = ["saved", "torch"]  # fixtures, which are used by their names


class Run:
    """Unpickled by Python's own reader, it calls a function."""

    def __init__(self, *call: object):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


class Plant:
    """Unpickled by Python's own reader, it makes an object and then tells it its state."""

    def __init__(self, made: tuple, state: object):
        self.made, self.state = made, state

    def __reduce__(self):
        return *self.made, self.state


def hand_made(marker: pathlib.Path) -> dict[str, tuple[bytes, str]]:
    """Pickles that make the file `marker`, and the name by which they are to be refused."""
    touch = f"touch {marker}"
    system, string = name("os.system"), f"S'{touch}'\n".encode()
    imported = call("__builtin__.__import__", b"S'os'\n")
    chain = call("__builtin__.getattr", imported, b"S'system'\n") + b"(" + string + b"tR"
    short = [b"\x8c" + bytes([len(part)]) + part.encode() for part in ("os", "system", touch)]
    return {
        "reduce": (system + b"(" + string + b"tR.", "os.system"),
        "inst": (b"(" + string + b"ios\nsystem\n.", "os.system"),
        "obj": (b"(" + system + string + b"o.", "os.system"),
        "stack global": (
            b"\x80\x04" + short[0] + short[1] + b"\x93" + short[2] + b"\x85R.",
            "os.system",
        ),
        "getattr": (chain + b".", "__builtin__.getattr"),
        "value": (table(w=system + b"(" + string + b"tR") + b".", "os.system"),
        "dropped": (system + b"(" + string + b"tR0}.", "os.system"),
        "behind a good name": (
            call("collections.OrderedDict") + chain + b"0.",
            "__builtin__.getattr",
        ),
        "memo": (system + b"p7\n0g7\n(" + string + b"tR.", "os.system"),
    }


@pytest.mark.parametrize("kind", hand_made(pathlib.Path()))
def test_a_hostile_pickle_runs_nothing(tmp_path, kind):
    marker = tmp_path / "marker"
    content, refused = hand_made(marker)[kind]
    pickle.loads(content)
    assert marker.exists()  # it is as dangerous as meant
    marker.unlink()
    content = content if content[0] == 0x80 else b"\x80\x02" + content
    assert f"it names {refused}," in refusal(written(tmp_path / "w.pkl", content))
    assert not marker.exists()


def hostile_objects(marker: pathlib.Path) -> dict[str, tuple[object, str]]:
    code = f"open({str(marker)!r}, 'w').close()"
    run = Run(exec, code)
    return {
        "system": (Run(os.system, f"touch {marker}"), f"it names {os.system.__module__}.system,"),
        "eval": (Run(eval, code), ".eval,"),
        "exec": (run, ".exec,"),
        "open": (Run(open, str(marker), "w"), ".open,"),
        "state": (Plant((Run, (len, "")), {"x": run}), f"it names {__name__}.Run,"),
        "setstate": (Plant((safe_pickle.Dict, ()), {"__setstate__": run}), ".Dict,"),
        "array": (np.array([run], object), "an array of 'O8', not of numbers"),
    }


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", hostile_objects(pathlib.Path()))
def test_a_hostile_object_runs_nothing_in_any_protocol(tmp_path, kind, protocol):
    marker = tmp_path / "marker"
    value, refused = hostile_objects(marker)[kind]
    content = pickle.dumps({"a": KERNEL, "w": value}, protocol)
    pickle.loads(content)
    assert marker.exists()
    marker.unlink()
    assert refused in refusal(written(tmp_path / "w.pkl", content))
    assert not marker.exists()


def test_a_hostile_object_beside_tensors_runs_nothing(tmp_path, torch, saved):
    marker = tmp_path / "marker"
    path = saved({"w": torch.ones(3), "x": Run(os.system, f"touch {marker}")})
    torch.load(path, weights_only=False)
    assert marker.exists()
    marker.unlink()
    assert f"it names {os.system.__module__}.system," in refusal(path)
    assert not marker.exists()


def test_a_whole_module_is_refused_by_its_class(torch, saved):
    assert "it names torch.nn.modules.linear.Linear," in refusal(saved(torch.nn.Linear(2, 2)))


def test_a_pickled_tensor_is_refused_by_the_function_that_would_load_it(torch, tmp_path):
    content = pickle.dumps({"w": torch.ones(3)})
    line = refusal(written(tmp_path / "w.pkl", content))
    assert "it names torch.storage._load_from_bytes," in line


def test_a_registered_extension_is_not_looked_up(tmp_path):
    marker = tmp_path / "marker"
    content = b"\x80\x02\x82\x77" + text(f"touch {marker}") + b"\x85R."
    copyreg.add_extension("os", "system", 0x77)
    try:
        pickle.loads(content)
        assert marker.exists()
        marker.unlink()
        assert "opcode that no weights need" in refusal(written(tmp_path / "w.pkl", content))
    finally:
        copyreg.remove_extension("os", "system", 0x77)
    assert not marker.exists()


def test_a_class_of_old_is_not_made_of_a_good_name_either(tmp_path):
    content = b"\x80\x02(icollections\nOrderedDict\n."
    assert "opcode that no weights need" in refusal(written(tmp_path / "w.pkl", content))


def test_a_name_cannot_bring_control_characters_into_the_line(tmp_path):
    odd = "\x1b[2J\nos" * 100
    content = b"\x80\x04" + text(odd) + text("system") + b"\x93."
    assert r"it names \x1b[2J\nos" in refusal(written(tmp_path / "w.pkl", content))


# What the names that are admitted may do.


@pytest.mark.parametrize("names", [safe_pickle.NAMES, torch_files.NAMES], ids=["numpy", "torch"])
def test_what_takes_a_names_place_is_ours(names):
    for path, stand_in in names.items():
        if callable(stand_in):
            assert stand_in.__module__ in (safe_pickle.__name__, torch_files.__name__), path
        else:
            assert stand_in is None or isinstance(stand_in, str), path


@pytest.mark.parametrize("path", ["collections.OrderedDict", "numpy.dtype", "_codecs.encode"])
@pytest.mark.parametrize("slots", [False, True])
def test_a_state_set_on_a_stand_in_itself_changes_nothing(tmp_path, path, slots):
    stand_in = safe_pickle.NAMES[tuple(path.rsplit(".", 1))]
    before = dict(vars(stand_in))
    state = table(build=b"N", __setstate__=b"N", __defaults__=b"N")
    state = b"N" + state + b"\x86" if slots else state
    content = b"\x80\x02" + name(path) + state + b"b."
    assert "sets attributes" in refusal(written(tmp_path / "w.pkl", content))
    assert dict(vars(stand_in)) == before


def test_the_attributes_of_a_dict_are_left_out(tmp_path):
    made = call("collections.OrderedDict") + table(items=b"N", array=b"N", __setstate__=b"N") + b"b"
    filled = made + b"(" + text("w") + tensor(storage()) + b"u"
    path = torch_zip(tmp_path / "w.pth", filled, {"data/0": SIX.tobytes()})
    assert_equal(read(path), {"w": SIX.reshape(2, 3)})


@pytest.mark.parametrize("code", ["O8", "V8", "U4", "S4", "M8", "c8", "f16", "i4,f4", "float32"])
def test_arrays_of_other_things_than_numbers_are_refused(tmp_path, code):
    dtype = call("numpy.dtype", text(code), whole(0), whole(1))
    path = written(tmp_path / "w.pkl", b"\x80\x02" + table(w=dtype) + b".")
    assert f"an array of '{code}', not of numbers" in refusal(path)


ARRAY = call("numpy.core.multiarray._reconstruct", name("numpy.ndarray"), b")", text("b"))
FLOAT = call("numpy.dtype", text("f4"))


def told(content: bytes, size: int = 1, dtype: bytes = FLOAT) -> bytes:
    return ARRAY + row(whole(1), row(whole(size)), dtype, b"\x89", content) + b"b"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (ARRAY, "has no content"),
        (told(text("abcd"), size=10**12), "4 bytes"),
        (told(text("abcdefgh")), "8 bytes"),
        (told(text(""), size=-1), "impossible shape"),
        (told(b"](Ne"), "of objects"),
        (told(text("abcd"), dtype=text("f4")), "of objects"),
        (FLOAT + row(whole(3), text("x")) + b"b", "no byte order"),
        (call("_codecs.encode", b"N", text("rot13")), "what is no text"),
        (call("numpy.core.multiarray.scalar", FLOAT, text("abc")), "3 bytes"),
    ],
)
def test_an_array_is_what_its_bytes_are(tmp_path, value, reason):
    path = written(tmp_path / "w.pkl", b"\x80\x02" + table(w=value) + b".")
    assert reason in refusal(path)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (tensor(storage(), offset=1), "reaches beyond its storage"),
        (tensor(storage(), stride=(4, 1)), "reaches beyond its storage"),
        (tensor(storage(), size=(10**6, 10**6), stride=(0, 0)), "more than its storage holds"),
        (tensor(storage(), size=(7,), stride=(0,)), "more than its storage holds"),
        (tensor(storage(), stride=(-3, 1)), "impossible shape"),
        (tensor(storage(), offset=-1), "impossible shape"),
        (tensor(storage(), size=(-2, -3)), "impossible shape"),
        (tensor(storage(), size=(1,) * 40, stride=(1,) * 40), "impossible shape"),
        (tensor(storage(), size=(0, 2**61, 2**61), stride=(1, 1, 1)), "cut off or broken"),
        (tensor(storage(), size=(1,), stride=(2**61,)), "cut off or broken"),
        (tensor(storage(), stride=(1,)), "cut off or broken"),
        (tensor(storage(numel=10**12), size=(10**12,), stride=(1,)), "has 24 bytes"),
        (tensor(storage(numel=5), size=(5,), stride=(1,)), "has 24 bytes"),
        (tensor(storage(kind="DoubleStorage")), "has 24 bytes"),
        (tensor(storage(kind="QInt8Storage")), "it names torch.QInt8Storage,"),
        (tensor(storage(key="../../secret")), "cut off or broken"),
        (tensor(whole(3)), "more than its storage holds"),
        (tensor(text("0") + b"Q"), "persistent ids"),
        (tensor(row(text("module"), text("x"), text("y")) + b"Q"), "persistent ids"),
        (tensor(b"P0\n"), "persistent ids"),
        (tensor(storage()[:-2] + row(text("1"), whole(0), whole(3)) + b"tQ"), "persistent ids"),
        (tensor(storage()) + text("v") + tensor(storage(numel=7)), "persistent ids"),
        (tensor(storage()) + b"u.", "goes on after its end"),
    ],
)
def test_a_tensor_stays_within_its_storage(tmp_path, value, reason):
    opened = b"}(" + text("w") + value + b"u"
    assert reason in refusal(torch_zip(tmp_path / "w.pth", opened, {"data/0": bytes(24)}))


@pytest.mark.parametrize(
    ("keys", "numel", "values", "reason"),
    [
        ([], 6, 6, "do not belong together"),
        (["0", "0"], 6, 6, "do not belong together"),
        (["0"], 10**12, 6, "the length of a storage"),
        (["0"], 6, 5, "has 20 bytes"),
        (["0"], 6, 7, "goes on after its end"),
    ],
)
def test_storages_of_old_torch_are_those_of_the_tensors(tmp_path, keys, numel, values, reason):
    content = struct.pack("<q", numel) + bytes(4 * values)
    content = opcodes.torch_legacy(table(w=tensor(storage())), keys, content)
    assert reason in refusal(written(tmp_path / "w.pth", content))


def test_a_byte_order_that_is_none_is_refused(tmp_path):
    records = {"data/0": bytes(24), "byteorder": b"middle"}
    path = torch_zip(tmp_path / "w.pth", table(w=tensor(storage())), records)
    assert "neither little nor big" in refusal(path)


# What would not end, or not fit.


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
def test_dicts_that_nest_without_end_or_share_dicts_are_refused(tmp_path, content):
    path = written(tmp_path / "w.pkl", b"\x80\x02" + content + b".")
    assert "nest deeper than 16, or one stands in two places" in refusal(path)


ENDLESS = {
    "tuples as a key": b"}" + b")" + b"\x85" * 300_000 + b"Ns.",
    "lists in lists": b"]" * 100_000 + b"a" * 99_999 + b".",
    "bytes": b"\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "a bytearray": b"\x96" + struct.pack("<Q", 2**40) + b"x.",
    "text": b"\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "a frame": b"\x95" + struct.pack("<Q", 2**62) + b"x.",
    "a long": b"\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
    "a place in the memo": b"Nr\xff\xff\xff\xff.",
    "digits": b"I" + b"9" * 100_000 + b"\n.",
}


@pytest.mark.parametrize("content", ENDLESS.values(), ids=ENDLESS)
def test_what_would_fill_the_memory_or_never_end_is_refused(tmp_path, content):
    refusal(written(tmp_path / "w.pkl", b"\x80\x05" + content))


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [KERNEL], KERNEL, {("a", 1): KERNEL}, None])
def test_what_is_no_dict_of_arrays_is_refused(tmp_path, content):
    refusal(written(tmp_path / "w.pkl", pickle.dumps(content)))
