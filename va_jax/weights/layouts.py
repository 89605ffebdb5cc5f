"""Other people's layouts of one array turned into ours: pure functions that know no names.

Each returns its array with axes and rows in our order; a ValueError tells the shape it expected.
"""

import numpy as np


def vector(array: np.ndarray) -> np.ndarray:
    """[n] as it is, and from MatConvNet's column or row."""
    if array.ndim not in (1, 2) or array.size != max(array.shape):
        raise ValueError("a vector")
    return array.reshape(-1)


def conv(array: np.ndarray) -> np.ndarray:
    """OIHW (torch, Caffe) -> HWIO."""
    if array.ndim != 4 or array.shape[2] != array.shape[3]:
        raise ValueError("[out, in, side, side]")
    return array.transpose(2, 3, 1, 0)


def conv_in_place(array: np.ndarray) -> np.ndarray:
    """HWIO (MatConvNet, TensorFlow), which is ours."""
    if array.ndim != 4 or array.shape[0] != array.shape[1]:
        raise ValueError("[side, side, in, out]")
    return array


def conv_over_time(array: np.ndarray) -> np.ndarray:
    """OIDHW -> DHWIO, and HWIO where the kernel sees one frame."""
    if array.ndim != 5 or array.shape[3] != array.shape[4]:
        raise ValueError("[out, in, frames, side, side]")
    array = array.transpose(2, 3, 4, 1, 0)
    return array[0] if array.shape[0] == 1 else array


def pointwise(array: np.ndarray) -> np.ndarray:
    """A 1x1 convolution OIHW -> a dense layer's [in, out]."""
    if array.ndim != 4 or array.shape[2:] != (1, 1):
        raise ValueError("[out, in, 1, 1]")
    return array[:, :, 0, 0].T


def dense(array: np.ndarray, side: int = 1) -> np.ndarray:
    """[out, in], or the same layer as a convolution OIHW, -> [in, out].

    The layer sees a map of side x side laid flat: channels first there, so that row and column
    lie innermost (CHW); channels last with us (HWC).
    """
    channels, rest = divmod(array.size, array.shape[0] * side**2)
    if array.ndim not in (2, 4) or rest or (array.ndim == 4 and array.shape[2:] != (side, side)):
        raise ValueError(f"[out, {side} x {side} x channels]" if side > 1 else "[out, in]")
    return array.reshape(-1, channels, side, side).transpose(2, 3, 1, 0).reshape(-1, len(array))


def dense_in_place(array: np.ndarray, side: int = 1) -> np.ndarray:
    """[in, out], in `in` channels innermost, or the same as a convolution HWIO, -> [in, out]."""
    if array.ndim not in (2, 4) or (array.ndim == 4 and array.shape[:2] != (side, side)):
        raise ValueError(f"[{side}, {side}, in, out]")
    return array.reshape(-1, array.shape[-1])


def mean_colour(array: np.ndarray) -> np.ndarray:
    """A mean image or colour, channels last, 0..255 -> its mean colour [3] in [0, 1]."""
    if array.size % 3 or (array.size > 3 and array.shape[-1] != 3):
        raise ValueError("[3] or [height, width, 3]")
    return array.reshape(-1, 3).mean(0) / 255
