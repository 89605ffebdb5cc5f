"""Convolution over space and time that ignores frames outside the mask."""

from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from va_jax.models import forms
from va_jax.models.inflate import Time

FEW_CHANNELS = 4
"""Largest number of input channels for which taps are concatenated, to make better use of the
device."""

KAIMING = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
"""Initialisation of He et al. (2015) with fan-out, as in torchvision."""


class Conv(nn.Module):
    """Convolution, zero-padded in space by kernel // 2 on every side, as in torch.

    SAME padding would shift a strided convolution by one pixel for even sizes, and so change the
    output by 3-6 %. With several taps in time, the kernel is [taps, kernel, kernel, in, out].
    Frames outside the mask are treated as missing: their neighbours see the same padding as at the
    ends of the clip.
    """

    features: int
    kernel: int  # side, odd
    stride: int = 1
    time: Time = Time()
    use_bias: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch time height width channels"], mask: Bool[Array, "batch time"]
    ) -> Float[Array, "batch out_time out_height out_width features"]:
        taps = (self.time.taps,) if self.time.taps > 1 else ()
        shape = (*taps, self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", KAIMING, shape, jnp.float32).astype(self.dtype)
        x = x.astype(self.dtype)
        if not taps:
            y = _each_frame(stride_frames(x, mask, self.time.stride), kernel, self.stride)
        elif forms.chosen().time_convolution == "native" and self.time.stride == 1:
            y = _over_time(_pad_time(x, mask, self.time), kernel, self.stride, self.time.dilation)
        elif x.shape[-1] <= FEW_CHANNELS:
            side_by_side = jnp.concatenate(_temporal_taps(x, mask, self.time), -1)
            joined = jnp.moveaxis(kernel, 0, 2).reshape(*kernel.shape[1:3], -1, self.features)
            y = _each_frame(side_by_side, joined, self.stride)
        else:
            # The gradient of a split is a concatenation; that of indexing would pad and add.
            pieces = lax.split(kernel, (1,) * self.time.taps)
            views = zip(_temporal_taps(x, mask, self.time), pieces, strict=True)
            y = cast(Array, sum(_each_frame(view, tap[0], self.stride) for view, tap in views))
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            y = y + bias.astype(self.dtype)[None, None, None, None]
        return y


def _each_frame(x: Array, kernel: Array, stride: int) -> Array:
    """Convolve every frame with the same 2-D kernel [height, width, in, out]."""
    flat = x.reshape(-1, *x.shape[2:])
    y = pointwise(flat, kernel, stride) if kernel.shape[0] == 1 else _flat(flat, kernel, stride)
    return y.reshape(*x.shape[:2], *y.shape[1:])


def pointwise(
    x: Float[Array, "n height width channels"],
    kernel: Float[Array, "1 1 channels features"],
    stride: int = 1,
) -> Float[Array, "n out_height out_width features"]:
    """Convolve with a 1x1 kernel."""
    if forms.chosen().pointwise == "convolution":
        return _flat(x, kernel, stride)
    return cast(Array, _product(x[:, ::stride, ::stride], kernel[0, 0]))


def _flat(x: Array, kernel: Array, stride: int) -> Array:
    """Convolve x [n, height, width, in], with the zero padding that `Conv` describes."""
    side = kernel.shape[0]
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=[(side // 2, side // 2)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _over_time(x: Array, kernel: Array, stride: int, dilation: int) -> Array:
    """Convolve x, already padded in time, with a 3-D kernel [taps, height, width, in, out]."""
    side = kernel.shape[1]
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, stride, stride),
        padding=[(0, 0), *[(side // 2, side // 2)] * 2],
        rhs_dilation=(dilation, 1, 1),
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )


@jax.custom_vjp
def _product(x: Array, kernel: Array) -> Array:
    """Multiply every position of x [n, height, width, in] by `kernel` [in, out]."""
    return _product_forward(x, kernel)[0]


def _product_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return lax.dot_general(x, kernel, (((3,), (0,)), ((), ()))), (x, kernel)


def _product_backward(saved: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    # XLA transposes the first factor on a CPU, so it should be the one with fewer channels.
    x, kernel = saved
    rows, slopes = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
    along = (((0,), (0,)), ((), ()))
    if kernel.shape[0] <= kernel.shape[1]:
        by_kernel = lax.dot_general(rows, slopes, along)
    else:
        by_kernel = lax.dot_general(slopes, rows, along).T
    return lax.dot_general(slope, kernel, (((3,), (1,)), ((), ()))), by_kernel


_product.defvjp(_product_forward, _product_backward)


def _temporal_taps(x: Array, mask: Array, time: Time) -> list[Array]:
    """Return, for each tap, the input frame that it sees for every output frame."""
    frames, padded = x.shape[1], _pad_time(x, mask, time)
    starts = range(0, padded.shape[1] - frames + 1, time.dilation)
    views = [padded[:, start : start + frames] for start in starts]
    return [stride_frames(view, mask, time.stride) for view in views]


def _pad_time(x: Array, mask: Array, time: Time) -> Array:
    """Pad in time by the reach of the taps; frames outside the mask become padding too."""
    frames, reach = x.shape[1], time.dilation * (time.taps // 2)
    if time.padding == "edge":
        number = jnp.arange(frames)[None]
        before = lax.cummax(jnp.where(mask, number, -1), axis=1)
        nearest = jnp.where(before < 0, jnp.argmax(mask, 1)[:, None], before)
        source = jnp.take(nearest, jnp.clip(jnp.arange(-reach, frames + reach), 0, frames - 1), 1)
        return _chosen_frames(x, mask, source)
    shown = jnp.where(mask[..., None, None, None], x, 0)
    return jnp.pad(shown, ((0, 0), (reach, reach), (0, 0), (0, 0), (0, 0)))


def stride_mask(mask: Bool[Array, "batch time"], stride: int) -> Bool[Array, "batch out_time"]:
    """Return the mask after striding in time: True if any of the `stride` frames is in the mask."""
    return mask if stride == 1 else _by_stride(mask, stride).any(-1)


def stride_frames(
    x: Float[Array, "batch time height width channels"],
    mask: Bool[Array, "batch time"],
    stride: int,
) -> Float[Array, "batch out_time height width channels"]:
    """Return the first frame in the mask from every group of `stride` frames."""
    if stride == 1:
        return x
    strides = _by_stride(mask, stride)
    first = jnp.arange(strides.shape[1])[None] * stride + jnp.argmax(strides, -1)
    return _chosen_frames(x, mask, first)


def repeat_frames(x: Array, stride: int, frames: Any) -> Array:
    """Repeat each output of a temporally strided network for every frame that it covers."""
    return x if stride == 1 else jnp.repeat(x, stride, axis=1)[:, :frames]


def _chosen_frames(x: Array, mask: Array, numbers: Array) -> Array:
    """Select frames by their numbers [batch, n]; frames outside the mask become zero."""
    # Multiply by zeros and ones, since the gradient of a gather is a scatter, which is slow.
    chosen = (numbers[..., None] == jnp.arange(x.shape[1])[None, None]).astype(x.dtype)
    shown = jnp.where(mask[..., None, None, None], x, 0)
    return jnp.einsum("bnt,bthwc->bnhwc", chosen, shown, precision=lax.Precision.HIGHEST)


def _by_stride(mask: Array, stride: int) -> Array:
    """Reshape [batch, time] to [batch, out_time, stride], padded with False."""
    batch, frames = mask.shape
    strides = -(-frames // stride)
    whole = jnp.pad(mask, ((0, 0), (0, strides * stride - frames)))
    return whole.reshape(batch, strides, stride)
