"""What blocks and networks compute under the backend of KERAS_BACKEND; JAX also needs JAX_ENABLE_X64=1.

python tests/helpers/backend_models.py REFERENCE.npz FOLDER

FOLDER/BACKEND.npz has the numbers, FOLDER/BACKEND.keras a trained network. FOLDER/other.keras, a network from another
backend, is loaded if it is there.
"""

import dataclasses
import sys
import time
from pathlib import Path

import keras
import numpy as np
from backend_cases import BACKEND, random_blocks, reference, special_cases

import keras_pdecnn as pde

SHAPE, CLASSES = (6, 6, 1), 3
RNG = np.random.default_rng(5)
X = RNG.uniform(0, 255, (4, *SHAPE)).astype("float32")
Y = np.array([0, 1, 2, 1])
MASKS = RNG.integers(0, CLASSES, X.shape[:-1])


def fill(model, scale=0.3):
    """Give a model weights that are the same under every backend."""
    rng = np.random.default_rng(7)
    for weight in model.weights:
        positive = weight.name in ("moving_variance", "scale", "gamma")
        weight.assign(rng.normal(float(positive), scale * (0.3 if positive else 1.0), weight.shape))
    return model


def weights(model):
    return np.concatenate([weight.ravel().astype(np.float64) for weight in model.get_weights()])


def trained(model, x=X, y=Y, loss="sparse_categorical_crossentropy", learning_rate=0.01, epochs=2, **settings):
    model.compile(keras.optimizers.SGD(learning_rate, momentum=0.9), loss)
    model.fit(x, y, batch_size=2, epochs=epochs, shuffle=False, verbose=0, **settings)
    return model


def unet(data_format):
    shape = (*SHAPE[:-1], 1) if data_format == "channels_last" else (1, *SHAPE[:-1])
    settings = {"widths": (4,), "steps": 1, "output_activation": "softmax", "data_format": data_format}
    return fill(pde.models.ParabolicUNet(shape, CLASSES, **settings))


def networks(folder):
    """Yield what training changes: a network, one of pixels, one with a frozen or a shared block, one in bfloat16."""
    settings = {"widths": (4,), "steps": 3, "step_size": 0.3}
    regularizers = {"time_smoothness": 1e-3, "weight_decay": 1e-3, "box": 1.0}
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    model = fill(pde.models.HamiltonianCNN(SHAPE, CLASSES, **settings, **regularizers))
    before = weights(model)
    trained(model)
    yield (
        "fit",
        {
            "change": weights(model) - before,
            "loss": np.array(model.evaluate(X, Y, verbose=0)),
            "prediction": model.predict(X, verbose=0),
        },
    )

    finer = model.with_steps(6).predict(X, verbose=0)
    coarser = model.at_resolution(0.5).predict(X[:, ::2, ::2], verbose=0)
    yield "carried", {"finer": finer, "coarser": coarser, "prediction": model.predict(X, verbose=0)}

    model = trained(unet("channels_last"), y=MASKS, epochs=1)
    yield "pixels", {"weights": weights(model), "loss": np.array(model.evaluate(X, MASKS, verbose=0))}

    model = fill(pde.models.SecondOrderCNN(SHAPE, CLASSES, **{**settings, "widths": (4, 4)}))
    model.blocks[0].trainable = model.get_layer("connector_1").trainable = False
    before = [weights(layer) for layer in (model.blocks[0], model.get_layer("connector_1"))]
    monitor = pde.callbacks.StabilityMonitor(X[:1], folder / BACKEND, every=2)
    trained(model, callbacks=[monitor, pde.callbacks.DivergenceGuard()])
    after = [weights(layer) for layer in (model.blocks[0], model.get_layer("connector_1"))]
    assert all(map(np.array_equal, before, after))
    assert list((folder / BACKEND / "stability").iterdir())
    yield "frozen", {"weights": weights(model)}

    # The input is of integers, which have no gradient.
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    inputs = keras.Input(SHAPE, dtype="uint8")
    y = pde.layers.Connector(4, kernel_size=3, pool_size=1)(pde.layers.Standardization()(inputs))
    shared = pde.layers.HamiltonianBlock(3, step_size=0.3)
    y = keras.layers.GlobalAveragePooling2D()(shared(shared(y)))
    model = fill(keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax")(y)))
    yield "shared", {"weights": weights(trained(model, X.astype("uint8")))}

    keras.config.set_dtype_policy("mixed_bfloat16")
    model = fill(pde.models.HamiltonianCNN(SHAPE, CLASSES, **settings))
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    yield "bfloat16", {"weights": weights(trained(model))}
    keras.config.set_dtype_policy("float32")


def check_channels_first():
    """Check that a network with the channels first learns the classes of pixels as one with the channels last does."""
    loss = keras.losses.SparseCategoricalCrossentropy(axis=1)
    first = trained(unet("channels_first"), np.moveaxis(X, -1, 1), MASKS, loss, epochs=1)
    last = trained(unet("channels_last"), y=MASKS, epochs=1)
    assert np.allclose(weights(first), weights(last), rtol=0, atol=1e-5)


def energies():
    """Yield discrete energies in float64."""
    rng = np.random.default_rng(0)
    (y, v), kernels = rng.normal(size=(2, 1, 5, 5, 2)), rng.normal(size=(2, 3, 3, 2, 4))
    yield "verlet", {"value": keras.ops.convert_to_numpy(pde.stability.verlet_energy(y, v, *kernels, 0.1))}
    yield "leapfrog", {"value": keras.ops.convert_to_numpy(pde.stability.leapfrog_energy(y, v, kernels[0], 0.1))}


def files(folder):
    """Yield the predictions of networks that are saved and loaded."""
    model = trained(fill(pde.models.ParabolicCNN(SHAPE, CLASSES, widths=(4,), steps=2)), epochs=1)
    path = folder / f"{BACKEND}.keras"
    model.save(path)
    loaded = pde.models.load_model(path)
    yield "saved", {"prediction": model.predict(X, verbose=0), "loaded": loaded.predict(X, verbose=0)}
    if (other := folder / "other.keras").exists():
        model = pde.models.load_model(other)
        assert model.optimizer.momentum == 0.9
        state = [np.ravel(keras.ops.convert_to_numpy(variable)) for variable in model.optimizer.variables]
        yield "other", {"prediction": model.predict(X, verbose=0), "optimizer": np.concatenate(state)}


def stability():
    """Yield what `stability` and `explain` say of a network; under JAX, where float64 is not switched on."""
    if BACKEND == "jax":
        import jax

        jax.config.update("jax_enable_x64", False)
    # With the default epsilon, another rounding of the features at the start of the block changes the growth by 3e-5.
    model = fill(pde.models.HamiltonianCNN(SHAPE, CLASSES, widths=(4,), steps=2, step_size=0.3, epsilon=0.1))
    rows = [dataclasses.asdict(row) for row in pde.stability.report(model, X[:1])]
    for name in ("norm_1", "norm_2", "limit", "spectral_radius", "growth", "energy"):
        yield f"report/{name}", {"rows": np.array([row[name] for row in rows])}
    assert all(0 < row["round_trip"] < 1e-5 for row in rows)
    yield (
        "bounds",
        {
            "limits": pde.stability.step_limit(model.blocks[0]),
            "norms": pde.stability.operator_norm(model.blocks[0].kernel),
            "layers": np.array([bound.upper for bound in pde.stability.layer_bounds(model)]),
        },
    )
    for norm, method in (("l2", "pgd"), ("linf", "fgsm")):
        changed = pde.stability.attack(model, X, Y, 5.0, norm, method, steps=3)
        yield f"attack/{method}", {"change": changed - X}
    yield (
        "explain",
        {
            "saliency": pde.explain.saliency(model, X, Y),
            "smooth_grad": pde.explain.smooth_grad(model, X[:1], 1, samples=3),
            "class_activation": pde.explain.class_activation(model, X, Y),
            "growth": pde.explain.follow(model, X, perturbation=0.5)[0].growth,
        },
    )
    provable = fill(pde.models.ParabolicCNN(SHAPE, CLASSES, widths=(4,), steps=2, provable=True), 1.0)
    yield (
        "certificate",
        {
            "radius": pde.stability.certified_radius(provable, X),
            "lipschitz": np.array(pde.stability.lipschitz_bound(provable)),
        },
    )


def main():
    folder, results = Path(sys.argv[2]), {}
    cases = {
        "reference": reference(sys.argv[1]),
        "float64": random_blocks("float64"),
        "float32": random_blocks("float32"),
        "special": special_cases(),
        "energies": energies(),
        "networks": networks(folder),
        "files": files(folder),
        "stability": stability(),
    }
    for group, values in cases.items():
        print(group, time.perf_counter(), flush=True)
        for name, arrays in values:
            results |= {f"{group}/{name}/{key}": array for key, array in arrays.items()}
    if BACKEND == "torch":  # whose losses depend on the layout of memory
        check_channels_first()
    np.savez(folder / f"{BACKEND}.npz", **results)


if __name__ == "__main__":
    main()
