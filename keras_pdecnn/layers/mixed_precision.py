"""The meaning of the policy "mixed_bfloat16" on a CPU: convolutions in bfloat16, everything else in float32.

The convolutions are what takes the time, and oneDNN has fast ones in bfloat16 for processors with such instructions,
which add up in float32 and round their results. Without them, convolutions in bfloat16 take up to eight times as long,
so that they are in float32, too. Pointwise operations gain nothing from bfloat16 and lose digits. On a GPU, all of a
layer is computed in bfloat16.
"""

from __future__ import annotations

import keras

from keras_pdecnn.ops.backend import runtime
from keras_pdecnn.utils.processor import has_bfloat16


def pointwise_policy(layer: keras.layers.Layer) -> keras.DTypePolicy:
    """Return the policy of everything in a layer but its convolutions."""
    return keras.DTypePolicy("float32") if _is_mixed_on_a_cpu(layer) else layer.dtype_policy


def convolution_dtype(layer: keras.layers.Layer) -> str:
    """Return the type of the convolutions of a layer."""
    return "float32" if _is_mixed_on_a_cpu(layer) and not has_bfloat16() else layer.compute_dtype


def _is_mixed_on_a_cpu(layer: keras.layers.Layer) -> bool:
    """Return whether a layer has the policy "mixed_bfloat16" where there is no GPU."""
    return (layer.compute_dtype, layer.variable_dtype) == ("bfloat16", "float32") and not runtime.has_accelerator()
