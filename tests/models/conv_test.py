"""Convolution and pooling over time match the library and hand counts, also with holes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from va_jax.models.conv import Conv, stride_mask
from va_jax.models.inflate import Time
from va_jax.models.pooling import max_over_time


@pytest.mark.parametrize(
    ("channels", "side", "stride", "dilation", "padding"),
    [(3, 3, 2, 1, "zero"), (3, 3, 1, 2, "edge"), (8, 3, 1, 2, "zero"), (8, 1, 2, 1, "edge")],
)
def test_convolution_over_time_and_its_gradient_match_the_library(
    channels, side, stride, dilation, padding
):
    conv = Conv(5, side, stride, Time(3, dilation, stride, padding))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 7, 6, 5, channels)).astype(np.float32)
    kernel = rng.normal(size=(3, side, side, channels, 5)).astype(np.float32)

    def ours(x, kernel):
        return conv.apply({"params": {"kernel": kernel}}, x, jnp.ones((2, 7), bool))

    def library(x, kernel):
        edges = ((0, 0), (dilation, dilation), (0, 0), (0, 0), (0, 0))
        return jax.lax.conv_general_dilated(
            jnp.pad(x, edges, mode="edge" if padding == "edge" else "constant"),
            kernel,
            (stride,) * 3,
            [(0, 0), (side // 2, side // 2), (side // 2, side // 2)],
            rhs_dilation=(dilation, 1, 1),
            dimension_numbers=("NTHWC", "THWIO", "NTHWC"),
        )

    def slopes(f):
        return jax.jit(jax.grad(lambda x, kernel: (f(x, kernel) ** 3).sum(), (0, 1)))(x, kernel)

    np.testing.assert_allclose(
        *(jax.jit(f)(x, kernel) for f in (ours, library)), rtol=1e-4, atol=1e-4
    )
    for mine, reference in zip(slopes(ours), slopes(library), strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-4, atol=1e-4 * np.abs(reference).max())


def test_the_pool_over_time_is_the_maximum_of_the_unmasked_frames():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 9, 2, 2, 4)).astype(np.float32)
    mask = rng.random((3, 9)) < 0.6
    y = max_over_time(jnp.asarray(x), jnp.asarray(mask), Time(taps=5, stride=1))
    for row, frame in np.argwhere(mask):
        near = slice(max(frame - 2, 0), frame + 3)
        expected = x[row, near][mask[row, near]].max(0)
        np.testing.assert_array_equal(y[row, frame], expected)


def test_a_stride_in_time_takes_its_first_unmasked_frame():
    x = jnp.arange(7, dtype=jnp.float32).reshape(1, 7, 1, 1, 1)
    mask = jnp.asarray([[True, True, False, True, False, False, True]])
    np.testing.assert_array_equal(stride_mask(mask, 2), [[True, True, False, True]])
    pooled = max_over_time(x, mask, Time(stride=2))
    np.testing.assert_array_equal(pooled[0, :, 0, 0, 0][np.array([0, 1, 3])], [0, 3, 6])
    conv = Conv(1, 1, time=Time(stride=3))
    y = conv.apply({"params": {"kernel": jnp.ones((1, 1, 1, 1))}}, x, mask)
    np.testing.assert_array_equal(y[0, :, 0, 0, 0], [0, 3, 6])
