"""CNN and CNN-RNN on Aff-Wild: Kollias et al. (2017, CVPRW) and (2019, IJCV).

"Recognition of Affect in the Wild Using Deep Neural Networks", and "Deep Affect Prediction
in-the-wild", arXiv 1804.10938, whose networks were released.

Usage: `configs/kollias2017.py:NETWORK,WORDS`. NETWORK is one of

vggface_cnn_4096, vggface_cnn_2000, vgg16_cnn, resnet50_cnn: single frames; vgg16_cnn is the same
    network as vggface_cnn_4096, to be initialized with ImageNet weights
affwildnet_vggface, affwildnet_resnet50: a recurrent stack on the features
1rnn, 3rnn: the group's later networks (arXiv 1805.01452). 1rnn has one stack, on the fully
    connected layer and the last pooling layer together. 3rnn has one stack on each of these, and
    one on the last convolution

and WORDS are

gru, lstm: cell type of the recurrent stack
landmarks: 68 points are appended to the features, before the fully connected layer
ccc, mse: the loss
frozen: the convolutions keep their initial weights; otherwise everything is trained
recola, afew_va: transfer to that set from a run on Aff-Wild (see chains.md)
tiny: a run of a few seconds, for tests

From the released code: 96 px, RGB from -1 to 1; non-overlapping windows of 80 frames with a zero
initial state; layers and widths of VGG, with dropout 0.5 after the first fully connected layer;
2 x GRU(128); heads drawn from a truncated normal distribution with standard deviation 0.01. From
the code for 1rnn and 3rnn: both losses, ten windows per batch, Adam with learning rate 1e-3, and
both 128 and 256 units.

Differences from that code: the dropout in 1rnn and 3rnn acts on the whole input of their stacks;
ResNet-50 strides one block later, as in torchvision rather than TF-Slim; the GRU applies its reset
gate after the recurrent product.

Not known for certain, so our choice: where the landmarks enter, and the layer with 1500 units after
them in ResNet-50; the number of LSTM units; flips; the number of steps; everything about the
transfers except their data sets.

Parameters and forward GFLOP per frame at 96 px, as counted by `--mode=summary` (without padding):

vggface_cnn_4096, vgg16_cnn    50,382,658  5.29
vggface_cnn_2000               41,791,154  5.28
resnet50_cnn                   23,512,130  1.40
1rnn                           37,084,226  5.27
3rnn                           44,459,586  5.28
                               gru               lstm              their GFLOP
affwildnet_vggface             35,314,754        35,888,194        5.26
affwildnet_vggface,landmarks   35,871,810        36,445,250        5.27
affwildnet_resnet50            24,443,202        24,754,498        1.40
affwildnet_resnet50,landmarks  27,510,270        27,751,422        1.40
"""

import itertools

from ml_collections import ConfigDict

from configs import variants
from va_jax.config import defaults

NETWORKS = {  # backbone, widths of the fully connected layers, input of each recurrent stack
    "vggface_cnn_4096": ("vgg16", (4096, 4096), ()),
    "vggface_cnn_2000": ("vgg16", (4096, 2000), ()),
    "vgg16_cnn": ("vgg16", (4096, 4096), ()),
    "resnet50_cnn": ("resnet50", (), ()),
    "affwildnet_vggface": ("vgg16", (4096,), ("fc",)),
    "affwildnet_resnet50": ("resnet50", (), ("fc",)),
    "1rnn": ("vgg16", (4096,), ("fc+pool",)),
    "3rnn": ("vgg16", (4096,), ("fc", "pool", "conv")),
}
CELLS, LOSSES, TRANSFERS = ("gru", "lstm"), ("ccc", "mse"), ("recola", "afew_va")
ROWS = (
    *(name for name in NETWORKS if not name.startswith("affwildnet")),
    *(
        ",".join(word for word in words if word)
        for words in itertools.product(
            ("affwildnet_vggface", "affwildnet_resnet50"),
            CELLS,
            ("", "landmarks"),
            LOSSES,
            ("", "frozen"),
        )
    ),
)

THEIR_FC = r"(?:.*[./])?(?:fc[67]|classifier|pre_logits)[./_].*"
"""VGG's fully connected layers in weight files, which expect 7x7 feature maps, not 3x3 (96 px)."""


def get_config(variant: str = "affwildnet_vggface,gru,ccc") -> ConfigDict:
    """Return the config for a variant, NETWORK,WORDS."""
    backbone, fc, branches = NETWORKS.get(variant.partition(",")[0], ("", (), ()))
    words = variants.read(
        "configs/kollias2017.py",
        variant,
        {
            "network": tuple(NETWORKS),
            **({"cell": CELLS} if branches else {}),
            "landmarks": ("landmarks",),
            "loss": LOSSES,
            "frozen": ("frozen",),
            "transfer": TRANSFERS,
            "tiny": ("tiny",),
        },
    )
    config = defaults()
    config.data.name = f"{words.get('transfer', 'aff_wild')}/96"
    config.data.size = 96
    config.window.length = config.window.hop = 80
    config.init.fresh = (*config.init.fresh, "params/fc/.*")
    config.init.leave_out = (THEIR_FC,)
    config.model.backbone = backbone
    config.model.input_mean = config.model.input_std = (128 / 255,) * 3
    config.model.fc = fc
    if backbone == "vgg16":
        config.model.pool = "flatten"
        config.model.fc_dropout = 0.5
    if branches:
        config.model.branches = branches
        config.model.temporal = words.get("cell", "gru")
        config.model.units = 128
        config.model.dropout = 0.5 if fc else 0.0
        if "transfer" not in words:  # the second layer and the heads of the source CNN are not used
            config.init.leave_out += ("params/fc/layer_1/.*", "params/head_.*")
    else:
        config.model.temporal = "none"
    if "landmarks" in words:
        config.model.landmarks = "before_fc"
        config.model.fc = fc or (1500,)
    if words.get("loss") == "mse":
        config.loss.ccc, config.loss.mse = 0.0, 1.0
    if "frozen" in words:
        config.optim.rates.backbone = 0.0
    config.optim.name = "adam"
    config.optim.learning_rate = 1e-3
    config.train.batch_size = 10
    config.train.steps = 2_000 if "transfer" in words else 20_000
    config.eval.state = "window"
    config.eval.length = config.eval.hop = 80
    config.eval.every_steps = config.checkpoint.every_steps = config.train.steps // 20
    return variants.shrink(config) if "tiny" in words else config
