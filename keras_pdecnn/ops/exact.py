"""Operations that keep the type of their arguments: under JAX and PyTorch, those of Keras round float64 to float32."""

from __future__ import annotations

import importlib

from keras import backend

_MODULES = {"jax": "jax.numpy", "torch": "keras_pdecnn.ops.backend.torch.exact"}

_module = importlib.import_module(_MODULES.get(backend.backend(), "keras.ops"))
matmul = _module.matmul
maximum = _module.maximum
mean = _module.mean
minimum = _module.minimum
sqrt = _module.sqrt
tensordot = _module.tensordot
where = _module.where
