"""The propagation of the backend that Keras runs on."""

from keras import backend

match backend.backend():
    case "tensorflow":
        from keras_pdecnn.ops.backend.tensorflow.propagation import (
            advance_plain,
            propagate,
            trajectory,
            undo,
        )
    case "jax":
        from keras_pdecnn.ops.backend.jax.propagation import (
            advance_plain,
            propagate,
            trajectory,
            undo,
        )
    case "torch":
        from keras_pdecnn.ops.backend.torch.propagation import (
            advance_plain,
            propagate,
            trajectory,
            undo,
        )
    case other:
        raise ImportError(f"keras_pdecnn works with the backends tensorflow, jax and torch of Keras. Received: {other}")

__all__ = ["advance_plain", "propagate", "trajectory", "undo"]
