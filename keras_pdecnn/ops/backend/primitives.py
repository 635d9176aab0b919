"""The primitives of the backend that Keras runs on."""

from keras import backend

match backend.backend():
    case "tensorflow":
        from keras_pdecnn.ops.backend.tensorflow.primitives import (
            activation,
            after,
            convolve,
            float32_product_roundoff,
            jvp,
            kernel_gradient,
            tv_normalize,
            vjp,
        )
    case "jax":
        from keras_pdecnn.ops.backend.jax.primitives import (
            activation,
            after,
            convolve,
            float32_product_roundoff,
            jvp,
            kernel_gradient,
            tv_normalize,
            vjp,
        )
    case "torch":
        from keras_pdecnn.ops.backend.torch.primitives import (
            activation,
            after,
            convolve,
            float32_product_roundoff,
            jvp,
            kernel_gradient,
            tv_normalize,
            vjp,
        )
    case other:
        raise ImportError(f"keras_pdecnn works with the backends tensorflow, jax and torch of Keras. Received: {other}")

__all__ = [
    "activation",
    "after",
    "convolve",
    "float32_product_roundoff",
    "jvp",
    "kernel_gradient",
    "tv_normalize",
    "vjp",
]
