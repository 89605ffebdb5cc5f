"""Define the networks of `va_jax.models` in torch, for comparisons in tests and timings.

Modules are named as in torchvision (ResNet, VGG) and cydonia999/VGGFace2-pytorch (`conv4` and
`conv5` of squeeze-and-excitation), and otherwise as in va_jax; `peer_names` maps the tensors. A
peer has no mask: every frame counts as showing the face.
"""

import torch
from torch import Tensor, nn

from benchmarks.peer_backbones import VGG, VGGS, ResNet
from va_jax.config import Model


class Network(nn.Module):
    """The network of `va_jax.models.regressor.Regressor`: from frames to predictions."""

    def __init__(self, c: Model, dims: tuple[str, ...], side: int) -> None:
        super().__init__()
        if c.peepholes or c.frame_mask:
            raise ValueError(
                "model.peepholes and model.frame_mask have no counterpart in torch; set False and 0"
            )
        self.config = c
        self.backbone = VGG(c) if c.backbone in VGGS else ResNet(c)
        self.register_buffer("mean", torch.tensor(c.input_mean))
        self.register_buffer("std", torch.tensor(c.input_std))
        with torch.no_grad():
            conv, pool = (y[0, 0] for y in self.eval().maps(torch.zeros(1, 1, side, side, 3)))
        self.train()
        points = 2 * c.landmark_points
        widths = {"conv": conv.numel()}
        widths["pool"] = pool.numel() if c.pool == "flatten" else pool.shape[-1]
        widths["fc"] = widths["pool"] + points * (c.landmarks == "before_fc")
        self.fc = nn.Sequential()
        for number, width in enumerate(c.fc):
            if number:
                self.fc.add_module(f"dropout_{number}", nn.Dropout(c.fc_dropout))
            self.fc.add_module(f"layer_{number}", nn.Linear(widths["fc"], width))
            self.fc.add_module(f"relu_{number}", nn.ReLU())
            widths["fc"] = width
        widths["fc"] += points * (c.landmarks == "after_fc")
        fed = [sum(widths[part] for part in branch.split("+")) for branch in c.branches]
        self.dropout = nn.Dropout(c.dropout)
        self.stacks, self.heads = nn.ModuleDict(), nn.ModuleDict()
        if c.temporal != "none":
            for branch, width in zip(c.branches, fed, strict=True):
                name = "temporal" if len(fed) == 1 else f"temporal_{branch.replace('+', '_')}"
                self.stacks[name] = _stack(c, width)
            fed = [c.units * (2 if c.bidirectional else 1)] * len(fed)
        for dim in dims:
            self.heads[f"head_{dim}"] = nn.Linear(sum(fed), 1)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the maps [batch, time, h, w, channels] of the last convolution and pool."""
        i = self.config.inflation
        if i.taps == 1:
            both = self.backbone(x.flatten(0, 1).permute(0, 3, 1, 2))
            return [y.permute(0, 2, 3, 1).unflatten(0, x.shape[:2]) for y in both]
        both = [y.permute(0, 2, 3, 4, 1) for y in self.backbone(x.permute(0, 4, 1, 2, 3))]
        if not i.strided:
            return both
        repeats = [2**halvings for halvings in self.backbone.halvings]
        pairs = zip(both, repeats, strict=True)
        return [y.repeat_interleave(n, 1)[:, : x.shape[1]] for y, n in pairs]

    def forward(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """Return predictions [batch, time, dims] for uint8 [batch, time, height, width, 3]."""
        c = self.config
        low = c.compute_dtype == "bfloat16"
        x = (frames.float() / 255 - self.mean) / self.std
        with torch.autocast(x.device.type, torch.bfloat16, enabled=low):
            conv, pool = self.maps(x)
        conv, pool = conv.float(), pool.float()
        parts = {"conv": conv.flatten(2)}
        parts["pool"] = pool.flatten(2) if c.pool == "flatten" else pool.mean((2, 3))
        beside = [] if landmarks is None else [landmarks.flatten(2)]
        fed = [parts["pool"], *(beside if c.landmarks == "before_fc" else [])]
        fed = [self.fc(torch.cat(fed, -1)), *(beside if c.landmarks == "after_fc" else [])]
        parts["fc"] = torch.cat(fed, -1)
        branches = [torch.cat([parts[p] for p in b.split("+")], -1) for b in c.branches]
        outputs = [self.dropout(branch) for branch in branches]
        if self.stacks:
            stacks = zip(self.stacks.values(), outputs, strict=True)
            outputs = [stack(x)[0] for stack, x in stacks]
        y = torch.cat(outputs, -1)
        pred = torch.cat([head(y) for head in self.heads.values()], -1)
        return pred.tanh() if c.bounded else pred


def _stack(c: Model, features: int) -> nn.Module:
    """Return the recurrent layers; torch's second bias is 0, because va_jax has only one bias."""
    stack = {"lstm": nn.LSTM, "gru": nn.GRU}[c.temporal](
        features,
        c.units,
        c.layers,
        batch_first=True,
        dropout=c.temporal_dropout,
        bidirectional=c.bidirectional,
    )
    for name, parameter in stack.named_parameters():
        if name.startswith("bias_hh"):
            nn.init.zeros_(parameter)
    return stack
