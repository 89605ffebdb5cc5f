"""Rows for other projects' Vision Transformers, from which `names` builds tables."""

from collections.abc import Callable

import numpy as np

from va_jax.weights.layouts import conv, dense, tokens, vector

Rows = tuple[tuple[str, str, Callable[[np.ndarray], np.ndarray]], ...]

DINOV2_PATCH = 14
"""Side of a patch in DINOv2, in pixels."""


def layer(name: str, path: str) -> Rows:
    """Return the rows for a dense layer; `name` includes the separator before `weight`."""
    return (
        (rf"{name}weight", f"params/backbone/{path}/kernel", dense),
        (rf"{name}bias", f"params/backbone/{path}/bias", vector),
    )


def layer_norm(name: str, path: str) -> Rows:
    """Return the rows for a layer norm."""
    return (
        (rf"{name}\.weight", f"params/backbone/{path}/scale", vector),
        (rf"{name}\.bias", f"params/backbone/{path}/bias", vector),
    )


def patch_of_dinov2(array: np.ndarray) -> np.ndarray:
    """Return the patch kernel as HWIO; raise ValueError if the patches have a different side."""
    if array.shape[1:] != (3, DINOV2_PATCH, DINOV2_PATCH):
        raise ValueError(f"[out, 3, {DINOV2_PATCH}, {DINOV2_PATCH}]")
    return conv(array)


def timm(patch: Callable[[np.ndarray], np.ndarray] = conv) -> Rows:
    """Return the rows for timm's VisionTransformer (models/vision_transformer.py).

    In checkpoints from DINOv2's own training, `blocks.0.5` is block 5 of the network, in chunk 0.
    """
    block = r"blocks\.(?:\d+\.)?(\d+)\."
    rows: Rows = (
        (r"patch_embed\.proj\.weight", "params/backbone/patch_kernel", patch),
        (r"patch_embed\.proj\.bias", "params/backbone/patch_bias", vector),
        ("cls_token", "params/backbone/class_token", tokens),
        ("pos_embed", "params/backbone/positions", tokens),
    )
    for name, path in (
        (r"attn\.qkv", "qkv"),
        (r"attn\.proj", "proj"),
        (r"mlp\.fc1", "fc1"),
        (r"mlp\.fc2", "fc2"),
    ):
        rows += layer(rf"{block}{name}\.", rf"block\1/{path}")
    for number in (1, 2):
        rows += layer_norm(f"{block}norm{number}", rf"block\1/norm{number}")
    return rows + layer_norm("norm", "norm")


def dinov2() -> Rows:
    """Return the rows for DINOv2 (facebookresearch/dinov2, models/vision_transformer.py)."""
    gamma = r"blocks\.(?:\d+\.)?(\d+)\.ls([12])\.gamma"
    scales: Rows = ((gamma, r"params/backbone/block\1/layer_scale\2", vector),)
    return timm(patch_of_dinov2) + scales


def clip() -> Rows:
    """Return the rows for CLIP's image network (openai/CLIP, model.py), which FaRL also uses."""
    block = r"visual\.transformer\.resblocks\.(\d+)\."
    rows: Rows = (
        (r"visual\.conv1\.weight", "params/backbone/patch_kernel", conv),
        (r"visual\.class_embedding", "params/backbone/class_token", tokens),
        (r"visual\.positional_embedding", "params/backbone/positions", tokens),
    )
    for name, path in (
        (r"attn\.in_proj_", "qkv"),
        (r"attn\.out_proj\.", "proj"),
        (r"mlp\.c_fc\.", "fc1"),
        (r"mlp\.c_proj\.", "fc2"),
    ):
        rows += layer(block + name, rf"block\1/{path}")
    for number in (1, 2):
        rows += layer_norm(f"{block}ln_{number}", rf"block\1/norm{number}")
    rows += layer_norm(r"visual\.ln_pre", "norm_pre")
    return rows + layer_norm(r"visual\.ln_post", "norm")


MASK_TOKEN = "placeholder for masked patches in pre-training"
TIMM_LEFT_OUT = {r"head\.(?:weight|bias)": "classifier for the original task"}
DINOV2_LEFT_OUT = TIMM_LEFT_OUT | {"mask_token": MASK_TOKEN}
CLIP_LEFT_OUT = {
    r"(?:transformer|token_embedding|ln_final)\..*": "part of the text network",
    "positional_embedding|text_projection": "part of the text network",
    "logit_scale": "scale of the similarity between image and text",
    r"visual\.proj": "projection into the space shared with text",
    r"visual\.(?:lm_transformer|ln_lm|lm_head)\..*": "prediction of masked patches",
    r"visual\.mask_token": MASK_TOKEN,
    "input_resolution|context_length|vocab_size": "not a parameter",
}
"""Regular expression for names that an image network does not need -> reason."""
