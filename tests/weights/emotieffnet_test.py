"""EmotiEffLib's weight file becomes a model that equals the network in the file."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from configs.emotieffnet import NETWORKS, get_config
from tests import timm_models
from tests.models.efficientnet_test import with_random_norms
from tests.readme_test import cut
from va_jax import config as configuration
from va_jax.cli.command import main
from va_jax.config import with_values
from va_jax.models.build import build_model
from va_jax.train.checkpoints import read_best
from va_jax.train.loop import train
from va_jax.types import DIMS, InputError
from va_jax.weights.estimators import ESTIMATORS
from va_jax.weights.load import load, translate

OUTPUTS = ESTIMATORS["emotieffnet"].outputs
LOGITS = OUTPUTS[:8]


def arrays_of(classes=10, wrapped=False, name="tf_efficientnet_b0"):
    """Return the state dict of timm's network with random parameters as numpy arrays."""
    net = timm_models.imported().create_model(name, num_classes=classes)
    prefix = ("classifier.", "classifier.0.")
    return {
        key.replace(*prefix) if wrapped else key: value.numpy()
        for key, value in net.state_dict().items()
    }


@pytest.mark.parametrize("wrapped", [False, True])
def test_every_output_becomes_a_head(wrapped):
    arrays = arrays_of(wrapped=wrapped)
    weights = translate(arrays, "emotieffnet", "a file")
    last = arrays["classifier.0.weight" if wrapped else "classifier.weight"]
    for number, name in enumerate(OUTPUTS):
        head = weights.values[f"params/head_{name}/kernel"]
        np.testing.assert_array_equal(head, last[number : number + 1].T)
    assert OUTPUTS[-2:] == DIMS
    assert len(weights.values) == len(arrays) - 49 + 2 * 9 + 2  # no counters; heads; mean and std


def test_the_format_is_found_by_the_number_of_outputs(tmp_path):
    path = tmp_path / "file.safetensors"
    safetensors.numpy.save_file(arrays_of(), path)
    assert load(path).format == "emotieffnet"
    safetensors.numpy.save_file(arrays_of(classes=1000), path)
    assert load(path).format == "timm"
    safetensors.numpy.save_file(arrays_of(classes=8), path)
    with pytest.raises(InputError, match=r"timm or emotieffnet.*set init\.format"):
        load(path)


@pytest.mark.parametrize("classes", [7, 8])
def test_a_network_for_expressions_only_is_refused(classes):
    with pytest.raises(InputError, match=rf"has {classes} outputs, expected 10 \(logit_anger"):
        translate(arrays_of(classes), "emotieffnet", "a file")


def exported(tmp_path, arrays, *flags):
    safetensors.numpy.save_file(arrays, tmp_path / "weights")
    return main([
        "export", "--config=emotieffnet.py", f"--init.weights={tmp_path / 'weights'}",
        f"--out={tmp_path / 'out'}", *flags,
    ])  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--init.format=timm"], "expected weights of a network that already estimates valence"),
        (["--model.backbone=resnet18"], "the weights are not for model.backbone='resnet18'"),
        (["--model.temporal=gru"], "arrays do not fit ("),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(tmp_path, capsys, flags, named):
    assert exported(tmp_path, arrays_of(), *flags) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    assert named in line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_another_efficientnet_is_refused_with_both_sides_named(tmp_path, capsys):
    assert exported(tmp_path, arrays_of(name="tf_efficientnet_b1")) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "arrays do not fit (" in line


def test_a_run_or_a_config_is_needed_but_not_both(tmp_path, capsys):
    for words in ([], ["run", "--config=emotieffnet.py"], ["--config=emotieffnet.py"]):
        assert main(["export", *words]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        "error: expected either RUN or --config=FILE",
        "error: expected either RUN or --config=FILE",
        "error: --config requires --out=FOLDER",
    ]


@pytest.fixture(scope="module")
def peer():
    import torch

    torch.manual_seed(0)
    return with_random_norms(
        timm_models.imported().create_model("tf_efficientnet_b0", num_classes=10)
    )


@pytest.mark.slow
def test_the_two_commands_give_the_outputs_of_the_network_in_the_file(tmp_path, media, peer):
    """From a whole pickled module and a video to values, compared with timm on our crops."""
    import torch

    import va_jax
    from va_jax.predict.preprocessing import from_metadata

    weights, out = tmp_path / "enet_b0_8_va_mtl.pt", tmp_path / "emotieffnet"
    torch.save(peer, weights)
    words = ["export", "--config=emotieffnet.py", f"--init.weights={weights}", f"--out={out}"]
    assert main(words) == 0
    passport = json.loads((out / "passport.json").read_text())
    assert passport["dims"] == [*DIMS, *LOGITS]
    assert passport["weights"]["licence"].startswith("Apache-2.0")
    assert "Apache-2.0" in (out / "MODEL_CARD.md").read_text()
    assert from_metadata(passport)[0].stretched

    model = va_jax.load(out)
    frames = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    mean, std = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)
    with torch.no_grad():
        given = torch.from_numpy((frames / np.float32(255) - mean) / std).permute(0, 3, 1, 2)
        theirs = peer(given).numpy()
    theirs = theirs[:, [OUTPUTS.index(dim) for dim in model.dims]]
    assert np.abs(model(frames) - theirs).max() < 1e-5

    video = tmp_path / "clip" / "smile.mp4"
    video.parent.mkdir()
    cut(media / "smile.mp4", video, start=0, frames=8)
    flags = [f"--out={tmp_path}", "--no-progress", "--every=10"]
    assert main(["predict", str(out), str(video), *flags]) == 0
    header = (tmp_path / "smile.csv").read_text().splitlines()[0]
    assert header.endswith(",".join(["face_score", *DIMS, *LOGITS, "valid"]))


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_of_the_config_is_legal(network):
    config = configuration.parse(get_config(network))
    assert build_model(config.model, DIMS).backbone is not None
    assert (config.optim.rates.backbone == 0) == (network != "frame")


@pytest.mark.slow
@pytest.mark.parametrize("network", ["gru", "transformer"])  # the others start in the same way
def test_a_temporal_stack_is_trained_on_the_frozen_backbone(tmp_path, tiny_data, peer, network):
    arrays = {name: value.numpy() for name, value in peer.state_dict().items()}
    safetensors.numpy.save_file(arrays, tmp_path / "weights")
    config = with_values(
        configuration.parse(get_config(network)),
        **{
            "data.name": "synthetic_faces/tiny", "data.dir": str(tiny_data), "data.size": 32,
            "init.weights": str(tmp_path / "weights"), "window.length": 4, "model.units": 8,
            "train.steps": 1, "train.batch_size": 4, "log.progress": False,
        },
    )  # fmt: skip
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # optax
        train(config, tmp_path / "run")
    variables, _ = read_best(tmp_path / "run")
    kernel = variables["params"]["backbone"]["conv_head"]["kernel"]
    np.testing.assert_array_equal(kernel[0, 0].T, arrays["conv_head.weight"][..., 0, 0])
    report = json.loads((tmp_path / "run" / "init.json").read_text())
    assert report["licence"].startswith("Apache-2.0")
    assert {row["path"] for row in report["arrays"] if row["status"] == "initialised"} >= {
        "params/head_valence/kernel"
    }
