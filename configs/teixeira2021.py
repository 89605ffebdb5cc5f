"""2D-CNN + LSTM and inflated 3D-CNN on SEWA: Teixeira, Granger and Koerich (2021).

"Continuous Emotion Recognition with Spatiotemporal Convolutional Neural Networks", Applied Sciences
11(24), 11738.

Usage: `configs/teixeira2021.py:NETWORK,WORDS`. NETWORK is vgg16, vgg16bn or resnet50. WORDS are

frame, lstm, i3d_copied, i3d_centred: the 2-D network on single frames, with an LSTM, or inflated
    to three taps in time; the last three are initialized from a run of the first (see chains.md)
length=16|32|64, overlap=.2|.5|.8: frames per window, and the overlap of consecutive windows
fusion=mean|extremum: how the predictions for a frame from overlapping windows are combined
init=random|imagenet|vggface|rafdb: the data on which the weights in `--config.init.weights` were
    trained; vggface is VGG-Face for vgg16 and VGGFace2 for resnet50, which strides as in Caffe
tiny: a run of a few seconds, for tests

From the abstract: the two kinds of temporal networks, and the inflation of a trained network. From
the code of the authors' lab: both kinds of inflation, three taps, and pooling over one frame, so
that every frame gets a value. The lab's code for a different task fine-tunes an inflated VGG on
clips of 16 frames, four per batch, with learning rate 2.5e-6 (5e-4 for a new head), weight decay
1e-3, flips, rotations by up to 20 degrees and colour changes; these are the defaults here.

Not known from the paper, so our choice: split, loss, optimiser, learning rates for frame and lstm,
size of the LSTM, dropout, steps, crops, and the length, overlap and fusion for each result. Padding
in time repeats the edge frame, which is also our choice. As a result, a copied network initially
gives the same output as the 2-D network while a face does not move.

Parameters and forward GFLOP per frame at 224 px, as counted by `--mode=summary` (without padding):

           frame                lstm                 i3d_copied, i3d_centred
vgg16      134,268,738  29.97   139,243,842  29.98   163,689,666  89.44
vgg16bn    134,277,186  30.01   139,252,290  30.02   163,698,114  89.48
resnet50    23,512,130   7.95    26,394,178   7.95    46,165,442  15.27
"""

from ml_collections import ConfigDict

from configs import variants
from va_jax.config import defaults

TORCH = {"random": "auto", "imagenet": "torchvision", "rafdb": "torchvision"}
FORMATS = {  # network -> training data of its weights -> format of the weight file
    "vgg16": TORCH | {"vggface": "auto"},
    "vgg16bn": TORCH,
    "resnet50": TORCH | {"vggface": "vggface2"},
}
FORMS = ("frame", "lstm", "i3d_copied", "i3d_centred")
ROWS = tuple(f"{network},{form}" for network in FORMATS for form in FORMS)


def get_config(variant: str = ROWS[0]) -> ConfigDict:
    """Return the config for a variant, NETWORK,WORDS."""
    formats = FORMATS.get(variant.partition(",")[0], {})
    words = variants.read(
        "configs/teixeira2021.py",
        variant,
        {
            "network": tuple(FORMATS),
            "form": FORMS,
            "length": ("length=16", "length=32", "length=64"),
            "overlap": ("overlap=.2", "overlap=.5", "overlap=.8"),
            "fusion": ("fusion=mean", "fusion=extremum"),
            "init": tuple(f"init={name}" for name in formats),
            "tiny": ("tiny",),
        },
    )
    network, form, init = words["network"], words.get("form", "frame"), words.get("init")
    length, overlap = int(words.get("length", 16)), float(words.get("overlap", 0.5))

    config = defaults()
    config.data.name = "sewa/224"
    config.data.size = 224
    config.window.length = config.eval.length = length
    config.window.hop = config.eval.hop = round(length * (1 - overlap))
    config.augment.crop = 0.875
    config.augment.rotation_deg = 20.0
    config.augment.brightness = config.augment.contrast = config.augment.saturation = 0.2
    config.augment.hue = 0.1
    config.init.format = formats[init or "random"]
    config.model.backbone = "resnet50_vggface2" if config.init.format == "vggface2" else network
    if network != "resnet50":
        config.model.pool = "flatten"
        config.model.fc = (4096, 4096)
        config.model.fc_dropout = config.model.dropout = 0.5
    config.optim.weight_decay = 1e-3
    config.train.steps = 20_000
    config.train.batch_size = 4
    config.eval.fusion = words.get("fusion", "mean")
    config.eval.every_steps = config.checkpoint.every_steps = 1000
    if form == "lstm":
        config.init.leave_out = (
            "params/head_.*",
        )  # they match the features of the 2-D network, not the recurrent state
    else:
        config.model.temporal = "none"
    if form != "frame":
        config.eval.state = "window"
    if form.startswith("i3d"):
        config.model.inflation.taps = 3
        config.model.inflation.padding = "edge"
        config.init.inflate = form.removeprefix("i3d_")
        if init != "random":
            config.optim.learning_rate = 5e-4
            config.optim.rates.backbone = config.optim.rates.fc = 0.005
    return variants.shrink(config) if "tiny" in words else config
