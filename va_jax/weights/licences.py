"""Licences of published weights, as their publishers state them; this is not legal advice."""

PUBLISHER = "as stated by its publisher"
NON_COMMERCIAL = "CC BY-NC 4.0: no commercial use"

LICENCES = {
    "torchvision": "BSD-3-Clause; trained on ImageNet, whose images are for research",
    "timm": "Apache-2.0, unless its model card states a different licence",
    "huggingface": f"{PUBLISHER}, in its model card",
    "emotieffnet": "Apache-2.0; trained on AffectNet, whose images are for research",
    "vggface2": "trained on VGGFace2, whose images are for research",
    "vggface": NON_COMMERCIAL,
    "vggface_caffe": NON_COMMERCIAL,
    "kinetics": PUBLISHER,
    "timm_vit": "Apache-2.0, unless its model card states a different licence",
    "deit": "Apache-2.0",
    "dinov2": "Apache-2.0",
    "farl": "MIT",
}
"""Format of the weights -> their licence, and limits that it or the training data set on use."""


def licence(format: str) -> str:
    """Return the licence of weights in a format; if it is not known, refer to the publisher."""
    return LICENCES.get(format, PUBLISHER)
