"""Convolution K without bias and its exact adjoint K^T, on one, two or three space axes."""

from __future__ import annotations

from keras import ops

from keras_pdecnn.utils import arguments

PADDINGS = ("same", "periodic")


def convolve(y, kernel, padding: str = "same"):
    """Apply the convolution K to features.

    Args:
        y: Tensor of shape (batch, *space, c).
        kernel: Tensor of shape (*kernel_size, c, filters), every kernel size odd.
        padding: Continuation of y at the border, "same" (zeros, default) or "periodic".

    Returns:
        K y, a tensor of shape (batch, *space, filters).

    Raises:
        ValueError: If `padding` is neither of the two.

    Example:
        >>> convolve(keras.ops.ones((1, 8, 8, 3)), keras.ops.ones((3, 3, 3, 4))).shape
        TensorShape([1, 8, 8, 4])
    """
    arguments.check_choice("padding", padding, PADDINGS)
    if 0 in tuple(y.shape):
        # For an empty y, oneDNN returns a result that has the shape of y.
        return ops.zeros((*y.shape[:-1], kernel.shape[-1]), y.dtype)
    if padding == "same":
        return ops.conv(y, kernel, padding="same", data_format="channels_last")
    y = wrap(y, kernel.shape[:-2])
    return ops.conv(y, kernel, padding="valid", data_format="channels_last")


def strided_convolve(y, kernel, strides):
    """Apply the convolution K with zero padding, and keep every s-th pixel of each space axis.

    As pixels are only left out, the norm is at most that of K.

    Args:
        y: Tensor of shape (batch, *space, c).
        kernel: Tensor of shape (*kernel_size, c, filters), every kernel size odd.
        strides: Distance s of the pixels that are kept, one integer per space axis.

    Returns:
        Tensor of shape (batch, *ceil(space / strides), filters).

    Example:
        >>> strided_convolve(keras.ops.ones((1, 9, 3)), keras.ops.ones((3, 3, 4)), strides=(2,)).shape
        TensorShape([1, 5, 4])
    """
    if 0 in tuple(y.shape):
        space = (-(-n // s) for n, s in zip(y.shape[1:-1], strides, strict=True))
        return ops.zeros((y.shape[0], *space, kernel.shape[-1]), y.dtype)
    return ops.conv(y, kernel, strides=tuple(strides), padding="same", data_format="channels_last")


def adjoint_kernel(kernel):
    """Return the kernel of K^T: mirrored in space, with input and output channels exchanged.

    For odd kernel sizes and either padding, this is the exact adjoint: <K y, x> = <y, K^T x>.

    Args:
        kernel: Tensor of shape (*kernel_size, c, filters).

    Returns:
        Tensor of shape (*kernel_size, filters, c).

    Example:
        >>> adjoint_kernel(keras.ops.ones((3, 3, 2, 4))).shape
        TensorShape([3, 3, 4, 2])
    """
    space = tuple(range(len(kernel.shape) - 2))
    return ops.flip(ops.swapaxes(kernel, -1, -2), axis=space)


def adjoint_convolve(x, kernel, padding: str = "same"):
    """Apply K^T, the exact adjoint of `convolve` with the same kernel and padding.

    Args:
        x: Tensor of shape (batch, *space, filters).
        kernel: Kernel of K, not of K^T, a tensor of shape (*kernel_size, c, filters).
        padding: Continuation of x at the border, "same" (zeros, default) or "periodic".

    Returns:
        K^T x, a tensor of shape (batch, *space, c).

    Raises:
        ValueError: If `padding` is neither of the two.

    Example:
        >>> kernel = keras.random.normal((3, 3, 2, 4), seed=0)
        >>> y, x = keras.random.normal((1, 8, 8, 2), seed=1), keras.random.normal((1, 8, 8, 4), seed=2)
        >>> left = keras.ops.sum(convolve(y, kernel) * x)
        >>> right = keras.ops.sum(y * adjoint_convolve(x, kernel))
        >>> abs(float(left - right)) < 1e-3
        True
    """
    return convolve(x, adjoint_kernel(kernel), padding)


def wrap(y, kernel_size):
    """Continue y periodically by half a kernel on both sides of every space axis."""
    for axis, size in enumerate(kernel_size, start=1):
        y = _wrap_axis(y, size // 2, axis)
    return y


def _wrap_axis(y, width: int, axis: int):
    """Continue y periodically by `width` entries on both sides of one axis."""
    if width == 0:
        return y
    size = y.shape[axis]
    if size is not None and size >= width:
        head = [slice(None)] * axis + [slice(0, width)]
        tail = [slice(None)] * axis + [slice(size - width, size)]
        return ops.concatenate([y[tuple(tail)], y, y[tuple(head)]], axis=axis)
    # An axis that is shorter than half the kernel, or known only at run time, is repeated as often as needed.
    size = ops.shape(y)[axis]
    return ops.take(y, ops.mod(ops.arange(-width, size + width), size), axis=axis)
