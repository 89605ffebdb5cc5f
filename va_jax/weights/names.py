"""Map the array names of other projects' image networks to our paths: one table per network."""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from va_jax.weights import vit_names
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
from va_jax.weights.rows import (
    HEADS,
    Colour,
    Format,
    Layout,
    Row,
    affine,
    kernel,
    norm,
    table,
    table_without,
)

STAGES = (2, 2, 3, 3, 3)
"""Number of convolutions in VGG-16 before each pool."""

PARTS = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("downsample_conv", "downsample_bn"))
"""Convolutions and batch norms in a ResNet's block; small ResNets have no third convolution."""

POOLED = 7
"""Side of VGG's last map, which is flattened for its first fully connected layer."""


def resnet(
    stem: tuple[str, str],
    blocks: Mapping[str, str],
    parts: Sequence[tuple[str, str]],
    layout: Layout = conv,
) -> tuple[Row, ...]:
    """Return the rows for a ResNet.

    Args:
        stem: names of the first convolution and its batch norm.
        blocks: prefix of a block's names in the file -> its prefix in our paths.
        parts: names within a block of each convolution and its batch norm, in the order of `PARTS`.
        layout: layout of the kernels.
    """
    rows = kernel(stem[0], "backbone/conv1", layout) + norm(stem[1], "backbone/bn1")
    for block, ours in blocks.items():
        for (conv_name, norm_name), (our_conv, our_norm) in zip(parts, PARTS, strict=True):
            rows += kernel(block + conv_name, f"backbone/{ours}/{our_conv}", layout)
            rows += norm(block + norm_name, f"backbone/{ours}/{our_norm}")
    return rows


def torchvision_resnet(layout: Layout) -> tuple[Row, ...]:
    """Return the rows for torchvision's ResNet (pytorch/vision, models/resnet.py)."""
    parts = [*((f"conv{n}", f"bn{n}") for n in (1, 2, 3)), (r"downsample\.0", r"downsample\.1")]
    return resnet(("conv1", "bn1"), {r"layer([1-4])\.(\d+)\.": r"layer\1_\2"}, parts, layout)


def huggingface_resnet() -> tuple[Row, ...]:
    """Return the rows for transformers' ResNetModel (models/resnet/modeling_resnet.py)."""
    root = r"(?:resnet\.)?"
    places = (rf"{root}embedder\.embedder", *(rf"layer\.{n}" for n in range(3)), "shortcut")
    stem, *parts = [(rf"{place}\.convolution", rf"{place}\.normalization") for place in places]
    blocks = {
        rf"{root}encoder\.stages\.{n}\.layers\.(\d+)\.": rf"layer{n + 1}_\1" for n in range(4)
    }
    return resnet(stem, blocks, parts)


def pytorchvideo_resnet(stages: Sequence[int]) -> tuple[Row, ...]:
    """Return the rows for PyTorchVideo's ResNet (models/resnet.py); `stages` are block indices."""
    blocks = {
        rf"blocks\.{index}\.res_blocks\.(\d+)\.": rf"layer{stage}_\1"
        for stage, index in enumerate(stages, 1)
    }
    parts = [(rf"branch2\.conv_{c}", rf"branch2\.norm_{c}") for c in "abc"]
    parts.append(("branch1_conv", "branch1_norm"))
    return resnet((r"blocks\.0\.conv", r"blocks\.0\.norm"), blocks, parts, conv_over_time)


def vgg(batch_norm: bool) -> tuple[Row, ...]:
    """Return the rows for torchvision's VGG-16 (models/vgg.py).

    The indices in `features` also count norms, ReLUs and pools.
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
    """Return the rows for VGG's two layers between the last map and the classifier."""
    flat = functools.partial(dense, side=POOLED)
    return affine(first, "fc/layer_0", flat) + affine(second, "fc/layer_1", dense)


def vggface(convolution: Layout, fully: Callable[..., np.ndarray]) -> tuple[Row, ...]:
    """Return the rows for VGG-Face (Parkhi, Vedaldi, Zisserman, 2015) under its authors' names.

    A kernel is called `conv1_1.weight` in albanie/pytorch-mcn's vgg_face_dag and in MatConvNet
    files, `conv1_1/weights` in ethereon/caffe-tensorflow (whose fc6 takes the map as HWC), and
    `conv1_1_W` in .npz files.
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


def efficientnet() -> tuple[Row, ...]:
    """Return the rows for timm's EfficientNet (models/efficientnet.py, _efficientnet_blocks.py)."""
    rows = kernel("conv_stem", "backbone/conv_stem", conv) + norm("bn1", "backbone/bn1")
    rows += kernel("conv_head", "backbone/conv_head", conv) + norm("bn2", "backbone/bn2")
    block, ours = r"blocks\.([0-6])\.(\d+)\.", r"backbone/blocks_\1_\2/"
    for name in ("pw", "dw", "pwl"):
        rows += kernel(f"{block}conv_{name}", f"{ours}conv_{name}", conv)
    for name in ("bn1", "bn2", "bn3"):
        rows += norm(block + name, ours + name)
    for name in ("reduce", "expand"):
        rows += affine(rf"{block}se\.conv_{name}", f"{ours}se_{name}", pointwise)
    return rows


IMAGENET: tuple[Colour, Colour] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the input, as in each pair below."""

KINETICS: tuple[Colour, Colour] = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
UNSCALED: Colour = (1 / 255, 1 / 255, 1 / 255)
VGGFACE: tuple[Colour, Colour] = (
    (129.186279296875 / 255, 104.76238250732422 / 255, 93.59396362304688 / 255),
    UNSCALED,
)
HALF: tuple[Colour, Colour] = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
CLIP: tuple[Colour, Colour] = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
VGGFACE2: tuple[Colour, Colour] = (131.0912 / 255, 103.8827 / 255, 91.4953 / 255), UNSCALED

RESNET = r"resnet(?:18|34|50)?"
"""ResNets with the stride on the 3x3; VGGFace2's has the same shapes but a different stride."""

RESNET_ROWS = torchvision_resnet(conv)
TORCHVISION_FC = fully_connected(r"classifier\.0", r"classifier\.3")
TIMM_FC = fully_connected(r"pre_logits\.fc1", r"pre_logits\.fc2")
SQUEEZE_EXCITE = (
    *affine(r"layer([1-4])\.(\d+)\.conv4", r"backbone/layer\1_\2/se_down", pointwise),
    *affine(r"layer([1-4])\.(\d+)\.conv5", r"backbone/layer\1_\2/se_up", pointwise),
)
AVERAGE_IMAGE = (("averageImage", "batch_stats/input/mean", mean_colour),)
FC, FC8 = r"fc\.(?:weight|bias)", r"fc8[._/]\w+"
VGGFACE_OIHW = table(vggface(conv, dense), FC8)
VGGFACE_HWIO = table(vggface(conv_in_place, dense_in_place) + AVERAGE_IMAGE, FC8)

TORCHVISION = (
    table(RESNET_ROWS, FC),
    *(
        table(vgg(batch_norm) + TORCHVISION_FC, r"classifier\.6\.\w+")
        for batch_norm in (False, True)
    ),
)
TIMM = (  # huggingface/pytorch-image-models, whose vgg.py ends with convolutions
    table(RESNET_ROWS, FC),
    *(table(vgg(batch_norm) + TIMM_FC, rf"head\.{FC}") for batch_norm in (False, True)),
    table(efficientnet(), r"classifier(?:\.0)?\.\w+"),
)
HUGGINGFACE = (table(huggingface_resnet(), r"classifier\.1\.\w+"),)
# cydonia999/VGGFace2-pytorch, models/senet.py, datasets/vgg_face2.py
SENET = (table(RESNET_ROWS + SQUEEZE_EXCITE, FC),)
# Tushar-N/pytorch-resnet3d, models/resnet.py, from facebookresearch/video-nonlocal-net (mean
# 114.75, standard deviation 57.375, RGB), and PyTorchVideo, whose i3d_r50 has a pool at blocks.2
OVER_TIME = (
    table(torchvision_resnet(conv_over_time), FC),
    table(pytorchvideo_resnet((1, 3, 4, 5)), r"blocks\.6\.proj\.\w+"),
    table(pytorchvideo_resnet((1, 2, 3, 4)), r"blocks\.5\.proj\.\w+"),
)
VIT = (table_without(vit_names.timm(), vit_names.TIMM_LEFT_OUT),)
DINOV2 = (table_without(vit_names.dinov2(), vit_names.DINOV2_LEFT_OUT),)
FARL = (table_without(vit_names.clip(), vit_names.CLIP_LEFT_OUT),)

# sb-ai-lab/EmotiEffLib, models/affectnet_emotions/enet_b0_8_va_mtl.pt
EMOTIEFFNET = table(efficientnet() + affine(r"classifier(?:\.0)?", HEADS, dense), None)

FORMATS = {
    "torchvision": Format(TORCHVISION, *IMAGENET, rf"{RESNET}|vgg.*"),
    "timm": Format(TIMM, *IMAGENET, rf"{RESNET}|vgg.*|efficientnet_b0"),
    "emotieffnet": Format((EMOTIEFFNET,), *IMAGENET, "efficientnet_b0"),
    "huggingface": Format(HUGGINGFACE, *IMAGENET, RESNET),
    "vggface2": Format(SENET, *VGGFACE2, "resnet50_vggface2|seresnet50", bgr=True),
    "vggface": Format((VGGFACE_OIHW, VGGFACE_HWIO), *VGGFACE, "vgg.*"),
    "vggface_caffe": Format((VGGFACE_OIHW, VGGFACE_HWIO), *VGGFACE, "vgg.*", bgr=True),
    "kinetics": Format(OVER_TIME, *KINETICS, RESNET),
    "timm_vit": Format(VIT, *HALF, "vit_[sb]16"),
    "deit": Format(VIT, *IMAGENET, "vit_[sb]16"),
    "dinov2": Format(DINOV2, *IMAGENET, "vit_[sb]14", size=518),
    "farl": Format(FARL, *CLIP, "farl_b16"),
}
"""Value of init.format -> its tables and input; `rnn_names` covers the recurrent networks."""
