"""The meaning of the policy "mixed_bfloat16" on a CPU: convolutions in bfloat16, everything else in float32.

The convolutions are what takes the time, and oneDNN has fast ones in bfloat16 for AVX512-BF16 and AMX, which add up in
float32 and round their results. Pointwise operations gain nothing there and lose digits. On a GPU, all of a layer is
computed in bfloat16.
"""

from __future__ import annotations

import keras

from keras_pdecnn.ops.backend import runtime


def pointwise_policy(layer: keras.layers.Layer) -> keras.DTypePolicy:
    """Return the policy of everything in a layer but its convolutions, which follow the policy of the layer."""
    mixed = (layer.compute_dtype, layer.variable_dtype) == ("bfloat16", "float32")
    return keras.DTypePolicy("float32") if mixed and not runtime.has_accelerator() else layer.dtype_policy
