import contextlib

import keras
import numpy as np
import pytest

from keras_pdecnn import models

BATCH = 8


def build(architecture, scope, **settings):
    regularization = {"time_smoothness": 1e-3, "weight_decay": 1e-2, "box": 1.0}
    with scope:
        model = models.ARCHITECTURES[architecture](
            (8, 8, 3), classes=3, widths=(4, 6), synchronized=True, **{"steps": 2, **regularization, **settings}
        )
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", jit_compile=False)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        *((architecture, {}) for architecture in models.ARCHITECTURES),
        *(("hamiltonian", {"steps": 5, "backprop": mode}) for mode in ("reversible", "checkpointed", "stored")),
    ],
)
def test_two_devices_train_as_one(rng, two_devices, architecture, settings):
    """With whole batches, divided evenly, and batch statistics over both replicas."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    x, y = rng.normal(size=(3 * BATCH, 8, 8, 3)), rng.integers(0, 3, size=3 * BATCH)
    single, distributed = (
        build(architecture, scope, **settings) for scope in (contextlib.nullcontext(), two_devices.scope())
    )
    assert two_devices.num_replicas_in_sync == 2
    start = single.get_weights()
    distributed.set_weights(start)
    for model in (single, distributed):
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)

    trained = zip(single.weights, start, single.get_weights(), distributed.get_weights(), strict=True)
    for weight, before, after, other in trained:
        assert np.linalg.norm(after - before) > 1e-3 * np.linalg.norm(after), weight.path
        assert np.linalg.norm(after - other) <= 1e-10 * np.linalg.norm(after), weight.path
