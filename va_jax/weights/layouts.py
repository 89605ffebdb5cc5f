"""Convert an array from a different layout to ours, without using its name.

Each function returns the array with its axes and rows in our order, or raises a ValueError that
contains the expected shape.
"""

import numpy as np


def vector(array: np.ndarray) -> np.ndarray:
    """Return a vector as [n]; MatConvNet stores it as a column or a row."""
    if array.ndim not in (1, 2) or array.size != max(array.shape):
        raise ValueError("a vector")
    return array.reshape(-1)


def tokens(array: np.ndarray) -> np.ndarray:
    """Return tokens as [n, width]; a file may store [1, n, width], or [width] for one token."""
    if array.ndim > 3 or (array.ndim == 3 and len(array) != 1):
        raise ValueError("[tokens, width] or [1, tokens, width]")
    return array.reshape(-1, array.shape[-1])


def conv(array: np.ndarray) -> np.ndarray:
    """Convert a kernel from OIHW (torch, Caffe) to HWIO."""
    if array.ndim != 4 or array.shape[2] != array.shape[3]:
        raise ValueError("[out, in, side, side]")
    return array.transpose(2, 3, 1, 0)


def conv_in_place(array: np.ndarray) -> np.ndarray:
    """Return an HWIO kernel (MatConvNet, TensorFlow) unchanged, since HWIO is our layout."""
    if array.ndim != 4 or array.shape[0] != array.shape[1]:
        raise ValueError("[side, side, in, out]")
    return array


def conv_over_time(array: np.ndarray) -> np.ndarray:
    """Convert a kernel from OIDHW to DHWIO, or to HWIO if it spans a single frame."""
    if array.ndim != 5 or array.shape[3] != array.shape[4]:
        raise ValueError("[out, in, frames, side, side]")
    array = array.transpose(2, 3, 4, 1, 0)
    return array[0] if array.shape[0] == 1 else array


def pointwise(array: np.ndarray) -> np.ndarray:
    """Convert the OIHW kernel of a 1x1 convolution to a dense layer's [in, out]."""
    if array.ndim != 4 or array.shape[2:] != (1, 1):
        raise ValueError("[out, in, 1, 1]")
    return array[:, :, 0, 0].T


def dense(array: np.ndarray, side: int = 1) -> np.ndarray:
    """Convert a dense kernel [out, in], or the same layer as an OIHW convolution, to [in, out].

    The input of the layer is a flattened map of `side` x `side`, in CHW order in the file and in
    HWC order here.
    """
    channels, rest = divmod(array.size, array.shape[0] * side**2)
    if array.ndim not in (2, 4) or rest or (array.ndim == 4 and array.shape[2:] != (side, side)):
        raise ValueError(f"[out, {side} x {side} x channels]" if side > 1 else "[out, in]")
    return array.reshape(-1, channels, side, side).transpose(2, 3, 1, 0).reshape(-1, len(array))


def dense_in_place(array: np.ndarray, side: int = 1) -> np.ndarray:
    """Return a dense kernel [in, out], where `in` is HWC; the file may store it as HWIO."""
    if array.ndim not in (2, 4) or (array.ndim == 4 and array.shape[:2] != (side, side)):
        raise ValueError(f"[{side}, {side}, in, out]")
    return array.reshape(-1, array.shape[-1])


def mean_colour(array: np.ndarray) -> np.ndarray:
    """Return the mean colour [3], in [0, 1], of an image or a colour in 0..255, channels last."""
    if array.size % 3 or (array.size > 3 and array.shape[-1] != 3):
        raise ValueError("[3] or [height, width, 3]")
    return array.reshape(-1, 3).mean(0) / 255
