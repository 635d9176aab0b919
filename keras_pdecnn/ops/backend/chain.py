"""The chain of invertible maps of the backend that Keras runs on, with a gradient that keeps one tensor.

`propagate(chain, x, weights, others)` takes a tensor through a `ops.chain.Chain`. `weights` are the values, by key,
that have a gradient; `others` are the other ones. It returns the output, the new values of all that have changed by
their keys, and the losses of all evaluations in their order.
"""

from __future__ import annotations

import importlib

from keras import backend

from keras_pdecnn.ops.backend.names import check_backend

_module = importlib.import_module(f"keras_pdecnn.ops.backend.{check_backend(backend.backend())}.chain")
propagate = _module.propagate
