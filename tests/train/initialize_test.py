"""What a run starts from: every array accounted for, misfits refused, chains of runs."""

import dataclasses
import importlib
import json

import jax
import numpy as np
import pytest

from tests.train.loop_test import assert_identical, parameters
from tests.weights import published
from va_jax.config import parse, with_values
from va_jax.export import arrays
from va_jax.train import initialize, workdir
from va_jax.train.checkpoints import read_best
from va_jax.train.loop import train
from va_jax.types import InputError
from va_jax.weights.load import Weights


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def config_of(variant="frame", data_dir=".", **overrides):
    """The quickstart's variant, as small as its `tiny`."""
    quickstart = importlib.import_module("configs.quickstart")
    config, tiny = quickstart.get_config(variant), quickstart.get_config("tiny")
    with config.unlocked():
        for section in ("data", "window", "train", "eval", "checkpoint"):
            state = config.eval.state
            config[section] = tiny[section]
            config.eval.state = state
        for key in ("stage_sizes", "width", "units"):
            config.model[key] = tiny.model[key]
    config.data.dir, config.log.progress = str(data_dir), False
    config.update_from_flattened_dict(overrides)
    return parse(config)


def init_of(**overrides):
    return dataclasses.replace(config_of().init, **overrides)


def kernel(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


OWN = {
    "params": {
        "backbone": {"conv1": {"kernel": np.zeros((3, 3, 3, 2, 4), np.float32)}},
        "head_valence": {"kernel": np.full((4, 1), 7, np.float32)},
    },
    "batch_stats": {"input": {"mean": np.zeros(3, np.float32)}},
}

GIVEN = {
    "params/backbone/conv1/kernel": kernel(3, 3, 2, 4),
    "params/head_valence/kernel": kernel(4, 1),
    "batch_stats/input/mean": kernel(3),
}


def given(**changes):
    values = {path: value for path, value in (GIVEN | changes).items() if value is not None}
    origin = {path: f"their {path}" for path in values}
    return Weights(values, origin, {"fc.weight": "classifier"}, "file.pth", 224)


def statuses(start):
    return {row.path: row.status for row in start.rows}


def test_every_array_of_both_sides_has_one_row_that_says_what_became_of_it():
    start = initialize.fill(OWN, given(), init_of())
    assert statuses(start) == {
        "params/backbone/conv1/kernel": "inflated (centred, 3 taps)",
        "params/head_valence/kernel": "loaded",
        "batch_stats/input/mean": "loaded",
        "fc.weight": "left out",
    }
    inflated = start.variables["params"]["backbone"]["conv1"]["kernel"]
    np.testing.assert_array_equal(inflated[1], GIVEN["params/backbone/conv1/kernel"])
    assert not inflated[[0, 2]].any()
    np.testing.assert_array_equal(
        start.variables["batch_stats"]["input"]["mean"], GIVEN["batch_stats/input/mean"]
    )
    text = initialize.table(start, 96)
    assert "trained on images 224 px wide; this run uses 96 px" in text
    assert "their params/head_valence/kernel" in text
    assert "px" not in initialize.table(start, 224)


def test_the_config_chooses_how_kernels_are_inflated():
    start = initialize.fill(OWN, given(), init_of(inflate="copied"))
    inflated = start.variables["params"]["backbone"]["conv1"]["kernel"]
    for tap in inflated:
        np.testing.assert_allclose(3 * tap, GIVEN["params/backbone/conv1/kernel"], rtol=1e-6)
    with pytest.raises(InputError, match=r"^init.inflate='middle'.* centred, co"):
        initialize.fill(OWN, given(), init_of(inflate="middle"))


def test_what_the_config_leaves_out_keeps_its_random_start_only_where_that_is_listed_too():
    init = init_of(leave_out=("params/head_.*",), fresh=("params/head_.*",))
    start = initialize.fill(OWN, given(), init)
    assert (start.variables["params"]["head_valence"]["kernel"] == 7).all()
    assert statuses(start)["params/head_valence/kernel"] == "initialised"
    assert statuses(start)["their params/head_valence/kernel"] == "left out"
    with pytest.raises(
        InputError, match=r"arrays do not fit \(1 in all\): params/head_valence/kernel"
    ):
        initialize.fill(OWN, given(), init_of(leave_out=("params/head_.*",), fresh=()))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"params/backbone/conv1/kernel": None},
            r"conv1/kernel \(absent from the source, \(3, 3, 3, 2, 4\)",
        ),
        (
            {"params/more/bias": kernel(2)},
            r"params/more/bias \(\(2,\) in the source, absent from the model\)",
        ),
        (
            {"params/head_valence/kernel": kernel(5, 1)},
            r"\(\(5, 1\) in the source, \(4, 1\) in the model\)",
        ),
        (
            {"params/backbone/conv1/kernel": kernel(5, 3, 3, 2, 4)},
            r"\(5, 3, 3, 2, 4\) in the source",
        ),
        (
            {"params/backbone/conv1/kernel": kernel(3, 3, 3, 4)},
            r"\(3, 3, 3, 4\) in the source, \(3, 3, 3,",
        ),
    ],
)
def test_an_array_that_does_not_fit_is_refused_by_name_with_the_remedy(changes, complaint):
    with pytest.raises(
        InputError, match=rf"^file.pth: these arrays do not fit \(1 in all\): [^\n]*{complaint}"
    ):
        initialize.fill(OWN, given(**changes), init_of())


def test_of_many_misfits_the_first_five_are_named():
    extra = {f"params/other/{i}": kernel(1) for i in range(9)}
    with pytest.raises(InputError, match=r"arrays do not fit \(9 in all\)") as error:
        initialize.fill(OWN, given(**extra), init_of())
    assert str(error.value).count("absent from the model") == 5


def test_rename_moves_paths_before_they_are_matched():
    moved = {path.replace("backbone", "body/net"): value for path, value in GIVEN.items()}
    weights = Weights(moved, {path: path for path in moved}, {}, "file.pth")
    pair = r"(params|batch_stats)/body/net/(.*) -> \1/backbone/\2"
    start = initialize.fill(OWN, weights, init_of(rename=(pair,)))
    assert statuses(start)["params/backbone/conv1/kernel"].startswith("inflated")


@pytest.mark.parametrize(
    ("rename", "complaint"),
    [
        (("backbone",), "'OLD -> NEW'"),
        (("( -> x",), r"init.rename='\( -> x'"),
        ((".* -> params/x",), "both become params/x"),
        (("(.*)mean -> \\2",), "init.rename"),
    ],
)
def test_a_rename_that_cannot_be_is_refused(rename, complaint):
    with pytest.raises(InputError, match=complaint):
        initialize.fill(OWN, given(), init_of(rename=rename))


def test_two_sources_at_once_are_refused():
    with pytest.raises(InputError, match=r"init.from_workdir and init.weights are both set"):
        initialize.read(init_of(from_workdir="a", weights="b"))


@pytest.fixture(scope="module")
def frame(tmp_path_factory, tiny_data):
    """The workdir of a trained frame network."""
    workdir = tmp_path_factory.mktemp("frame") / "run"
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        train(config_of("frame", tiny_data, **{"optim.learning_rate": 1e-2}), workdir)
    return workdir


@pytest.fixture(scope="module")
def i3d(tmp_path_factory, tiny_data, frame):
    """The config and the workdir of an inflated network that started from `frame`."""
    workdir = tmp_path_factory.mktemp("i3d") / "run"
    config = config_of("i3d", tiny_data, **{"init.from_workdir": str(frame)})
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        train(config, workdir)
    return config, workdir


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").open()]


@pytest.mark.slow
def test_a_fine_tuned_frame_network_becomes_an_inflated_one_that_starts_at_its_score(frame, i3d):
    best = max(
        (line for line in lines(frame) if line["kind"] == "dev"),
        key=lambda line: line["ccc_valence"] + line["ccc_arousal"],
    )
    _, inflated = i3d
    first = lines(inflated)[0]
    assert first["step"] == 0
    for dim in ("valence", "arousal"):
        assert abs(best[f"ccc_{dim}"]) > 1e-4
        assert first[f"ccc_{dim}"] == pytest.approx(best[f"ccc_{dim}"], rel=1e-4, abs=1e-6)
    account = json.loads((inflated / "init.json").read_text())
    kinds = {row["status"] for row in account["arrays"]}
    assert kinds == {"loaded", "inflated (centred, 3 taps)"}


@pytest.mark.slow
def test_an_export_gives_a_run_what_the_run_it_came_from_gives(tmp_path, frame):
    workdir.store(tmp_path / "out", workdir.load(frame))
    arrays.write(tmp_path / "out", read_best(frame)[0])
    there = initialize.read(init_of(from_workdir=str(frame)))
    exported = initialize.read(init_of(from_export=str(tmp_path / "out")))
    assert exported.backbones == there.backbones == "resnet"
    assert_identical(exported.values, there.values)


@pytest.mark.slow
def test_a_recurrent_stack_is_put_on_a_trained_frame_network(tmp_path, tiny_data, frame):
    changes = {"init.leave_out": ("params/head_.*",), "optim.rates.backbone": 0.0}
    config = config_of("gru", tiny_data, **{"init.from_workdir": str(frame)}, **changes)
    train(config, tmp_path / "gru")
    there, _ = read_best(frame)
    here = parameters(tmp_path / "gru", config)
    assert_identical(here["params"]["backbone"], there["params"]["backbone"])
    assert_identical(here["batch_stats"], there["batch_stats"])


@pytest.mark.slow
def test_a_refused_start_leaves_no_workdir(tmp_path, tiny_data, frame):
    config = config_of("gru", tiny_data, **{"init.from_workdir": str(frame)})
    with pytest.raises(
        InputError, match=r"step \d: these arrays do not fit \(\d in all\): params/head_a"
    ):
        train(config, tmp_path / "gru")
    config = with_values(config, **{"init.from_workdir": str(tmp_path / "nowhere")})
    with pytest.raises(InputError, match=r"nowhere/config.json: not found"):
        train(config, tmp_path / "gru")
    nowhere = {"init.from_workdir": "", "init.from_export": str(tmp_path / "nowhere")}
    config = with_values(config, **nowhere)
    with pytest.raises(InputError, match=r"nowhere/model.safetensors"):
        train(config, tmp_path / "gru")
    assert not (tmp_path / "gru").exists()


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_starts_from_the_same_weights(tmp_path, i3d):
    """The account and the line of step 0 are written once, and the numbers are the same."""
    config, whole = i3d
    (tmp_path / "again").mkdir()
    for name in ("config.json", "init.json"):
        (tmp_path / "again" / name).write_text((whole / name).read_text())
    step_0 = (whole / "metrics.jsonl").read_text().splitlines()[0]
    (tmp_path / "again" / "metrics.jsonl").write_text(step_0 + "\n")
    train(config, tmp_path / "again")
    assert_identical(parameters(tmp_path / "again", config), parameters(whole, config))
    assert [line["step"] for line in lines(tmp_path / "again")].count(0) == 1


def test_weights_that_would_fit_but_belong_in_another_network_are_refused():
    vggface2 = Weights({}, {}, {}, "resnet50_ft.pkl", 224, "resnet50_vggface2|seresnet50")
    initialize.check_backbone(vggface2, "resnet50_vggface2")
    message = r"not for model.backbone='resnet50'; set it to resnet50_vggface2 or seresnet50$"
    with pytest.raises(InputError, match=message):
        initialize.check_backbone(vggface2, "resnet50")


@pytest.mark.slow
def test_a_run_of_another_backbone_is_refused(tmp_path, tiny_data, frame):
    config = config_of("frame", tiny_data, **{"init.from_workdir": str(frame)})
    config = with_values(config, **{"model.backbone": "vgg"})
    with pytest.raises(InputError, match=r"run .* model.backbone='vgg'; set it to r"):
        train(config, tmp_path / "vgg")


def a_run_from(path, tiny_data, **overrides):
    """A frame network of full depth and four channels that starts from a weight file."""
    narrow = {"model.backbone": "resnet18", "model.stage_sizes": (), "model.width": published.WIDTH}
    return config_of("frame", tiny_data, **narrow, **{"init.weights": str(path)}, **overrides)


@pytest.mark.slow
def test_a_torch_file_trains_and_its_input_scale_comes_along(tmp_path, tiny_data):
    torch = pytest.importorskip("torch")
    arrays, _ = published.resnet(published.torchvision, "resnet18")
    for name, array in arrays.items():  # else eighteen layers overflow
        arrays[name] = 1 + np.abs(array) if "running_var" in name else array / 8
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "resnet18.pth")
    frozen = {"optim.rates.backbone": 0.0, "train.steps": 1}
    config = a_run_from(tmp_path / "resnet18.pth", tiny_data, **frozen)
    train(config, tmp_path / "run")
    variables = parameters(tmp_path / "run", config)
    np.testing.assert_array_equal(
        variables["params"]["backbone"]["layer2_0"]["downsample_conv"]["kernel"],
        arrays["layer2.0.downsample.0.weight"].transpose(2, 3, 1, 0),
    )
    np.testing.assert_allclose(variables["batch_stats"]["input"]["std"], [0.229, 0.224, 0.225])
    account = json.loads((tmp_path / "run" / "init.json").read_text())
    assert account["source"].endswith("resnet18.pth, read as torchvision")
    assert account["size"] == 224
    assert {row["source"] for row in account["arrays"]} >= set(arrays) - {"fc.weight"} - {
        name for name in arrays if name.endswith("num_batches_tracked")
    } - {"fc.bias"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "weights.pth"),
        (b"\x80\x04cposix\nsystem\nX\x04\x00\x00\x00true\x85R.", "posix.system"),
        (b"PK\x03\x04 cut off", "weights.pth"),
    ],
)
def test_a_foreign_or_dangerous_file_is_refused_and_leaves_no_workdir(
    tmp_path, tiny_data, content, message
):
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        train(a_run_from(tmp_path / "weights.pth", tiny_data), tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_weights_of_a_deeper_network_are_refused_with_the_first_arrays_that_differ(
    tmp_path, tiny_data
):
    arrays, _ = published.resnet(published.torchvision, "resnet50")
    np.savez(tmp_path / "resnet50.npz", **arrays)
    pattern = (
        r"resnet50.npz, read as torchvision: these arrays do not fit \(\d+ in all\): "
        r"([^,]+\([^)]*\) in the source, )+"
    )
    with pytest.raises(InputError, match=pattern) as error:
        train(a_run_from(tmp_path / "resnet50.npz", tiny_data), tmp_path / "run")
    assert (
        "params/backbone/layer1_0/conv1/kernel ((1, 1, 4, 4) in the source, (3, 3, 4, 4) in the"
        in str(error.value)
    )
