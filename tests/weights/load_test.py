"""Other people's image networks: every array finds its place, and the networks compute the same."""

import json
import re

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from tests.weights import published
from tests.weights.published import HIDDEN, LAST, WIDTH, rand, resnet, torch_rnn
from va_jax.models.resnet import ResNet
from va_jax.models.vgg import VGG
from va_jax.types import InputError
from va_jax.weights.load import load, translate
from va_jax.weights.match import find_format

MEAN, STD = "batch_stats/input/mean", "batch_stats/input/std"
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
VGGFACE2_BGR = [91.4953, 103.8827, 131.0912]
VGGFACE_RGB = [129.186, 104.762, 93.594]

CAFFE = published.vggface(weight="_W", bias="_b")
SMALL, _ = resnet(published.torchvision, "resnet18")
DEEP, _ = resnet(published.torchvision, "resnet50")
OF_FACES, _ = resnet(published.torchvision, "resnet50", classes=8631)


def in_our_layout(array):
    axes = {1: "a->a", 4: "oihw->hwio", 5: "oidhw->dhwio"}[array.ndim]
    array = np.einsum(axes, array)
    return array[0] if array.ndim == 5 and len(array) == 1 else array


def shapes(values):
    return {path: array.shape for path, array in values.items()}


def shapes_of(net):
    """Return the shapes of our network by path, and of the input's mean and deviation."""
    x, mask = jnp.zeros((1, 1, 32, 32, 3)), jnp.ones((1, 1), bool)
    tree = jax.eval_shape(lambda: net.init(jax.random.key(0), x, mask, False))
    tree = {kind: {"backbone": variables} for kind, variables in tree.items()}
    return shapes(flax.traverse_util.flatten_dict(tree, sep="/")) | {MEAN: (3,), STD: (3,)}


def check_match(weights, arrays, places):
    for name, path in places.items():
        value, expected = weights.values[path], in_our_layout(arrays[name])
        assert value.dtype == np.float32, name
        assert value.flags.c_contiguous, name
        np.testing.assert_array_equal(value, expected, err_msg=name)
        assert weights.origin[path] == name
    assert weights.values.keys() == weights.origin.keys() == {*places.values(), MEAN, STD}


@pytest.mark.parametrize("kind", published.RESNETS)
@pytest.mark.parametrize(
    ("format", "naming", "classifier"),
    [
        ("torchvision", published.torchvision, "fc"),
        ("timm", published.torchvision, "fc"),
        ("huggingface", published.huggingface, "classifier.1"),
    ],
)
def test_every_array_of_a_resnet_finds_its_place(format, naming, classifier, kind):
    arrays, places = resnet(naming, kind, classifier)
    weights = translate(arrays, format, "resnet.pth")
    check_match(weights, arrays, places)
    counters = {name for name in arrays if name.endswith("num_batches_tracked")}
    assert weights.left_out == dict.fromkeys(counters, "not a parameter") | dict.fromkeys(
        [f"{classifier}.weight", f"{classifier}.bias"], "classifier for the original task"
    )
    assert weights.source.endswith(f", read as {format}")
    assert weights.size == 224
    np.testing.assert_allclose([weights.values[MEAN], weights.values[STD]], IMAGENET, rtol=1e-6)


def test_the_320_arrays_of_resnet50_translate_to_our_whole_network():
    assert len(DEEP) == 320
    values = translate(DEEP, "torchvision", "resnet50.pth").values
    assert shapes(values) == shapes_of(ResNet((3, 4, 6, 3), bottleneck=True, width=WIDTH))


@pytest.mark.parametrize(
    ("naming", "classifier"),
    [
        (published.torchvision, "fc"),
        (published.pytorchvideo, "blocks.6.proj"),
        (published.slow_r50, "blocks.5.proj"),
    ],
)
def test_kernels_over_time_keep_their_frames_and_drop_an_axis_of_one_frame(naming, classifier):
    arrays, places = resnet(naming, "resnet50", classifier, 400, published.i3d_taps)
    assert find_format(arrays, "i3d.pth") == "kinetics"
    weights = translate(arrays, "kinetics", "i3d.pth")
    check_match(weights, arrays, places)
    assert weights.values["params/backbone/conv1/kernel"].shape == (5, 7, 7, 3, WIDTH)
    assert weights.values["params/backbone/layer2_1/conv1/kernel"].ndim == 4
    np.testing.assert_allclose(weights.values[MEAN] * 255, [114.75] * 3, rtol=1e-6)
    np.testing.assert_allclose(weights.values[STD] * 255, [57.375] * 3, rtol=1e-6)


@pytest.mark.slow
def test_se_resnet50_squeezes_and_excites_as_in_its_source():
    arrays = published.senet50()
    assert find_format(arrays, "senet50_ft_weight.pkl") == "vggface2"
    values = translate(arrays, "vggface2", "senet50_ft_weight.pkl").values
    net = ResNet((3, 4, 6, 3), bottleneck=True, width=WIDTH, squeeze_excite=True)
    assert shapes(values) == shapes_of(net)
    theirs = ours = rand(WIDTH * 32)
    for number, name in ((4, "se_down"), (5, "se_up")):
        conv, dense = f"layer4.2.conv{number}", f"params/backbone/layer4_2/{name}"
        theirs = np.einsum("oihw,i->o", arrays[f"{conv}.weight"], theirs) + arrays[f"{conv}.bias"]
        ours = ours @ values[f"{dense}/kernel"] + values[f"{dense}/bias"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_array_of_vgg16_finds_its_place(batch_norm):
    arrays, places = published.torchvision_vgg(batch_norm), {}
    for index, (place, _, _) in zip(
        published.VGG_INDICES[batch_norm], published.vgg_layers(), strict=True
    ):
        places[f"features.{index}.weight"] = f"params/backbone/conv{place}/kernel"
        places[f"features.{index}.bias"] = f"params/backbone/conv{place}/bias"
        if batch_norm:
            places |= published.norm_places(f"features.{index + 1}", f"backbone/bn{place}")
    assert find_format(arrays, "vgg16.pth") == "torchvision"
    without_fc = {name: array for name, array in arrays.items() if "classifier" not in name}
    weights = translate(without_fc, "torchvision", "vgg16.pth")
    check_match(weights, arrays, places)
    net = VGG((2, 2, 3, 3, 3), batch_norm=batch_norm, width=WIDTH)
    assert shapes(weights.values) == shapes_of(net)


FULLY_CONNECTED = {  # arrays; names and numbers of both layers; axes there of kernels and map
    "torchvision": (published.torchvision_vgg(), "classifier.{}.weight", (0, 3), "oi", "chw"),
    "timm": (published.timm_vgg(), "pre_logits.fc{}.weight", (1, 2), "oi", "chw"),
    "vggface": (published.vggface(), "fc{}.weight", (6, 7), "oi", "chw"),
    "vggface from MatConvNet": (published.vggface(hwio=True), "fc{}.weight", (6, 7), "io", "hwc"),
    "vggface_caffe": (CAFFE, "fc{}_W", (6, 7), "oi", "chw"),
    "vggface_caffe from tensorflow": (
        published.caffe_tensorflow(), "fc{}/weights", (6, 7), "io", "hwc",
    ),
}  # fmt: skip
BIAS = {"weight": "bias", "W": "b", "weights": "biases"}


@pytest.mark.parametrize("case", FULLY_CONNECTED)
def test_fully_connected_layers_see_the_map_flattened_as_in_their_source(case):
    arrays, name, numbers, matrix, axes = FULLY_CONNECTED[case]
    format = case.split()[0]
    assert find_format(arrays, "vgg") == format
    values = translate(arrays, format, "vgg").values
    x = rand(7, 7, LAST)
    theirs, ours = np.einsum(f"hwc->{axes}", x).reshape(-1), x.reshape(-1)
    for layer, number in enumerate(numbers):
        kernel = name.format(number)
        bias = re.sub(r"[a-zA-Z]+$", lambda word: BIAS[word[0]], kernel)
        sides = (-1, len(theirs)) if matrix == "oi" else (len(theirs), -1)
        theirs = np.einsum(f"{matrix},i->o", arrays[kernel].reshape(sides), theirs) + arrays[bias]
        dense = f"params/fc/layer_{layer}"
        ours = ours @ values[f"{dense}/kernel"] + values[f"{dense}/bias"]
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_torch_agrees_on_convolution_flattening_and_linear_layer():
    torch = pytest.importorskip("torch")
    functional, arrays = torch.nn.functional, published.torchvision_vgg()
    x = rand(7, 7, LAST)
    tensor = {name: torch.as_tensor(array) for name, array in arrays.items()}
    map_there = torch.as_tensor(x.transpose(2, 0, 1)[None].copy())
    map_there = functional.conv2d(
        map_there, tensor["features.28.weight"], tensor["features.28.bias"], padding=1
    )
    theirs = functional.linear(
        map_there.flatten(1), tensor["classifier.0.weight"], tensor["classifier.0.bias"]
    )
    values = translate(arrays, "torchvision", "vgg16.pth").values
    kernel, padded = values["params/backbone/conv5_3/kernel"], np.pad(x, ((1, 1), (1, 1), (0, 0)))
    map_here = sum(
        padded[row : row + 7, column : column + 7] @ kernel[row, column]
        for row in range(3)
        for column in range(3)
    )
    map_here = map_here + values["params/backbone/conv5_3/bias"]
    ours = map_here.reshape(-1) @ values["params/fc/layer_0/kernel"]
    ours = ours + values["params/fc/layer_0/bias"]
    np.testing.assert_allclose(ours, theirs[0], rtol=1e-3, atol=1e-3)


FIRST_LAYER = {  # arrays; first kernel there and here; whether it sees BGR; mean in the same order
    "vggface2": (OF_FACES, "conv1.weight", "conv1", True, VGGFACE2_BGR),
    "vggface": (published.vggface(), "conv1_1.weight", "conv1_1", False, VGGFACE_RGB),
    "vggface_caffe": (CAFFE, "conv1_1_W", "conv1_1", True, VGGFACE_RGB[::-1]),
}


@pytest.mark.parametrize("format", FIRST_LAYER)
def test_the_first_layer_sees_rgb_as_its_source_saw_0_to_255_minus_a_mean(format):
    arrays, there, here, bgr, mean = FIRST_LAYER[format]
    weights = translate(arrays, format, "weights")
    path = f"params/backbone/{here}/kernel"
    side = arrays[there].shape[-1]
    rgb = published.RNG.integers(0, 256, (side, side, 3))
    seen = (rgb[..., ::-1] if bgr else rgb) - np.asarray(mean)
    theirs = np.einsum("oihw,hwi->o", arrays[there], seen)
    seen = (rgb / 255 - weights.values[MEAN]) / weights.values[STD]
    ours = np.einsum("hwio,hwi->o", weights.values[path], seen)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-2)
    assert ("BGR" in weights.origin[path]) == bgr


@pytest.mark.parametrize("shape", [(3,), (1, 1, 3), (224, 224, 3)])
def test_the_average_image_of_matconvnet_becomes_the_input_mean(shape):
    image = np.broadcast_to(np.asarray([51.0, 102.0, 153.0]), shape)
    arrays = published.vggface(hwio=True) | {"averageImage": image}
    weights = translate(arrays, "vggface", "vgg-face.mat")
    np.testing.assert_allclose(weights.values[MEAN], [0.2, 0.4, 0.6], rtol=1e-6)
    assert weights.origin[MEAN] == "averageImage"


def test_a_backbone_and_an_lstm_under_prefixes_are_both_translated():
    alone = translate(SMALL, "torchvision", "alone").values
    joined = {f"model.backbone.{name}": array for name, array in SMALL.items()}
    joined |= torch_rnn(4, prefix="model.lstm.") | {"model.head.weight": rand(2, 5)}
    weights = translate(joined, "torchvision", "both.pth", leave_out=(r"model\.head\..*",))
    for path, array in alone.items():
        np.testing.assert_array_equal(weights.values[path], array)
    layer = {f"params/temporal/layer_0/{n}" for n in ("input_kernel", "recurrent_kernel", "bias")}
    assert weights.values.keys() - alone.keys() == layer
    assert "leave_out" in weights.left_out["model.head.weight"]
    with pytest.raises(InputError, match=r"1 of the array names .*\(model.head.weight\)"):
        translate(joined, "torchvision", "both.pth")
    with pytest.raises(InputError, match=r"2 of the array .*\(model.head.weight, fc.weight\)"):
        translate(joined | {"fc.weight": rand(2, 5)}, "torchvision", "both.pth")


@pytest.mark.parametrize(
    ("arrays", "format", "message"),
    [
        (SMALL, "resnet", "unknown weight format 'resnet'; expected auto or one of torchvision"),
        (SMALL, "huggingface", r"format huggingface .*\(conv1.weight, .*torch_rnn"),
        (published.torchvision_vgg(), "vggface", r"the format vggface .*\(features.0.weight"),
        (SMALL | {"neck.weight": rand(2)}, "torchvision", r"1 of the array .*\(neck.weight\)"),
        (SMALL | {"conv1.weight": rand(WIDTH, 3, 1, 7, 7)}, "torchvision", r"\[out, in, side"),
        (SMALL | {"conv1.weight": np.zeros((), np.float32)}, "torchvision", "an array with values"),
        (SMALL, "kinetics", r"'conv1.weight' has shape \(4, 3, 7, 7\), expected \[out, in, fr"),
        (published.vggface() | {"fc6.weight": rand(6, 100)}, "vggface",
         r"'fc6.weight' has shape \(6, 100\), expected \[out, 7 x 7 x channels\]"),
        ({"fc.weight": rand(2, 2)}, "torchvision", "contains no weights of a network"),
    ],
)  # fmt: skip
def test_arrays_that_fit_no_table_are_refused_by_name_and_shape(arrays, format, message):
    with pytest.raises(InputError, match=message) as refusal:
        translate(arrays, format, "weights.pth")
    assert "\n" not in str(refusal.value)


def test_a_pattern_of_leave_out_must_match_a_whole_name():
    arrays = SMALL | {"neck.weight": rand(2)}
    with pytest.raises(InputError, match=re.escape("(neck.weight)")):
        translate(arrays, "torchvision", "weights.pth", leave_out=("neck",))
    with pytest.raises(InputError, match=r"leave_out: '\('"):
        translate(arrays, "torchvision", "weights.pth", leave_out=("(",))


def without(arrays, part):
    return {name: array for name, array in arrays.items() if part not in name}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (without(SMALL, "fc."), r"more than one format \(torchvision or timm or vggface2\)"),
        (SMALL | {"fc.weight": rand(7, 32)}, r"\(conv1.weight, bn1.weight, .*init.format"),
        (
            published.vggface() | {"fc8.weight": rand(7, HIDDEN)},
            r"more than one format \(vggface or vggface_caffe",
        ),
        (without(published.vggface(), "fc8"), r"more than one format \(vggface or vggface_caffe"),
        ({"a": rand(1), "b": rand(2)}, r"these array names \(a, b\); expected one of torchv"),
    ],
)
def test_an_unknown_or_ambiguous_format_is_not_guessed(arrays, message):
    with pytest.raises(InputError, match=f"weights.pth: .*{message}"):
        find_format(arrays, "weights.pth")


def test_the_format_is_found_by_names_under_a_prefix_and_by_the_number_of_classes():
    assert find_format(SMALL, "") == "torchvision"
    assert find_format({f"net.{name}": array for name, array in SMALL.items()}, "") == "torchvision"
    assert find_format(SMALL | torch_rnn(4, prefix="lstm."), "") == "torchvision"
    assert find_format(OF_FACES, "") == "vggface2"
    assert (
        find_format(resnet(published.huggingface, "resnet18", "classifier.1")[0], "")
        == "huggingface"
    )


TIMM = {"architecture": "resnet18", "pretrained_cfg": {
    "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1], "input_size": [3, 176, 176]}}  # fmt: skip


def saved(folder, arrays, **configs):
    """Write a .safetensors file with those arrays, and configs as JSON beside it."""
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    safetensors.numpy.save_file(arrays, folder / "model.safetensors")
    for name, config in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    return folder / "model.safetensors"


@pytest.mark.parametrize("config", [TIMM, {"architecture": "resnet18"} | TIMM["pretrained_cfg"]])
def test_the_input_stated_by_timms_config_wins(tmp_path, config):
    path = saved(tmp_path, SMALL, config=config)
    weights = load(path)
    assert weights.source == f"{path}, read as timm"
    assert weights.size == 176
    np.testing.assert_allclose(weights.values[MEAN], [0.5, 0.4, 0.3])
    np.testing.assert_allclose(weights.values[STD], [0.2, 0.2, 0.1])
    assert weights.origin[STD] == "config.json: std"
    by_name = load(tmp_path / "model.safetensors", "torchvision")
    np.testing.assert_allclose(by_name.values[MEAN], IMAGENET[0])


def test_the_input_stated_by_transformers_preprocessor_wins(tmp_path):
    arrays = resnet(published.huggingface, "resnet18", "classifier.1")[0]
    stated = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1],
              "size": {"shortest_edge": 192}}  # fmt: skip
    path = saved(tmp_path, arrays, preprocessor_config=stated, config={"model_type": "resnet"})
    weights = load(path)
    assert weights.source == f"{path}, read as huggingface"
    assert weights.size == 192
    np.testing.assert_allclose(weights.values[MEAN], [0.5, 0.4, 0.3])
    assert weights.origin[MEAN] == "preprocessor_config.json: image_mean"


def test_without_a_config_the_input_of_the_format_counts(tmp_path):
    path = saved(tmp_path, SMALL)
    weights = load(path)
    assert weights.source == f"{path}, read as torchvision"
    assert weights.size == 224
    assert weights.origin[MEAN] == "the format's input mean"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"pretrained_cfg": {"mean": [0.5, 0.5], "std": [1, 1, 1]}}, r"mean=\[0.5, 0.5\] must be"),
        ({"pretrained_cfg": {"mean": [0, 0, 0], "std": [1, 0, 1]}}, r"std=\[1, 0, 1\] .* above 0"),
        ({"pretrained_cfg": {"mean": [0, 0, 0]}}, "std=None must be three numbers above 0"),
    ],
)
def test_a_config_with_an_impossible_input_is_refused(tmp_path, config, message):
    with pytest.raises(InputError, match=f"config.json: {message}"):
        load(saved(tmp_path, SMALL, config=config))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: line 1: not valid JSON"):
        load(tmp_path / "model.safetensors")


def test_unknown_names_are_renamed_before_they_are_translated(tmp_path):
    arrays = published.torchvision_vgg(False)
    known = {f"features.{index}": place for index, (place, _, _) in zip(
        published.VGG_INDICES[False], published.vgg_layers(), strict=True
    )}  # fmt: skip
    foreign = {
        name.replace(layer, f"conv_{known[layer]}", 1) if layer in known else name: array
        for name, array in arrays.items()
        for layer in [name.rpartition(".")[0]]
    }
    assert "conv_1_1.weight" in foreign
    np.savez(tmp_path / "theirs.npz", **foreign)
    with pytest.raises(InputError, match=r"\(conv_1_1\.weight"):
        load(tmp_path / "theirs.npz", "torchvision")
    indices = {place: layer for layer, place in known.items()}
    pairs = tuple(rf"conv_{place}\.(.*) -> {layer}.\1" for place, layer in indices.items())
    weights = load(tmp_path / "theirs.npz", "torchvision", rename=(*pairs, "none -> params/x"))
    expected = translate(arrays, "torchvision", "vgg.pth")
    assert shapes(weights.values) == shapes(expected.values)
    for path, value in expected.values.items():
        np.testing.assert_array_equal(weights.values[path], value)
    assert weights.origin["params/backbone/conv1_1/kernel"] == "conv_1_1.weight"
    assert list(weights.renamed) == list(pairs)
