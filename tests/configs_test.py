"""The papers' configs: every named row builds at its pinned size and runs as `tiny`."""

import functools
import importlib
import itertools
import json
import pathlib
import re
import shlex
import shutil

import jax
import numpy as np
import pytest
from absl import flags
from flax.traverse_util import flatten_dict
from ml_collections import config_flags

import configs
from va_jax import config as configuration
from va_jax import keys
from va_jax.config import with_values
from va_jax.evaluation.cache_features import cache
from va_jax.evaluation.evaluate import evaluate
from va_jax.models.build import build_model, parameter_count
from va_jax.train import initialize, summary
from va_jax.train.logs import SPENT
from va_jax.train.loop import train
from va_jax.train.state import initial_variables
from va_jax.types import DIMS
from va_jax.weights import load
from va_jax.weights.load import Weights

pytestmark = pytest.mark.usefixtures("without_page")

FOLDER = pathlib.Path(configs.__file__).parent
MODULES = {
    path.stem: importlib.import_module(f"configs.{path.stem}") for path in FOLDER.glob("*.py")
}
FILES = {name: module for name, module in MODULES.items() if hasattr(module, "ROWS")}
ROWS = [f"{name}:{row}" for name, module in FILES.items() for row in module.ROWS]

COUNTS = {
    "kollias2017:1rnn": 37_084_226,
    "kollias2017:3rnn": 44_459_586,
    "kollias2017:affwildnet_resnet50,gru": 24_443_202,
    "kollias2017:affwildnet_resnet50,gru,landmarks": 27_510_270,
    "kollias2017:affwildnet_resnet50,lstm": 24_754_498,
    "kollias2017:affwildnet_resnet50,lstm,landmarks": 27_751_422,
    "kollias2017:affwildnet_vggface,gru": 35_314_754,
    "kollias2017:affwildnet_vggface,gru,landmarks": 35_871_810,
    "kollias2017:affwildnet_vggface,lstm": 35_888_194,
    "kollias2017:affwildnet_vggface,lstm,landmarks": 36_445_250,
    "kollias2017:resnet50_cnn": 23_512_130,
    "kollias2017:vgg16_cnn": 50_382_658,
    "kollias2017:vggface_cnn_2000": 41_791_154,
    "kollias2017:vggface_cnn_4096": 50_382_658,
    "teixeira2021:resnet50,frame": 23_512_130,
    "teixeira2021:resnet50,i3d_centred": 46_165_442,
    "teixeira2021:resnet50,i3d_copied": 46_165_442,
    "teixeira2021:resnet50,lstm": 26_394_178,
    "teixeira2021:vgg16,frame": 134_268_738,
    "teixeira2021:vgg16,i3d_centred": 163_689_666,
    "teixeira2021:vgg16,i3d_copied": 163_689_666,
    "teixeira2021:vgg16,lstm": 139_243_842,
    "teixeira2021:vgg16bn,frame": 134_277_186,
    "teixeira2021:vgg16bn,i3d_centred": 163_698_114,
    "teixeira2021:vgg16bn,i3d_copied": 163_698_114,
    "teixeira2021:vgg16bn,lstm": 139_252_290,
    "tzirakis2021:resnet18_lstm": 12_489_794,
    "tzirakis2021:resnet34_lstm": 22_597_954,
    "tzirakis2021:resnet50_lstm": 26_394_178,
}
"""Parameters of every network; loss and frozen parts make no other one."""

SMALLER = {"width", "stage_sizes", "fc", "units", "landmark_points"}
"""Keys of the model in which a tiny row may differ from its row."""


@pytest.fixture(autouse=True)
def _optax_promotes_types():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def config_of(row, *words):
    name, _, variant = row.partition(":")
    return configuration.parse(FILES[name].get_config(",".join((variant, *words))))


def network_of(row):
    name, _, variant = row.partition(":")
    kept = [word for word in variant.split(",") if word not in ("ccc", "mse", "frozen")]
    return f"{name}:{','.join(kept)}"


@functools.cache
def shapes(row, tiny=False):
    """Abstract variables by path."""
    config = config_of(row, *["tiny"] * tiny)
    model = build_model(config.model, DIMS)
    size = config.data.size or 32
    variables = jax.eval_shape(lambda: initial_variables(model, size, 0))
    return flatten_dict(variables, sep="/")


def test_every_row_has_a_pinned_count_and_every_count_a_row():
    assert set(FILES) == {"kollias2017", "teixeira2021", "tzirakis2021"}
    assert {network_of(row) for row in ROWS} == set(COUNTS)
    assert len(set(ROWS)) == len(ROWS) == 12 + 3 + 2 * 2**4 + 4 + 2


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_legal_and_has_its_pinned_number_of_parameters(row):
    config_of(row)
    assert config_of(row).model == config_of(network_of(row)).model
    params = [x for path, x in shapes(network_of(row)).items() if path.startswith("params/")]
    assert parameter_count(params) == COUNTS[network_of(row)]


def dense(*widths):
    return sum(below * above + above for below, above in itertools.pairwise(widths))


def lstm(below, units):
    """Two layers: four gates each see the input, the state and one bias."""
    return sum(4 * units * (fed + units + 1) for fed in (below, units))


def gru(below, units):
    """Two layers: three gates, and a second bias of the last, which the reset gate lies between."""
    return sum(3 * units * (fed + units + 1) + units for fed in (below, units))


VGG_FC = dense(25_088, 4096, 4096)
VGG16, VGG16BN = (whole - VGG_FC - dense(4096, 1000) for whole in (138_357_544, 138_365_992))
RESNET18, RESNET34 = (whole - dense(512, 1000) for whole in (11_689_512, 21_797_672))
RESNET50 = 25_557_032 - dense(2048, 1000)
"""Of the whole networks, as torchvision documents them, what is left without classifiers."""

VGG16_KERNELS = VGG16 - (2 * 64 + 2 * 128 + 3 * 256 + 6 * 512)
RESNET50_KERNELS = 49 * 3 * 64 + 9 * (3 * 64**2 + 4 * 128**2 + 6 * 256**2 + 3 * 512**2)
"""What the papers inflate: the convolutions over more than one pixel, without biases."""

BY_HAND = {
    "kollias2017:vggface_cnn_4096": (VGG16, dense(4608, 4096, 4096, 2)),
    "kollias2017:vggface_cnn_2000": (VGG16, dense(4608, 4096, 2000, 2)),
    "kollias2017:affwildnet_vggface,gru": (
        *(VGG16, dense(4608, 4096)),
        *(gru(4096, 128), dense(128, 2)),
    ),
    "kollias2017:affwildnet_vggface,lstm,landmarks": (
        *(VGG16, dense(4608 + 136, 4096)),
        *(lstm(4096, 128), dense(128, 2)),
    ),
    "kollias2017:affwildnet_resnet50,lstm": (RESNET50, lstm(2048, 128), dense(128, 2)),
    "kollias2017:affwildnet_resnet50,gru,landmarks": (
        *(RESNET50, dense(2048 + 136, 1500)),
        *(gru(1500, 128), dense(128, 2)),
    ),
    "kollias2017:1rnn": (VGG16, dense(4608, 4096), gru(4096 + 4608, 128), dense(128, 2)),
    "kollias2017:3rnn": (
        *(VGG16, dense(4608, 4096)),
        *(gru(4096, 128), gru(4608, 128), gru(6 * 6 * 512, 128), dense(3 * 128, 2)),
    ),
    "teixeira2021:vgg16,frame": (VGG16, VGG_FC, dense(4096, 2)),
    "teixeira2021:vgg16bn,lstm": (VGG16BN, VGG_FC, lstm(4096, 256), dense(256, 2)),
    "teixeira2021:vgg16,i3d_copied": (VGG16, 2 * VGG16_KERNELS, VGG_FC, dense(4096, 2)),
    "teixeira2021:resnet50,i3d_centred": (RESNET50, 2 * RESNET50_KERNELS, dense(2048, 2)),
    "tzirakis2021:resnet50_lstm": (RESNET50, lstm(2048, 256), dense(256, 2)),
    "tzirakis2021:resnet34_lstm": (RESNET34, lstm(512, 256), dense(256, 2)),
    "tzirakis2021:resnet18_lstm": (RESNET18, lstm(512, 256), dense(256, 2)),
}


@pytest.mark.parametrize("network", BY_HAND)
def test_pinned_counts_are_those_of_the_papers_layers(network):
    assert COUNTS[network] == sum(BY_HAND[network])


@pytest.mark.slow
@pytest.mark.parametrize("network", COUNTS)
def test_the_costs_in_the_docstrings_are_those_of_the_summary(network):
    config = config_of(network)
    model = build_model(config.model, DIMS)
    (whole,) = summary.layer_rows(model, config.data.size, depth=0)
    lines = FILES[network.partition(":")[0]].__doc__.splitlines()
    stated = " ".join(line for line in lines if f"{whole.parameters:,}" in line)
    gflops = [float(number) for number in re.findall(r"\d+\.\d\d\b", stated)]
    assert any(whole.flops / 1e9 == pytest.approx(each, rel=0.01) for each in gflops)


@pytest.mark.slow
@pytest.mark.parametrize("row", COUNTS)
def test_a_tiny_row_has_the_parts_of_its_row(row):
    whole, tiny = config_of(row), config_of(row, "tiny")
    before, after = configuration.to_tree(whole), configuration.to_tree(tiny)
    differing = {key for key, value in before["model"].items() if value != after["model"][key]}
    assert differing <= SMALLER
    assert len(tiny.model.fc) == len(whole.model.fc)
    for section in ("augment", "init", "loss", "optim"):
        assert after[section] == before[section]
    assert tiny.eval.state == whole.eval.state
    for path, leaf in shapes(row, tiny=True).items():
        assert len(shapes(row)[path].shape) == len(leaf.shape)


@pytest.mark.parametrize(
    ("length", "overlap", "hop"),
    [
        *((16, ".2", 13), (16, ".5", 8), (16, ".8", 3)),
        *((32, ".2", 26), (32, ".5", 16), (32, ".8", 6)),
        *((64, ".2", 51), (64, ".5", 32), (64, ".8", 13)),
    ],
)
def test_windows_overlap_by_the_share_that_the_variant_names(length, overlap, hop):
    config = config_of("teixeira2021:vgg16,lstm", f"overlap={overlap}", f"length={length}")
    assert (config.window.length, config.window.hop) == (length, hop)
    assert (config.eval.length, config.eval.hop, config.eval.state) == (length, hop, "window")


@pytest.mark.parametrize(
    ("row", "key", "value"),
    [
        ("teixeira2021:vgg16,frame", "eval.fusion", "mean"),
        ("teixeira2021:vgg16,fusion=extremum,i3d_copied", "eval.fusion", "extremum"),
        ("teixeira2021:vgg16,i3d_copied", "init.inflate", "copied"),
        ("teixeira2021:vgg16,i3d_centred", "init.inflate", "centred"),
        ("teixeira2021:vgg16,lstm,init=vggface", "model.backbone", "vgg16"),
        ("teixeira2021:resnet50,lstm,init=vggface", "model.backbone", "resnet50_vggface2"),
        ("teixeira2021:resnet50,frame,init=vggface", "init.format", "vggface2"),
        ("teixeira2021:resnet50,frame,init=rafdb", "init.format", "torchvision"),
        ("teixeira2021:resnet50,frame,init=imagenet", "model.backbone", "resnet50"),
        ("teixeira2021:vgg16,i3d_copied", "optim.rates.backbone", 0.005),
        ("teixeira2021:vgg16,i3d_copied,init=random", "optim.rates.backbone", 1.0),
        ("tzirakis2021:resnet50_lstm", "data.name", "aff_wild2/112"),
        ("tzirakis2021:resnet50_lstm,recola", "data.name", "recola/112"),
        ("kollias2017:1rnn", "data.name", "aff_wild/96"),
        ("kollias2017:1rnn,afew_va", "data.name", "afew_va/96"),
        ("kollias2017:3rnn,mse", "loss.ccc", 0.0),
        ("kollias2017:3rnn,mse", "loss.mse", 1.0),
        ("kollias2017:3rnn,ccc", "loss.mse", 0.0),
        ("kollias2017:3rnn,frozen", "optim.rates.backbone", 0.0),
        ("kollias2017:3rnn", "optim.rates.backbone", 1.0),
        ("kollias2017:3rnn,lstm", "model.temporal", "lstm"),
        ("kollias2017:resnet50_cnn", "model.temporal", "none"),
    ],
)
def test_a_word_sets_its_key(row, key, value):
    assert keys.flatten(configuration.to_tree(config_of(row)))[key] == value


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "teixeira2021:vgg19,frame",
            "'vgg19' is unknown; use one word of each group: vgg16 | vgg16bn |",
        ),
        ("teixeira2021:frame,vgg16", "'frame' is unknown; use one word of each group: vgg16 |"),
        ("teixeira2021:vgg16,lenght=16", "'lenght=16' is unknown; use .* length=16 | length="),
        ("teixeira2021:vgg16,frame,lstm", "'lstm' is a second choice of form"),
        ("teixeira2021:vgg16bn,init=vggface", "'init=vggface' is unknown"),
        ("tzirakis2021:resnet50_lstm,vggface", "'vggface' is unknown; use .* pretrain | recola"),
        ("kollias2017:vggface_cnn_4096,gru", "'gru' is unknown"),
        ("kollias2017:", "'' is unknown; use one word of each group: vggface_cnn_4096 |"),
    ],
)
def test_an_unknown_word_is_refused_with_the_file_and_the_legal_ones(row, message):
    with pytest.raises(ValueError, match=message.replace("|", r"\|")) as refusal:
        config_of(row)
    name, _, variant = row.partition(":")
    assert str(refusal.value).startswith(f"configs/{name}.py:{variant}: ")
    assert "\n" not in str(refusal.value)


def zeros(shape):
    return np.broadcast_to(np.float32(0), shape)  # takes no memory


def run_of(row):
    """What a run of that row leaves, all zeros."""
    values = {path: zeros(leaf.shape) for path, leaf in shapes(row).items()}
    backbones = config_of(row).model.backbone
    return Weights(values, {path: path for path in values}, {}, row, backbones=backbones)


def layers(start, status):
    """The layers whose arrays became `status`, by their paths or, of what is left out, sources."""
    rows = [row for row in start.rows if row.status == status]
    return {row.path.rpartition("/")[0].removeprefix("params/") for row in rows}


def after(given, row, **changes):
    """What `row` starts from after `given`, with changes to its `init`."""
    config = with_values(config_of(row), **{f"init.{key}": value for key, value in changes.items()})
    own = {"params": {}, "batch_stats": {}}
    for path, leaf in shapes(row).items():
        own[path.partition("/")[0]][path.partition("/")[2]] = leaf
    initialize.check_backbone(given, config.model.backbone)
    return initialize.fill(own, given, config.init)


HEADS = {f"head_{dim}" for dim in DIMS}
NEW = {"temporal/layer_0", "temporal/layer_1"} | HEADS
BRANCHES = {f"temporal_{part}/layer_{n}" for part in ("fc", "pool", "conv") for n in (0, 1)}
STACK_TO_BRANCH = (r"params/temporal/(.*) -> params/temporal_fc/\1",)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second", "left_out", "initialised"),
    [
        ("teixeira2021:vgg16,frame", "teixeira2021:vgg16,lstm", HEADS, NEW),
        ("teixeira2021:resnet50,frame", "teixeira2021:resnet50,i3d_copied", set(), set()),
        ("teixeira2021:resnet50,frame", "teixeira2021:resnet50,i3d_centred", set(), set()),
        ("tzirakis2021:resnet50_lstm", "tzirakis2021:resnet50_lstm,recola", set(), set()),
        ("kollias2017:resnet50_cnn", "kollias2017:affwildnet_resnet50,lstm", HEADS, NEW),
        (
            "kollias2017:vggface_cnn_2000",
            "kollias2017:affwildnet_vggface,gru",
            {"fc/layer_1"} | HEADS,
            NEW,
        ),
        ("kollias2017:1rnn,mse", "kollias2017:1rnn,afew_va", set(), set()),
        ("kollias2017:resnet50_cnn", "kollias2017:resnet50_cnn,recola", set(), set()),
    ],
)
def test_a_stage_takes_from_the_one_before_all_that_fits(first, second, left_out, initialised):
    start = after(run_of(first), second)
    assert layers(start, "left out") == left_out
    assert layers(start, "initialised") == initialised
    if "i3d" in second:
        assert layers(start, f"inflated ({second.rpartition('_')[2]}, 3 taps)")
    assert len(layers(start, "loaded")) > 10


def test_the_stack_of_affwildnet_becomes_one_of_three():
    given = run_of("kollias2017:affwildnet_vggface,gru")
    start = after(given, "kollias2017:3rnn", rename=STACK_TO_BRANCH)
    loaded = {"temporal_fc/layer_0", "temporal_fc/layer_1"}
    assert layers(start, "loaded") & BRANCHES == loaded
    assert layers(start, "initialised") == BRANCHES - loaded | HEADS


def vgg_file(name_of, fully_connected):
    """Somebody's VGG-16, all zeros; `name_of(index, stage, number)` names its convolutions."""
    widths, below, index = {}, 3, 0
    for stage, size in enumerate((2, 2, 3, 3, 3), 1):
        for number in range(1, size + 1):
            width = (64, 128, 256, 512, 512)[stage - 1]
            widths[name_of(index, stage, number)] = (width, below, 3, 3)
            below, index = width, index + 2
        index += 1
    widths |= zip(fully_connected, ((4096, 25_088), (4096, 4096), (1000, 4096)), strict=True)
    kernels = {f"{name}.weight": zeros(shape) for name, shape in widths.items()}
    return kernels | {f"{name}.bias": zeros(shape[:1]) for name, shape in widths.items()}


VGG_FILES = {
    "vggface": vgg_file(lambda _, stage, number: f"conv{stage}_{number}", ("fc6", "fc7", "fc8")),
    "torchvision": vgg_file(
        lambda index, *_: f"features.{index}", ("classifier.0", "classifier.3", "classifier.6")
    ),
}


@pytest.mark.parametrize("format", VGG_FILES)
@pytest.mark.parametrize(
    ("row", "initialised"),
    [
        ("kollias2017:vgg16_cnn", {"fc/layer_0", "fc/layer_1"} | HEADS),
        ("kollias2017:affwildnet_vggface,gru", {"fc/layer_0"} | NEW),
        ("kollias2017:3rnn,recola", {"fc/layer_0"} | BRANCHES | HEADS),
    ],
)
def test_at_96_pixels_a_vgg_file_gives_its_convolutions_and_its_input(format, row, initialised):
    leave_out = config_of(row).init.leave_out
    start = after(load.translate(VGG_FILES[format], format, "a file", leave_out), row)
    assert layers(start, "initialised") == initialised
    assert {"backbone/conv1_1", "backbone/conv5_3", "batch_stats/input"} <= layers(start, "loaded")


@pytest.mark.slow  # copies half a gigabyte
@pytest.mark.parametrize(("word", "format"), [("vggface", "vggface"), ("imagenet", "torchvision")])
def test_at_224_pixels_a_vgg_file_gives_all_but_the_heads(word, format):
    row = f"teixeira2021:vgg16,frame,init={word}"
    assert config_of(row).init.format in ("auto", format)
    start = after(load.translate(VGG_FILES[format], format, "a file"), row)
    assert layers(start, "initialised") == HEADS


def tiny_of(row, data_dir):
    changes = {"data.dir": str(data_dir), "log.progress": False}
    return with_values(config_of(row, "tiny"), **changes)


TRAINED = (
    "tzirakis2021:resnet18_lstm",
    "teixeira2021:vgg16bn,i3d_copied",
    "teixeira2021:resnet50,i3d_centred",
    "kollias2017:3rnn",
    "kollias2017:affwildnet_vggface,lstm,landmarks,mse",
    "kollias2017:affwildnet_resnet50,gru,landmarks,mse,frozen",
)
"""Rows with every block, form over time, way to inflate, loss and branch, in different pairs."""


SPEED = ("frames_per_s", "input_wait", *(f"{each}_s" for each in ("step", *SPENT)))


def logged(workdir, step, but=()):
    """What a run logged at a step: losses, gradients, dev CCC."""
    entries = map(json.loads, (workdir / "metrics.jsonl").open())
    return [{k: x[k] for k in x if k not in but} for x in entries if x["step"] == step]


@pytest.mark.slow
@pytest.mark.parametrize("row", TRAINED)
def test_a_tiny_row_trains_goes_on_after_a_stop_and_is_scored(row, tmp_path, tiny_data):
    config = tiny_of(row, tiny_data)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(config, whole)
    shutil.copytree(whole, stopped)
    shutil.rmtree(stopped / "checkpoints" / "2")
    train(config, stopped)
    assert logged(stopped, 1) == logged(whole, 1)  # in speed too: that step was not taken again
    assert logged(stopped, 2, but=SPEED) == logged(whole, 2, but=SPEED)
    evaluate(config, stopped)
    scores = json.loads((stopped / "metrics.json").read_text())["splits"]["test"]["scores"]
    assert all(np.isfinite(scores[dim]["pooled"]["ccc"]) for dim in DIMS)


CHAINS = re.findall(r"^python -m va_jax.main (.*)$", (FOLDER / "chains.md").read_text(), re.M)


def parsed(command):
    """Config and workdir of a command of chains.md, read as the program reads them."""
    values = flags.FlagValues()
    argv = ["main", *shlex.split(command)]
    config = config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    workdir = flags.DEFINE_string("workdir", None, "", flag_values=values)
    values(argv)
    return configuration.parse(config.value), workdir.value


@pytest.mark.parametrize("command", CHAINS)
def test_a_command_of_a_chain_is_legal_and_follows_the_one_it_starts_from(command):
    config, workdir = parsed(command)
    build_model(config.model, DIMS)
    earlier = [parsed(other) for other in CHAINS[: CHAINS.index(command)]]
    before = {where: given for given, where in earlier}
    assert workdir not in before
    if config.init.from_workdir:
        assert before[config.init.from_workdir].model.backbone == config.model.backbone
    if config.init.rename:
        assert config.init.rename == STACK_TO_BRANCH


@pytest.mark.slow
def test_the_chains_run(tmp_path, tiny_data):
    ran = []
    for command in CHAINS:
        command = re.sub(r"(--config=\S+)", r"\1,tiny", command)
        config, workdir = parsed(re.sub(r" --config.init.weights=\S+", "", command))
        if config in ran:  # it differs only in its data set, which `tiny` replaces
            continue
        ran.append(config)
        changes = {"data.dir": str(tiny_data), "log.progress": False, "train.steps": 1}
        if config.init.from_workdir:
            changes["init.from_workdir"] = str(tmp_path / config.init.from_workdir)
        config = with_values(config, **changes)
        train(config, tmp_path / workdir)
        assert (tmp_path / workdir / "init.json").exists() == bool(config.init.from_workdir)
    assert len(ran) >= len(CHAINS) // 2


OWN = MODULES["own_videos"]


@pytest.mark.slow
def test_the_small_network_for_own_videos_fits_a_laptop():
    config = with_values(configuration.parse(OWN.get_config()), **{"data.size": 112})
    model = build_model(config.model, DIMS)
    assert summary.step_cost(config, model, 112).peak < 2**30


@pytest.mark.slow
def test_the_networks_for_own_videos_are_legal_and_the_tiny_one_trains(tmp_path, tiny_data):
    for network in OWN.NETWORKS:
        build_model(configuration.parse(OWN.get_config(network)).model, DIMS)
    config = configuration.parse(OWN.get_config("tiny"))
    train(with_values(config, **{"data.dir": str(tiny_data)}), tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "2").is_dir()


ON_FEATURES = MODULES["heads"]


@pytest.mark.parametrize("stack", ON_FEATURES.STACKS)
@pytest.mark.parametrize("backbone", ON_FEATURES.BACKBONES)
def test_every_stack_on_features_is_legal_with_every_backbone(stack, backbone):
    config = configuration.parse(ON_FEATURES.get_config(f"{stack},{backbone}"))
    build_model(with_values(config, **{"data.features": "cached"}).model, DIMS)


@pytest.mark.slow
@pytest.mark.parametrize("stack", ["tcn_lru", "none"])
def test_a_tiny_stack_trains_on_the_features_of_its_backbone(stack, tmp_path, tiny_data):
    here = {"data.dir": str(tiny_data)}
    whole = with_values(
        configuration.parse(ON_FEATURES.get_config("none,tiny")),
        **here,
        **{"optim.rates.backbone": 1.0},
    )
    train(whole, tmp_path / "whole")
    config = configuration.parse(ON_FEATURES.get_config(f"{stack},tiny"))
    config = with_values(config, **here, **{"init.from_workdir": str(tmp_path / "whole")})
    cache(config, tmp_path / "cached", flip=True)
    config = with_values(config, **{"data.features": str(tmp_path / "cached")})
    train(config, tmp_path / "run")
    evaluate(config, tmp_path / "run")
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_the_stack_on_cached_features_for_own_videos_acts_on_no_pixels():
    config = configuration.parse(OWN.get_config("cached"))
    with_values(config, **{"data.features": "cached", "data.name": "video_folder/112"})
