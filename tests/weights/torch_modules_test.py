"""Whole pickled torch modules give the names and arrays of their state dict, without torch."""

import collections
import contextlib
import enum
import functools
import pathlib
import types

import numpy as np
import pytest

from tests import timm_models
from tests.weights.read_test import SIX, assert_equal, refusal, saved, torch, written
from tests.weights.torch_pickles import (
    integer,
    module,
    name,
    row,
    storage,
    table,
    tensor,
    torch_zip,
)
from va_jax.types import InputError
from va_jax.weights.read import read

__all__ = ["saved", "torch"]  # fixtures, which are used by their names

with contextlib.suppress(ImportError):
    from torch import nn


def assert_state_dict(path: pathlib.Path, expected) -> None:
    """Assert that a file has the names, order, shapes and values of a module's state dict."""
    floats_as_float32 = {
        key: (value.float() if value.is_floating_point() else value).numpy()
        for key, value in expected.state_dict().items()
    }
    assert_equal(read(path), floats_as_float32)


class Mode(enum.Enum):
    FAST = "fast"


class Names(list):
    """A list of another class, to which a pickle appends."""


def noted(*_: object) -> None:
    """Serve as a hook."""


@pytest.fixture(scope="module")
def networks(torch) -> types.SimpleNamespace:
    """Return the classes of networks, which pickle finds by their names in this file."""
    return types.SimpleNamespace(**{kind.__name__: kind for kind in (Plain, Normed, Odd, Tied)})


with contextlib.suppress(NameError):

    class Plain(nn.Module):
        """No batch norm, a layer without bias, a child that is None."""

        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3, stride=(2, 2), bias=False)
            self.act = nn.SiLU()
            self.absent = None
            self.register_module("nothing", None)
            self.head = nn.Sequential(nn.Flatten(), nn.Linear(4, 10))

    class Normed(nn.Module):
        """Batch norms, buffers of each kind, and a parameter with an attribute."""

        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)) for _ in range(2)
            )
            self.bare = nn.BatchNorm2d(4, affine=False, track_running_stats=False)
            self.register_buffer("mean", torch_module().arange(3.0))
            self.register_buffer("scratch", torch_module().ones(2), persistent=False)
            self.register_buffer("nothing", None)
            self.scale = nn.Parameter(torch_module().rand(4))
            self.scale.no_weight_decay = True
            self.marked = nn.Buffer(torch_module().tensor([1, 2]))
            self.kernels = nn.ParameterDict({"a": nn.Parameter(torch_module().rand(2, 3).t())})

    class Odd(nn.Module):
        """State of many classes, which is none of the weights."""

        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 3)
            self.register_forward_hook(noted)
            self.linear.register_full_backward_hook(noted)
            self.scaled = functools.partial(pow, exp=2)
            self.device, self.dtype = torch_module().device("cpu"), torch_module().float16
            self.size = torch_module().Size([1, 2])
            self.mode, self.kinds = Mode.FAST, {"int": int, "mode": Mode}
            self.counts = collections.defaultdict(list, a=[1], b=[self.linear])
            self.recent = collections.deque([1, 2], maxlen=3)
            self.names, self.ids = Names(["a", "b"]), frozenset({1, 2})
            self.by_kind = {Mode.FAST: 1, Mode: 2, 3: 4}
            self.many = collections.Counter("abca")
            self.path, self.part = pathlib.PurePosixPath("a/b"), slice(1, 2)
            self.number, self.text = complex(1, 2), bytearray(b"xyz")
            self.generator = np.random.default_rng(0)
            self.cached = torch_module().ones(3)
            self.act = torch_module().nn.functional.silu

    class Tied(nn.Module):
        """One module and one parameter under two names each."""

        def __init__(self):
            super().__init__()
            self.first = nn.Linear(3, 3)
            self.again = nn.Sequential(self.first, nn.Linear(3, 3, bias=False))
            self.again[1].weight = self.first.weight


def torch_module():
    return pytest.importorskip("torch")


KINDS = ("Plain", "Normed", "Odd", "Tied")


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_module_gives_its_state_dict(networks, saved, kind):
    network = getattr(networks, kind)()
    assert_state_dict(saved(network), network)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_modules_in_pickles_of_newer_protocols_are_read(networks, saved, protocol):
    network = networks.Odd()
    assert_state_dict(saved(network, pickle_protocol=protocol), network)


def test_a_module_in_half_precision_becomes_float32(networks, saved):
    network = networks.Normed().half()
    assert_state_dict(saved(network), network)


@pytest.mark.parametrize("key", ["model", "state_dict"])
def test_a_module_is_found_in_a_checkpoint_and_in_data_parallel(torch, networks, saved, key):
    network = networks.Plain()
    optimizer = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"betas": (0.9, 1)}]}
    wrapped = torch.nn.DataParallel(network)
    wrapped.device_ids = [torch.device("cuda", 0)]
    for each in (network, wrapped):
        assert_state_dict(saved({"epoch": 3, key: each, "optimizer": optimizer}), network)
    assert_state_dict(saved(wrapped), network)


def test_a_lambda_in_a_module_is_ignored(networks, saved):
    network = networks.Plain()
    network.double = lambda x: 2 * x
    cloudpickle = pytest.importorskip("cloudpickle")
    assert_state_dict(saved(network, pickle_module=cloudpickle), network)


@pytest.fixture(scope="module")
def timm():
    return timm_models.imported()


@pytest.mark.slow
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_efficientnet_of_timm_gives_its_state_dict(torch, timm, saved, wrapped):
    network = timm.create_model("tf_efficientnet_b0", num_classes=10)
    if wrapped:
        network.classifier = torch.nn.Sequential(network.classifier)
    path = saved(network)
    assert_state_dict(path, network)
    prefix = "classifier.0" if wrapped else "classifier"
    assert read(path)[f"{prefix}.weight"].shape == (10, 1280)


# What is refused.


def zip_of(path: pathlib.Path, opcodes: bytes) -> pathlib.Path:
    return torch_zip(path, opcodes, {"data/0": SIX.tobytes()})


GOOD = tensor(storage())
STRANGE = name("strange.Kind") + b")R"


def test_a_module_without_any_library_gives_its_arrays(tmp_path):
    inner = module({"w": GOOD, "b": b"N"}, kind="strange.Kind", stride=row(integer(2)))
    path = zip_of(tmp_path / "w.pth", module({"v": GOOD}, {"in": inner, "no": b"N"}))
    assert_equal(read(path), {"v": SIX.reshape(2, 3), "in.w": SIX.reshape(2, 3)})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (module({"w": STRANGE}), "strange.Kind,"),
        (module({"w": GOOD}, _buffers=table(w2=STRANGE)), "strange.Kind,"),
        (module({"w": GOOD}, {"in": STRANGE}), "strange.Kind,"),
        (module({"w": GOOD}, {"in": name("strange.Kind")}), "strange.Kind,"),
        (module({"w": GOOD}, {"in": table(w=GOOD)}), "'in' is not a module"),
        (module({"w": row(GOOD)}), "'w' is not a tensor"),
        (module({"w": integer(3)}), "'w' is not a tensor"),
        (module({"w": GOOD}, _buffers=row(GOOD)), "module.Module,"),
        (module({"w": GOOD}, _modules=STRANGE), "module.Module,"),
        (module({"w": GOOD}, _buffers=b"}" + integer(1) + GOOD + b"s"), "not text"),
        (module({"w": GOOD}, _non_persistent_buffers_set=STRANGE), "not a set"),
        (module({"a.w": GOOD}, {"a": module({"w": GOOD})}), "two arrays named 'a.w'"),
        (module(), "not contain any arrays"),
        (table(model=module({"w": GOOD}), args=STRANGE), "strange.Kind,"),
        (table(model=module({"w": GOOD}), args=row(table(a=row(STRANGE)))), "strange.Kind,"),
        (table(model=module({"w": GOOD}), ema=module({"w": GOOD})), "module.Module,"),
        (table(model=table(w=GOOD), args=STRANGE), "strange.Kind,"),
        (table(net=module({"w": GOOD})), "module.Module,"),
        (table(w=GOOD, x=STRANGE), "strange.Kind,"),
        (STRANGE + b"0" + table(w=GOOD), "strange.Kind,"),
        (row(module({"w": GOOD})), "module.Module,"),
        (module({"w": tensor(STRANGE)}), "strange.Kind,"),
        (module({"w": tensor(storage(kind="QInt8Storage"))}), "torch.QInt8Storage,"),
        (module({"w": GOOD}, kinds=b"\x8f(" + STRANGE + b"\x90"), "other than text and numbers"),
        (module({"w": GOOD}, kinds=b"(" + row(STRANGE) + b"\x91"), "other than text and numbers"),
    ],
)
def test_only_ignored_state_of_a_module_may_be_of_another_class(tmp_path, content, reason):
    assert reason in refusal(zip_of(tmp_path / "w.pth", content))


def test_a_module_that_contains_itself_is_refused(tmp_path):
    looped = name("strange.Kind") + b")\x81q\x01" + module({"w": GOOD}, {"me": b"h\x01"})
    looped = looped.replace(name("torch.nn.modules.module.Module") + b")\x81", b"")
    assert "in themselves" in refusal(zip_of(tmp_path / "w.pth", looped))


@pytest.mark.parametrize(("depth", "allowed"), [(63, True), (64, False), (900, False)])
def test_modules_are_nested_64_deep_at_most(tmp_path, depth, allowed):
    nested = module({"w": GOOD})
    start, end = module({}, {"a": b"|"}).split(b"|")
    path = zip_of(tmp_path / "w.pth", start * depth + nested + end * depth)
    if allowed:
        assert list(read(path)) == ["a." * depth + "w"]
    else:
        assert "more than 64 levels deep" in refusal(path)


def test_a_torchscript_archive_is_refused_with_the_call_that_saves_its_weights(torch, tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "w.pt")
    line = refusal(tmp_path / "w.pt")
    assert "TorchScript" in line
    assert "state_dict()" in line


def mutated_is_read_or_refused(path: pathlib.Path, content: bytes, times: int) -> None:
    """Change bytes, drop and repeat pieces of `content`, and read each result."""
    lines, longest = [], 20  # bytes of a piece
    wrong = np.random.default_rng(1)
    for _ in range(times):
        damaged = bytearray(content)
        for at in wrong.integers(len(content), size=wrong.integers(1, 4)):
            match wrong.integers(3):
                case 0:
                    damaged[at : at + 1] = bytes([wrong.integers(256)])
                case 1:
                    del damaged[at : at + wrong.integers(1, longest)]
                case 2:
                    start = wrong.integers(len(content))
                    damaged[at:at] = content[start : start + wrong.integers(1, longest)]
        try:
            found = read(written(path, bytes(damaged)))
        except InputError as error:
            lines.append(str(error))
            continue
        assert all(type(each) is np.ndarray for each in found.values())
    assert lines
    assert all(line.isprintable() and len(line) < 600 for line in lines)


@pytest.mark.parametrize("kind", ["Odd", "Normed"])
@pytest.mark.parametrize("times", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_module_with_wrong_bytes_is_read_or_refused(torch, networks, tmp_path, kind, times):
    legacy = {"_use_new_zipfile_serialization": False}  # no checksum hides the pickle
    torch.save(getattr(networks, kind)(), tmp_path / "w.pth", pickle_protocol=2, **legacy)
    content = (tmp_path / "w.pth").read_bytes()
    mutated_is_read_or_refused(tmp_path / "damaged.pth", content, times)
