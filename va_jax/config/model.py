"""Configuration keys of the network."""

from dataclasses import dataclass, field

from va_jax.keys import at_least, choice, key

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet50_vggface2", "seresnet50")
BACKBONES += ("vgg16", "vgg16bn", "resnet", "vgg", "efficientnet_b0")
BACKBONES += ("vit_s14", "vit_b14", "vit_s16", "vit_b16", "farl_b16")
TEMPORAL = ("none", "lstm", "gru", "tcn", "lru", "tcn_lru", "transformer")


@dataclass(frozen=True)
class Inflation:
    """Temporal extent of the backbone's convolutions (teixeira2021)."""

    taps: int = at_least(
        1, 1, "size of a kernel in time, an odd number; 1 for a 2-D network", unit="frames"
    )
    layout: str = choice(
        "spatial",
        ("spatial", "kinetics"),
        "whether to inflate every 3x3 and 7x7 kernel, or (kinetics) the same kernels as I3D",
    )
    dilation: tuple[int, ...] = key(
        (), "distance between taps in each stage; () for 1 in all stages", low=1
    )
    strided: bool = key(False, "whether strided layers also stride over time")
    pool_taps: int = at_least(
        1, 1, "size of a pooling window in time, an odd number", unit="frames"
    )
    padding: str = choice(
        "zero",
        ("zero", "edge"),
        "how to pad a window in time: with zeros, or (edge) with copies of its border frames",
    )


@dataclass(frozen=True)
class Model:
    """The network, which turns frames into one trace per dimension."""

    backbone: str = choice(
        "resnet50", BACKBONES, "network that processes the frames; resnet and vgg need stage_sizes"
    )
    width: int = at_least(
        64,
        1,
        "channels in the first stage, or per attention head of a ViT; 64 in published networks",
    )
    stage_sizes: tuple[int, ...] = key((), "blocks per stage; () for the published numbers", low=1)
    zero_init_residual: bool = key(False, "whether residual branches start at zero")
    compute_dtype: str = choice(
        "auto",
        ("auto", "float32", "bfloat16"),
        "floating-point type for the backbone; auto: bfloat16 on a GPU or TPU, float32 on a CPU",
    )
    remat: bool = key(False, "whether to save memory by recomputing blocks in the backward pass")
    input_mean: tuple[float, ...] = key(
        (0.485, 0.456, 0.406),
        "mean RGB in [0, 1], by default that of ImageNet; imported weights override it",
    )
    input_std: tuple[float, ...] = key(
        (0.229, 0.224, 0.225), "standard deviation of RGB in [0, 1]; see input_mean", above=0
    )
    inflation: Inflation = field(default_factory=Inflation)
    frame_mask: float = key(0.0, "fraction of training frames to hide at random", low=0, below=1)
    pool: str = choice(
        "mean", ("mean", "flatten"), "how to remove the spatial axes of the last feature map"
    )
    fc: tuple[int, ...] = key(
        (), "widths of the fully connected layers, each followed by a ReLU", low=1
    )
    fc_dropout: float = key(0.0, "dropout rate between fully connected layers", low=0, below=1)
    landmarks: str = choice(
        "none", ("none", "before_fc", "after_fc"), "where to append landmarks to the features"
    )
    landmark_points: int = at_least(68, 1, "number of landmarks per frame, as stored in the data")
    branches: tuple[str, ...] = key(
        ("fc",),
        "input of each temporal stack: fc, pool or conv, or a concatenation such as fc+pool",
    )
    dropout: float = key(0.0, "dropout rate before temporal stacks or heads", low=0, below=1)
    temporal: str = choice("lstm", TEMPORAL, "type of the temporal stack (docs/networks.md)")
    layers: int = at_least(2, 1, "number of layers in a temporal stack")
    units: int = at_least(256, 1, "width of each layer in a temporal stack")
    temporal_dropout: float = key(0.0, "dropout rate inside temporal stacks", low=0, below=1)
    bidirectional: bool = key(
        False, "whether temporal stacks run in both directions; requires eval.state=window"
    )
    peepholes: bool = key(False, "whether LSTM gates see the cell state")
    kernel_size: int = at_least(
        3, 2, "number of taps of each TCN convolution; must be odd if bidirectional"
    )
    attention_heads: int = at_least(
        4, 1, "number of attention heads; units must be an even multiple of this number"
    )
    attention_window: int = at_least(
        64,
        2,
        "frames that each frame attends to, including itself; unused if bidirectional",
        unit="frames",
    )
    heads: str = choice(
        "shared",
        ("shared", "per_set"),
        "whether several data sets share the heads, or have a head each (docs/training.md)",
    )
    bounded: bool = key(False, "whether to bound predictions with tanh")
    bins: int = at_least(
        0, 0, "number of bins from -1 to 1, whose expected value is the prediction; 0 for none"
    )
