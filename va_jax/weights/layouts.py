"""Turn one array from another layout into ours: pure functions that know no names.

Each returns the array with axes and rows in our order, or raises a ValueError with the shape it
expects.
"""

import numpy as np


def vector(array: np.ndarray) -> np.ndarray:
    """Return [n], also from MatConvNet's column or row."""
    if array.ndim not in (1, 2) or array.size != max(array.shape):
        raise ValueError("a vector")
    return array.reshape(-1)


def tokens(array: np.ndarray) -> np.ndarray:
    """Return [n, width], also from [1, n, width], or from [width] for a single token."""
    if array.ndim > 3 or (array.ndim == 3 and len(array) != 1):
        raise ValueError("[tokens, width] or [1, tokens, width]")
    return array.reshape(-1, array.shape[-1])


def conv(array: np.ndarray) -> np.ndarray:
    """Return OIHW (torch, Caffe) as HWIO."""
    if array.ndim != 4 or array.shape[2] != array.shape[3]:
        raise ValueError("[out, in, side, side]")
    return array.transpose(2, 3, 1, 0)


def conv_in_place(array: np.ndarray) -> np.ndarray:
    """Return HWIO (MatConvNet, TensorFlow), which is our layout."""
    if array.ndim != 4 or array.shape[0] != array.shape[1]:
        raise ValueError("[side, side, in, out]")
    return array


def conv_over_time(array: np.ndarray) -> np.ndarray:
    """Return OIDHW as DHWIO, or as HWIO where the kernel sees one frame."""
    if array.ndim != 5 or array.shape[3] != array.shape[4]:
        raise ValueError("[out, in, frames, side, side]")
    array = array.transpose(2, 3, 4, 1, 0)
    return array[0] if array.shape[0] == 1 else array


def pointwise(array: np.ndarray) -> np.ndarray:
    """Return a 1x1 convolution OIHW as a dense layer's [in, out]."""
    if array.ndim != 4 or array.shape[2:] != (1, 1):
        raise ValueError("[out, in, 1, 1]")
    return array[:, :, 0, 0].T


def dense(array: np.ndarray, side: int = 1) -> np.ndarray:
    """Return [out, in], or the same layer as a convolution OIHW, as [in, out].

    The layer sees a flattened map of side x side: in the order CHW there, HWC with us.
    """
    channels, rest = divmod(array.size, array.shape[0] * side**2)
    if array.ndim not in (2, 4) or rest or (array.ndim == 4 and array.shape[2:] != (side, side)):
        raise ValueError(f"[out, {side} x {side} x channels]" if side > 1 else "[out, in]")
    return array.reshape(-1, channels, side, side).transpose(2, 3, 1, 0).reshape(-1, len(array))


def dense_in_place(array: np.ndarray, side: int = 1) -> np.ndarray:
    """Return [in, out], or the same layer as a convolution HWIO, as [in, out]; `in` is HWC."""
    if array.ndim not in (2, 4) or (array.ndim == 4 and array.shape[:2] != (side, side)):
        raise ValueError(f"[{side}, {side}, in, out]")
    return array.reshape(-1, array.shape[-1])


def mean_colour(array: np.ndarray) -> np.ndarray:
    """Return the mean colour [3] in [0, 1] of an image or colour in 0..255, channels last."""
    if array.size % 3 or (array.size > 3 and array.shape[-1] != 3):
        raise ValueError("[3] or [height, width, 3]")
    return array.reshape(-1, 3).mean(0) / 255
