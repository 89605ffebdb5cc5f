"""Map the array names of other people's image networks to our paths: one table per network.

A row is (name, path, layout): a regular expression for the whole name there, our path with `\1`
for its groups, and the function that converts the array. `va_jax.models` names our paths.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from va_jax.weights.layouts import (
    conv,
    conv_in_place,
    conv_over_time,
    dense,
    dense_in_place,
    mean_colour,
    pointwise,
    vector,
)

Layout = Callable[[np.ndarray], np.ndarray]
Row = tuple[str, str, Layout]
Colour = tuple[float, float, float]  # red, green, blue in [0, 1]

STAGES = (2, 2, 3, 3, 3)
"""Convolutions of VGG-16 before each pool."""

POOLED = 7
"""Side of VGG's last map, which its first fully connected layer sees flattened."""


@dataclasses.dataclass(frozen=True)
class Table:
    """The rows of one network."""

    rows: tuple[Row, ...]
    left_out: tuple[tuple[str, str], ...]  # name there, reason


@dataclasses.dataclass(frozen=True)
class Format:
    """One source of weights: a table per network, and the input its networks expect."""

    tables: tuple[Table, ...]
    mean: Colour
    std: Colour
    backbones: str  # regular expression: names of our backbones that the weights fit
    bgr: bool = False  # the first convolution expects blue, green, red
    size: int = 224  # side of the images, in px


def norm(name: str, path: str) -> tuple[Row, ...]:
    """Return the rows of a batch norm."""
    return (
        (rf"{name}\.weight", f"params/{path}/scale", vector),
        (rf"{name}\.bias", f"params/{path}/bias", vector),
        (rf"{name}\.running_mean", f"batch_stats/{path}/mean", vector),
        (rf"{name}\.running_var", f"batch_stats/{path}/var", vector),
    )


def affine(name: str, path: str, layout: Layout) -> tuple[Row, ...]:
    """Return the rows of a layer with kernel and bias."""
    return (
        (rf"{name}\.weight", f"params/{path}/kernel", layout),
        (rf"{name}\.bias", f"params/{path}/bias", vector),
    )


def table(rows: tuple[Row, ...], classifier: str) -> Table:
    """Return a table that leaves out the classifier and the counters of batch norms."""
    return Table(
        rows,
        (
            (r".*\.num_batches_tracked", "not a parameter"),
            (classifier, "classifier of the source's own task"),
        ),
    )


def resnet(layout: Layout) -> tuple[Row, ...]:
    """Return the rows of torchvision's ResNet (pytorch/vision, models/resnet.py)."""
    block, ours = r"layer([1-4])\.(\d+)\.", r"backbone/layer\1_\2/"
    return (
        (r"conv1\.weight", "params/backbone/conv1/kernel", layout),
        *norm("bn1", "backbone/bn1"),
        (rf"{block}conv([1-3])\.weight", rf"params/{ours}conv\3/kernel", layout),
        *norm(rf"{block}bn([1-3])", rf"{ours}bn\3"),
        (rf"{block}downsample\.0\.weight", f"params/{ours}downsample_conv/kernel", layout),
        *norm(rf"{block}downsample\.1", f"{ours}downsample_bn"),
    )


def vgg(batch_norm: bool) -> tuple[Row, ...]:
    """Return the rows of torchvision's VGG-16 (models/vgg.py).

    `features` counts norms, ReLUs and pools too.
    """
    rows, index = (), 0
    for stage, size in enumerate(STAGES, 1):
        for number in range(1, size + 1):
            rows += affine(rf"features\.{index}", f"backbone/conv{stage}_{number}", conv)
            if batch_norm:
                rows += norm(rf"features\.{index + 1}", f"backbone/bn{stage}_{number}")
            index += 3 if batch_norm else 2
        index += 1
    return rows


def fully_connected(first: str, second: str) -> tuple[Row, ...]:
    """Return the rows of VGG's two layers between the last map and the classifier."""
    flat = functools.partial(dense, side=POOLED)
    return affine(first, "fc/layer_0", flat) + affine(second, "fc/layer_1", dense)


def huggingface_resnet() -> tuple[Row, ...]:
    """Return the rows of transformers' ResNetModel (models/resnet/modeling_resnet.py)."""
    stem = r"(?:resnet\.)?embedder\.embedder\."
    rows = (
        (rf"{stem}convolution\.weight", "params/backbone/conv1/kernel", conv),
        *norm(rf"{stem}normalization", "backbone/bn1"),
    )
    for stage in range(4):
        block = rf"(?:resnet\.)?encoder\.stages\.{stage}\.layers\.(\d+)\."
        ours = rf"backbone/layer{stage + 1}_\1/"
        places = {rf"layer\.{n}": (f"conv{n + 1}", f"bn{n + 1}") for n in range(3)}
        for place, names in (places | {"shortcut": ("downsample_conv", "downsample_bn")}).items():
            name = f"{block}{place}"
            rows += ((rf"{name}\.convolution\.weight", f"params/{ours}{names[0]}/kernel", conv),)
            rows += norm(rf"{name}\.normalization", f"{ours}{names[1]}")
    return rows


def pytorchvideo_resnet(stages: tuple[int, ...]) -> tuple[Row, ...]:
    """Return the rows of PyTorchVideo's ResNet (models/resnet.py, models/stem.py).

    Args:
        stages: the indices of the four stages in `blocks`.
    """
    rows = (
        (r"blocks\.0\.conv\.weight", "params/backbone/conv1/kernel", conv_over_time),
        *norm(r"blocks\.0\.norm", "backbone/bn1"),
    )
    for stage, index in enumerate(stages, 1):
        block = rf"blocks\.{index}\.res_blocks\.(\d+)\."
        ours = rf"backbone/layer{stage}_\1/"
        places = {rf"branch2\.conv_{c}": f"conv{n}" for n, c in enumerate("abc", 1)}
        for place, name in (places | {"branch1_conv": "downsample_conv"}).items():
            rows += ((rf"{block}{place}\.weight", f"params/{ours}{name}/kernel", conv_over_time),)
            rows += norm(block + place.replace("conv", "norm"), ours + name.replace("conv", "bn"))
    return rows


def vggface(convolution: Layout, fully: Callable[..., np.ndarray]) -> tuple[Row, ...]:
    """Return the rows of VGG-Face under its authors' names (Parkhi, Vedaldi, Zisserman, 2015).

    The kernels are `conv1_1.weight` in albanie/pytorch-mcn's vgg_face_dag and from MatConvNet,
    `conv1_1/weights` in ethereon/caffe-tensorflow (its fc6 sees the map as HWC), and `conv1_1_W`
    in .npz files.
    """
    flat, rows = functools.partial(fully, side=POOLED), ()
    for name, path, layout in (
        (r"conv([1-5]_[1-3])", r"backbone/conv\1", convolution),
        ("fc6", "fc/layer_0", flat),
        ("fc7", "fc/layer_1", fully),
    ):
        rows += ((rf"{name}[._/](?:weights?|W)", f"params/{path}/kernel", layout),)
        rows += ((rf"{name}[._/](?:bias(?:es)?|b)", f"params/{path}/bias", vector),)
    return rows


def _of_255(red: float, green: float, blue: float) -> Colour:
    return red / 255, green / 255, blue / 255


RESNET = r"resnet(?:18|34|50)?"
"""The ResNets with the stride on the 3x3; VGGFace2's has the same shapes, but another stride."""

IMAGENET: tuple[Colour, Colour] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of the input; the same for the three below."""

KINETICS: tuple[Colour, Colour] = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
UNSCALED = _of_255(1.0, 1.0, 1.0)
VGGFACE = _of_255(129.186279296875, 104.76238250732422, 93.59396362304688), UNSCALED
VGGFACE2 = _of_255(131.0912, 103.8827, 91.4953), UNSCALED

SQUEEZE_EXCITE = (
    *affine(r"layer([1-4])\.(\d+)\.conv4", r"backbone/layer\1_\2/se_down", pointwise),
    *affine(r"layer([1-4])\.(\d+)\.conv5", r"backbone/layer\1_\2/se_up", pointwise),
)

TORCHVISION_FC = fully_connected(r"classifier\.0", r"classifier\.3")
TIMM_FC = fully_connected(r"pre_logits\.fc1", r"pre_logits\.fc2")
VGGFACE_OIHW, VGGFACE_HWIO = vggface(conv, dense), vggface(conv_in_place, dense_in_place)
AVERAGE_IMAGE = (("averageImage", "batch_stats/input/mean", mean_colour),)

FC, FC8 = r"fc\.(?:weight|bias)", r"fc8[._/]\w+"

FORMATS = {
    "torchvision": Format(
        (
            table(resnet(conv), FC),
            table(vgg(False) + TORCHVISION_FC, r"classifier\.6\.\w+"),
            table(vgg(True) + TORCHVISION_FC, r"classifier\.6\.\w+"),
        ),
        *IMAGENET,
        backbones=rf"{RESNET}|vgg.*",
    ),
    # huggingface/pytorch-image-models: resnet.py is as in torchvision, vgg.py ends in convolutions
    "timm": Format(
        (
            table(resnet(conv), FC),
            table(vgg(False) + TIMM_FC, rf"head\.{FC}"),
            table(vgg(True) + TIMM_FC, rf"head\.{FC}"),
        ),
        *IMAGENET,
        backbones=rf"{RESNET}|vgg.*",
    ),
    "huggingface": Format(
        (table(huggingface_resnet(), r"classifier\.1\.\w+"),), *IMAGENET, backbones=RESNET
    ),
    # cydonia999/VGGFace2-pytorch, models/senet.py, datasets/vgg_face2.py
    "vggface2": Format(
        (table(resnet(conv) + SQUEEZE_EXCITE, FC),),
        *VGGFACE2,
        backbones="resnet50_vggface2|seresnet50",
        bgr=True,
    ),
    "vggface": Format(
        (table(VGGFACE_OIHW, FC8), table(VGGFACE_HWIO + AVERAGE_IMAGE, FC8)),
        *VGGFACE,
        backbones="vgg.*",
    ),
    "vggface_caffe": Format(
        (table(VGGFACE_OIHW, FC8), table(VGGFACE_HWIO, FC8)),
        *VGGFACE,
        backbones="vgg.*",
        bgr=True,
    ),
    # Tushar-N/pytorch-resnet3d, models/resnet.py, from facebookresearch/video-nonlocal-net (mean
    # 114.75, deviation 57.375, RGB); of PyTorchVideo's, i3d_r50 has a pool at blocks.2
    "kinetics": Format(
        (
            table(resnet(conv_over_time), FC),
            table(pytorchvideo_resnet((1, 3, 4, 5)), r"blocks\.6\.proj\.\w+"),
            table(pytorchvideo_resnet((1, 2, 3, 4)), r"blocks\.5\.proj\.\w+"),
        ),
        *KINETICS,
        backbones=RESNET,
    ),
}
"""Value of init.format -> its tables and input; `rnn_names` has the recurrent networks."""
