"""The right-hand sides F(theta, y) of the differential equations: the general and the symmetric layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keras import backend, ops

from keras_pdecnn.ops import convolution
from keras_pdecnn.ops.backend import primitives
from keras_pdecnn.ops.convolution import adjoint_kernel
from keras_pdecnn.ops.normalization import Normalization
from keras_pdecnn.ops.normalization import normalization as find_normalization


def general_layer(
    y,
    inner,
    outer,
    scale=None,
    bias=None,
    *,
    activation: Callable,
    normalization: str | None = "tv",
    epsilon: float = 1e-3,
    padding: str = "same",
    plain: bool = False,
):
    """Evaluate the general layer F(theta, y) = K2 sigma(N(K1 y)) (eq. 1).

    The normalisation decides what stands between the two convolutions. With s the scale and b the bias:

    sigma(N(u)) = sigma(s u / sqrt(sum_c u_c^2 + epsilon) + b)      "tv" (eq. 9)
                  sigma(u + b)                                      None
                  sigma(max(s, 0) u + b)                            "scale"
                  p / sqrt(1 + sum_c p_c^2), p = sigma(u + b)       "shrinkage"

    Args:
        y: Tensor of shape (batch, *space, c).
        inner: Kernel of K1, shape (*kernel_size, c, filters).
        outer: Kernel of K2, shape (*kernel_size, filters, c).
        scale: Scale s, a tensor of shape (filters,); default None, which means 1.
        bias: Bias b, a tensor of shape (filters,); default None, which means 0.
        activation: Pointwise function sigma.
        normalization: Name of the normalisation, "tv" (default), None, "scale" or "shrinkage".
        epsilon: Positive number that smooths "tv"; default 1e-3. The other normalisations do not use it.
        padding: Continuation of the features at the border, "same" (zeros, default) or "periodic".
        plain: Whether the backend differentiates the layer by itself. That gradient can be exported, but it is slower
            and takes more memory. Default False: the gradient is written by hand.

    Returns:
        Tensor of the shape of y.

    Example:
        >>> y, inner, outer = (keras.ops.ones(shape) for shape in ((1, 8, 8, 4), (3, 3, 4, 6), (3, 3, 6, 4)))
        >>> general_layer(y, inner, outer, activation=keras.activations.relu).shape
        TensorShape([1, 8, 8, 4])
    """
    convolve = convolution.convolve if plain else primitives.convolve
    sigma_of_n, dtype = find_normalization(normalization, epsilon), backend.standardize_dtype(y.dtype)
    scale, bias = (None if vector is None else ops.cast(vector, dtype) for vector in (scale, bias))
    a = sigma_of_n.value(convolve(y, inner, padding), scale, bias, activation, plain)
    return convolve(a, outer, padding)


def symmetric_layer(y, kernel, scale=None, bias=None, **settings):
    """Evaluate the symmetric layer F_sym(theta, y) = -K^T sigma(N(K y)) (eq. 7).

    Args:
        y: Tensor of shape (batch, *space, c).
        kernel: Kernel of K, shape (*kernel_size, c, filters).
        scale: Scale s, a tensor of shape (filters,); default None, which means 1.
        bias: Bias b, a tensor of shape (filters,); default None, which means 0.
        **settings: Arguments activation, normalization, epsilon, padding and plain of `general_layer`.

    Returns:
        Tensor of the shape of y.

    Example:
        >>> y, kernel = keras.ops.ones((1, 8, 8, 4)), keras.ops.ones((3, 3, 4, 6))
        >>> symmetric_layer(y, kernel, activation=keras.activations.relu).shape
        TensorShape([1, 8, 8, 4])
    """
    return general_layer(y, kernel, -adjoint_kernel(kernel), scale, bias, **settings)


@dataclass(frozen=True)
class Field:
    """The right-hand side F of a differential equation: its settings, without its weights.

    Call it as field(theta, index, y). theta are the weights at one time, a dict with `kernel` (fields, *kernel_size, c,
    filters) and, where they exist, `scale` and `bias` (fields, filters). An equation may have several right-hand sides
    ("fields"), such as one for y and one for z; `index` says which one is meant.

    Attributes:
        activation: Pointwise function sigma.
        normalization: Name of the normalisation, "tv" (default), None, "scale" or "shrinkage", see `general_layer`.
        epsilon: Positive number that smooths "tv"; default 1e-3.
        padding: Continuation of the features at the border, "same" (zeros, default) or "periodic".
        symmetric: Whether F is the symmetric layer (eq. 7), which has one kernel per field; default True. Otherwise F
            is the general layer (eq. 1), and field i has the kernels K1 = kernel[2 i] and K2 = kernel[2 i + 1]^T.
        compute_dtype: Type in which F is evaluated; default None, the type of the state.
        plain: Whether the backend differentiates F by itself, see `general_layer`; default False.
        convolution_dtype: Type of the convolutions; default None, the one in which F is evaluated.

    Example:
        >>> theta = {"kernel": keras.ops.ones((1, 3, 3, 4, 8))}
        >>> Field(keras.activations.relu)(theta, 0, keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 8, 8, 4])
    """

    activation: Callable
    normalization: str | None = "tv"
    epsilon: float = 1e-3
    padding: str = "same"
    symmetric: bool = True
    compute_dtype: str | None = None
    plain: bool = False
    convolution_dtype: str | None = None

    @property
    def sigma_of_n(self) -> Normalization:
        """The normalisation, as the object that owns its mathematics."""
        return find_normalization(self.normalization, self.epsilon)

    @property
    def is_monotone(self) -> bool:
        """Whether F is minus the gradient of a convex function, for a non-decreasing activation."""
        return self.symmetric and self.sigma_of_n.is_provable

    def kernel_indices(self, index: int) -> tuple[int, int]:
        """Return the indices of the kernels K1 and K2^T of one field."""
        return (index, index) if self.symmetric else (2 * index, 2 * index + 1)

    @property
    def sign(self) -> int:
        """Sign of K2 in F: -1 for F_sym = -K^T sigma(N(K y))."""
        return -1 if self.symmetric else 1

    def bind(self, theta: dict) -> BoundField:
        """Return F with the weights of one time: a function (index, y, factor=1.0) -> factor * F(theta_index, y)."""
        return BoundField(self, {name: ops.unstack(weight) for name, weight in theta.items()})

    def __call__(self, theta, index: int, y, factor=1.0):
        """Return factor * F(theta, y) in the type of y, for the field with this index."""
        return BoundField(self, theta)(index, y, factor)


@dataclass(frozen=True)
class BoundField:
    """A right-hand side with the weights of one time.

    Let F(x) = s K2 a with a = sigma(N(u)), u = K1 x and a sign s. The symmetric layer (eq. 7) has K1 = K2^T = K and
    s = -1. For a cotangent w, let v = K2^T w and d = (sigma o N)'(u)^T v. Then the gradient of <F(x), w> with respect
    to x is s K1^T d. With respect to K1 it is s times the correlation of x with d, and with respect to K2^T it is s
    times the correlation of w with a. The value and all gradients together take six convolutions, and each pointwise
    quantity is computed once.

    Attributes:
        field: The right-hand side.
        theta: Weights of one time: for each name a sequence over the fields.
    """

    field: Field
    theta: dict

    def __call__(self, index: int, y, factor=1.0):
        """Return factor * F(theta_index, y) in the type of y."""
        field, dtype = self.field, self._dtype(y)
        _, k2, scale, bias = self._weights(index, dtype)
        u, activation = self._inner(index, y), primitives.activation(field.activation)
        a = field.sigma_of_n.value(u, scale, bias, activation, field.plain)
        return self._transpose(k2, factor, y)(a)

    def normalized(self, index: int, y) -> tuple:
        """Return what `value` and `pull_back` need of u = K1 y, see `Normalization.normalized`."""
        return self.field.sigma_of_n.normalized(self._inner(index, y))

    def value(self, index: int, normalized: tuple, factor=1.0, *, like):
        """Return factor * F(y) for normalized(index, y), in the type of `like`, for use with `pull_back`."""
        field, dtype = self.field, self._dtype(like)
        _, k2, scale, bias = self._weights(index, dtype)
        a = field.sigma_of_n.activate(normalized, scale, bias, primitives.activation(field.activation))
        return self._transpose(k2, factor, like)(a)

    def with_weights(self, theta: dict) -> BoundField:
        """Return the same right-hand side with other weights."""
        return BoundField(self.field, theta)

    def value_and_pull_back(self, index: int, x, w, factor=1.0):
        """Evaluate factor * F and pull a cotangent back through it.

        Args:
            index: Index of the field.
            x: Features, shape (batch, *space, c).
            w: Cotangent of factor * F(x), of the shape of x.
            factor: Number or scalar tensor; no gradient is taken with respect to it. Default 1.

        Returns:
            A tuple of three: factor * F(x), the gradient of <factor * F(x), w> with respect to x, and a dict of the
            gradients with respect to the weights, whose keys are (name, index).
        """
        a, of_x, gradients = self.pull_back(index, x, self.normalized(index, x), w, factor)
        k2 = self._weights(index, self._dtype(x))[1]
        return self._transpose(k2, factor, x)(a), of_x, gradients

    def pull_back(self, index: int, x, normalized: tuple, w, factor=1.0):
        """Pull a cotangent back through factor * F, see `value_and_pull_back`, for normalized(index, x).

        Returns:
            A tuple of three: a = sigma(N(u)), and the gradients that `value_and_pull_back` returns.
        """
        field, dtype = self.field, self._dtype(x)
        k1, k2, scale, bias = self._weights(index, dtype)
        first, second = field.kernel_indices(index)
        apply_k1_transposed = self._transpose(k1, factor, x)
        n, *lengths = normalized
        x, n, w = (ops.cast(tensor, dtype) for tensor in (x, n, w))
        v = ops.cast(self._convolve(w, k2), dtype)
        activation = primitives.activation(field.activation)
        a, d, of_scale, of_bias = field.sigma_of_n.pull_back((n, *lengths), v, scale, bias, activation)
        of_k1, of_k2 = self._kernel_gradient(x, d, k1.shape), self._kernel_gradient(w, a, k2.shape)
        kernels = {first: of_k1 + of_k2} if first == second else {first: of_k1, second: of_k2}
        gradients = {("kernel", i): value for i, value in kernels.items()}
        vectors = {"scale": of_scale, "bias": of_bias}
        gradients |= {(name, index): value for name, value in vectors.items() if value is not None}
        weight_dtype, signed = self.theta["kernel"][first].dtype, field.sign * factor
        gradients = {key: signed * ops.cast(value, weight_dtype) for key, value in gradients.items()}
        return a, apply_k1_transposed(d), gradients

    def _dtype(self, y) -> str:
        return self.field.compute_dtype or backend.standardize_dtype(y.dtype)

    def _inner(self, index: int, y):
        """Return u = K1 y, in the compute type."""
        dtype = self._dtype(y)
        return ops.cast(self._convolve(ops.cast(y, dtype), self._weights(index, dtype)[0]), dtype)

    def _weights(self, index: int, dtype: str) -> tuple:
        """Return K1, K2^T, scale and bias of a field in the compute type; a scale or bias that is missing is None."""
        kernels = [self.theta["kernel"][i] for i in self.field.kernel_indices(index)]
        vectors = [self.theta[name][index] if name in self.theta else None for name in ("scale", "bias")]
        return tuple(None if weight is None else ops.cast(weight, dtype) for weight in (*kernels, *vectors))

    def _convolve(self, y, kernel):
        """Return K y in the type of the convolution."""
        convolve = convolution.convolve if self.field.plain else primitives.convolve
        y, kernel = self._rounded(y, kernel)
        return convolve(y, kernel, self.field.padding)

    def _kernel_gradient(self, y, g, kernel_shape):
        """Return the gradient of <K y, g> with respect to the kernel of K, in the type of y."""
        rounded, g = self._rounded(y, g)
        return ops.cast(primitives.kernel_gradient(rounded, g, kernel_shape, self.field.padding), y.dtype)

    def _rounded(self, *tensors) -> tuple:
        """Return tensors in the type of the convolution."""
        dtype = self.field.convolution_dtype
        return tensors if dtype is None else tuple(ops.cast(tensor, dtype) for tensor in tensors)

    def _transpose(self, kernel, factor, like) -> Callable:
        """Return the function a -> sign * factor * K^T a, in the type of the state.

        This is the only place where the factor of an update is multiplied.
        """
        state_dtype = backend.standardize_dtype(like.dtype)
        outer, after = self.field.sign * adjoint_kernel(kernel), factor
        if backend.standardize_dtype(kernel.dtype) == state_dtype:
            # Scaling the small kernel saves a pass over the features; in half precision it would lose digits.
            outer, after = outer * factor, None

        def apply(a):
            increment = ops.cast(self._convolve(a, outer), state_dtype)
            return increment if after is None else increment * after

        return apply
