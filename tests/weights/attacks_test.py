"""Well-known attack pickles at every door of the weight reader: nothing of them runs.

One process reads all of them while an audit hook refuses every event but the opening of the file.
"""

import json
import pathlib
import subprocess
import sys

import pytest

from tests.weights.read_test import SIX, refusal, written
from tests.weights.torch_pickles import (
    call,
    integer,
    module,
    name,
    row,
    storage,
    table,
    tensor,
    text,
    torch_zip,
)
from va_jax.weights.read import read

CANARY = "canary"
TOUCH = text(f"touch {CANARY}")
CODE = text(f"open('{CANARY}', 'w').close()")
STRING = f"S'touch {CANARY}'\n".encode()
GOOD = tensor(storage())


def attribute(module_name: str, *path: str) -> bytes:
    """Return a pickle of an attribute that no pickle can name at once."""
    found = call("builtins.__import__", text(module_name))
    for part in path:
        found = call("builtins.getattr", found, text(part))
    return found


PARTIAL = name("functools.partial") + row(name("builtins.print")) + b"R"
PARTIAL_STATE = row(name("os.system"), row(TOUCH), table(), table()) + b"b"
ATTACKS = {
    "os.system by REDUCE": call("os.system", TOUCH),
    "os.system by OBJ": b"(" + name("os.system") + TOUCH + b"o",
    "os.system by INST": b"(" + STRING + b"ios\nsystem\n",
    "eval": call("builtins.eval", CODE),
    "exec": call("builtins.exec", CODE),
    "Popen": call("subprocess.Popen", row(text("touch"), text(CANARY))),
    "memmap by NEWOBJ": name("numpy.memmap") + row(text(CANARY)) + b"\x81",
    "memmap by NEWOBJ_EX": name("numpy.memmap")
    + row(text(CANARY))
    + table(mode=text("r"))
    + b"\x92",
    "runpy": call("runpy.run_path", text(f"{CANARY}.py")),
    "getattr of an imported module": attribute("os", "system") + row(TOUCH) + b"R",
    "attrgetter": call("operator.attrgetter", text("system"))
    + row(call("builtins.__import__", text("os")))
    + b"R"
    + row(TOUCH)
    + b"R",
    "importlib": call("importlib.import_module", text(CANARY)),
    "__import__": call("builtins.__import__", text(CANARY)),
    "pip": call("pip.main", row(text("install"), text(CANARY))),
    "a state that is called": PARTIAL + PARTIAL_STATE + b")R",
    "open to write": call("builtins.open", text(CANARY), text("w")),
    "numpy.load": call("numpy.load", text(CANARY)),
    "numpy.fromfile": call("numpy.fromfile", text(CANARY)),
    "torch.load": call("torch.load", text(CANARY)),
    "webbrowser": call("webbrowser.open", text(f"http://{CANARY}/")),
    "socket": call("socket.create_connection", row(text(CANARY), integer(80))),
    "ctypes": call("ctypes.CDLL", text(CANARY)),
    "rmtree": call("shutil.rmtree", text(CANARY)),
}
RUN = [kind for kind in ATTACKS if kind not in ("importlib", "pip", "torch.load", "webbrowser")]
"""Attacks that Python's own unpickler tries here; the others need more packages or a browser, or
leave no trace of the canary."""

POISON = table(
    __class__=name("os.system"),
    __setstate__=name("os.system"),
    __reduce__=name("os.system"),
    array=name("os.system"),
    set_state=name("os.system"),
    append=name("os.system"),
    name=TOUCH,
    state=table(_parameters=table(w=GOOD), _buffers=table(), _modules=table()),
)
STRANGE = name("strange.Kind") + b")\x81"
POISONED = {
    "by its state": STRANGE + POISON + b"b",
    "by slots": STRANGE + row(b"N", POISON) + b"b",
    "before it is called": name("strange.Kind") + POISON + b"b)R",
    "twice, and filled": STRANGE + POISON + b"b" + POISON + b"b]a(" + TOUCH + b"]u(" + TOUCH + b"e",
}

READER = """
import json, pathlib, pickle, sys
from va_jax.types import InputError
from va_jax.weights.read import read

folder, reading, events, touched = pathlib.Path(sys.argv[1]), None, [], []

def hook(event, arguments):
    if event == "builtins.id":
        return
    if reading:
        if event != "open" or str(arguments[0]) != str(reading) or arguments[1] not in ("r", "rb"):
            events.append(f"{event} {arguments}")
            raise PermissionError(event)
    elif "canary" in repr(arguments):
        touched.append(event)
        raise PermissionError(event)

read(folder / "warm.pth")
sys.addaudithook(hook)
dangerous = []
for name in sys.argv[2:]:
    try:
        pickle.loads((folder / f"{name}.pkl").read_bytes())
    except BaseException:
        pass
    if touched:
        dangerous.append(name)
    touched.clear()
modules, results = set(sys.modules), {}
for path in sorted(folder.glob("*.p??")):
    reading = path
    try:
        results[path.name] = sorted(read(path))
    except InputError as error:
        results[path.name] = str(error)
    reading = None
imported = sorted(set(sys.modules) - modules)
print(json.dumps(dict(results=results, events=events, imported=imported, dangerous=dangerous)))
"""


def zip_of(path: pathlib.Path, opcodes: bytes) -> pathlib.Path:
    return torch_zip(path, opcodes, {"data/0": SIX.tobytes()})


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Read every attack at every door in another process; return what it found there."""
    folder = tmp_path_factory.mktemp("attacks")
    zip_of(folder / "warm.pth", module({"w": GOOD}))
    for kind, value in (ATTACKS | POISONED).items():
        written(folder / f"{kind}.pkl", b"\x80\x03" + value + b".")
        zip_of(folder / f"{kind}.top.pth", value)
        zip_of(folder / f"{kind}.parameter.pth", module({"w": GOOD, "v": value}))
        zip_of(folder / f"{kind}.child.pth", module({"w": GOOD}, {"v": value}))
        zip_of(folder / f"{kind}.beside.pth", table(w=GOOD, v=value))
        zip_of(folder / f"{kind}.before.pth", value + b"0" + table(w=GOOD))
        zip_of(folder / f"{kind}.checkpoint.pth", table(model=module({"w": GOOD}), v=value))
        zip_of(folder / f"{kind}.ignored.pth", module({"w": GOOD}, hooks=table(a=row(value))))
    done = subprocess.run(
        [sys.executable, "-c", READER, folder, *RUN], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert not pathlib.Path(CANARY).exists()
    return json.loads(done.stdout)


def test_nothing_runs_is_opened_or_is_imported(outcome):
    assert len(outcome["results"]) == 1 + 8 * len(ATTACKS | POISONED)
    assert outcome["events"] == []
    assert outcome["imported"] == []


def test_pythons_own_unpickler_would_run_these_pickles(outcome):
    assert set(RUN) - set(outcome["dangerous"]) == set()


DOORS = ("top", "parameter", "child", "beside", "before", "checkpoint")


@pytest.mark.parametrize("kind", ATTACKS | POISONED)
def test_an_attack_is_refused_by_its_name_unless_it_is_in_ignored_state(outcome, kind):
    for door in DOORS:
        line = outcome["results"][f"{kind}.{door}.pth"]
        assert isinstance(line, str), door
        assert "which a weight file never needs" in line, door
    assert "which a weight file never needs" in outcome["results"][f"{kind}.pkl"]
    assert outcome["results"][f"{kind}.ignored.pth"] == ["w"]


@pytest.mark.parametrize("state", [POISON, row(b"N", POISON), row(POISON, POISON)])
def test_a_poisoned_tensor_or_set_is_refused(tmp_path, state):
    for value in (GOOD + state + b"b", b"\x8f" + state + b"b"):
        path = zip_of(tmp_path / "w.pth", module({"w": GOOD}, hooks=value))
        assert "sets the state of an object that has none" in refusal(path)


def test_a_module_with_poison_in_its_state_gives_its_parameters_only(tmp_path):
    state = {"array": b"N", "set_state": b"N", "__class__": name("os.system"), "state": POISON}
    found = read(zip_of(tmp_path / "w.pth", module({"w": GOOD}, **state)))
    assert list(found) == ["w"]
