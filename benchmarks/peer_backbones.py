"""Define the CNNs of `va_jax.models` in torch; `peers` builds networks from them."""

import dataclasses

from torch import Tensor, nn
from torch.nn import functional

from va_jax.config.model import Inflation, Model

RESNETS = {  # blocks per stage, bottlenecks, stride on the first 1x1, squeeze-and-excitation
    "resnet": ((), False, False, False),
    "resnet18": ((2, 2, 2, 2), False, False, False),
    "resnet34": ((3, 4, 6, 3), False, False, False),
    "resnet50": ((3, 4, 6, 3), True, False, False),
    "resnet50_vggface2": ((3, 4, 6, 3), True, True, False),
    "seresnet50": ((3, 4, 6, 3), True, True, True),
}
VGGS = {  # convolutions per stage, batch norm
    "vgg": ((), False),
    "vgg16": ((2, 2, 3, 3, 3), False),
    "vgg16bn": ((2, 2, 3, 3, 3), True),
}

KINETICS = ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0))
"""1 for each bottleneck with temporal taps in the I3D-ResNet-50 of Wang et al. (2018), by stage."""


class EdgeConv3d(nn.Conv3d):
    """A convolution that repeats the first and the last frame beyond the ends of a clip."""

    def forward(self, x: Tensor) -> Tensor:
        reach, *sides = self.padding
        x = functional.pad(x, (0, 0, 0, 0, reach, reach), "replicate")
        return functional.conv3d(x, self.weight, self.bias, self.stride, (0, *sides), self.dilation)


@dataclasses.dataclass(frozen=True)
class Layers:
    """Builds the layers of a network: 2-D, or 3-D if `inflation.taps` is above 1."""

    inflation: Inflation

    @property
    def flat(self) -> bool:
        return self.inflation.taps == 1

    def conv(
        self,
        before: int,
        after: int,
        side: int,
        stride: int = 1,
        *,
        taps: int = 1,
        stage: int | None = None,
        bias: bool = False,
    ) -> nn.Module:
        if self.flat:
            return nn.Conv2d(before, after, side, stride, side // 2, bias=bias)
        i = self.inflation
        dilation = i.dilation[stage] if i.dilation and stage is not None else 1
        reach = dilation * (taps // 2)
        return (EdgeConv3d if i.padding == "edge" and reach else nn.Conv3d)(
            before,
            after,
            (taps, side, side),
            (stride if i.strided else 1, stride, stride),
            (reach, side // 2, side // 2),
            (dilation, 1, 1),
            bias=bias,
        )

    def norm(self, features: int) -> nn.Module:
        return (nn.BatchNorm2d if self.flat else nn.BatchNorm3d)(features)

    def pool(self, side: int, padding: int, ceil_mode: bool = False) -> nn.Module:
        """Pool over space, then over time; in one layer, ceil_mode would also add a frame."""
        if self.flat:
            return nn.MaxPool2d(side, 2, padding, ceil_mode=ceil_mode)
        space = nn.MaxPool3d((1, side, side), (1, 2, 2), (0, padding, padding), ceil_mode=ceil_mode)
        taps, stride = self.inflation.pool_taps, 2 if self.inflation.strided else 1
        if taps == stride == 1:
            return space
        return nn.Sequential(space, nn.MaxPool3d((taps, 1, 1), (stride, 1, 1), (taps // 2, 0, 0)))

    def taps_of(self, side: int, stage: int = 0, index: int = 0) -> int:
        """Return the taps of a convolution; a first 1x1 is in block `index` of `stage`."""
        i = self.inflation
        if i.layout == "spatial":
            return i.taps if side > 1 else 1
        if side == 7:
            return 5
        return i.taps if side == 1 and KINETICS[stage][index] else 1


class Block(nn.Module):
    """Two convolutions or a bottleneck, with a shortcut."""

    def __init__(
        self, make: Layers, backbone: str, before: int, width: int, stage: int, index: int
    ) -> None:
        super().__init__()
        _, bottleneck, caffe, squeeze_excite = RESNETS[backbone]
        stride = 2 if stage and not index else 1
        after = 4 * width if bottleneck else width
        plan = [(before, width, 3, stride), (width, width, 3, 1)]
        if bottleneck:
            first, second = (stride, 1) if caffe else (1, stride)
            plan = [(before, width, 1, first), (width, width, 3, second), (width, after, 1, 1)]
        self.depth = len(plan)
        for number, (a, b, side, s) in enumerate(plan, 1):
            taps = 1 if number == 3 else make.taps_of(side, stage, index)
            self.add_module(f"conv{number}", make.conv(a, b, side, s, taps=taps, stage=stage))
            self.add_module(f"bn{number}", make.norm(b))
        self.downsample = nn.Identity()
        if stride > 1 or before != after:
            self.downsample = nn.Sequential(make.conv(before, after, 1, stride), make.norm(after))
        self.squeeze_excite = squeeze_excite
        if squeeze_excite:
            self.conv4 = make.conv(after, after // 16, 1, bias=True)
            self.conv5 = make.conv(after // 16, after, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for number in range(1, self.depth + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = y.relu() if number < self.depth else y
        if self.squeeze_excite:
            seen = y.mean((-2, -1), keepdim=True)
            y = y * self.conv5(self.conv4(seen).relu()).sigmoid()
        return (y + self.downsample(x)).relu()


class ResNet(nn.Module):
    def __init__(self, c: Model) -> None:
        super().__init__()
        make = Layers(c.inflation)
        sizes, bottleneck, caffe, _ = RESNETS[c.backbone]
        self.conv1 = make.conv(3, c.width, 7, 2, taps=make.taps_of(7))
        self.bn1 = make.norm(c.width)
        self.maxpool = make.pool(3, 0, ceil_mode=True) if caffe else make.pool(3, 1)
        before = c.width
        for stage, size in enumerate(c.stage_sizes or sizes):
            width, blocks = c.width * 2**stage, []
            for index in range(size):
                blocks.append(Block(make, c.backbone, before, width, stage, index))
                before = 4 * width if bottleneck else width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.stages = stage + 1
        self.halvings = (stage + 2,) * 2

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return x, x


class VGG(nn.Module):
    def __init__(self, c: Model) -> None:
        super().__init__()
        make = Layers(c.inflation)
        sizes, batch_norm = VGGS[c.backbone]
        layers, before = [], 3
        for stage, size in enumerate(c.stage_sizes or sizes):
            width = c.width * (1, 2, 4, 8, 8)[stage]
            for _ in range(size):
                taps = make.taps_of(3)
                layers.append(make.conv(before, width, 3, taps=taps, stage=stage, bias=True))
                layers += [make.norm(width)] * batch_norm + [nn.ReLU()]
                before = width
            layers.append(make.pool(2, 0))
        self.features = nn.Sequential(*layers)
        self.halvings = stage, stage + 1

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        conv = self.features[:-1](x)
        return conv, self.features[-1](conv)
