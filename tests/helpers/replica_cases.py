"""What is the same on one device and on several replicas: run by the tests, and as a program by each worker."""

import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_pdecnn as pde

BATCH = 12  # divides by 2 and 3
STEPS = 3
UNEVEN = 2 * BATCH + 1  # leaves a replica without examples
ARCHITECTURES = tuple(pde.models.ARCHITECTURES)
SMALLEST = {"widths": (4,), "steps": 1}  # where the network does not matter


def examples(count):
    """Return examples of three classes."""
    rng = np.random.default_rng(7)
    return rng.normal(size=(count, 8, 8, 3)), rng.integers(0, 3, count)


def build(architecture, strategy, **settings):
    """Return a compiled model of the strategy, the same on every call."""
    keras.utils.set_random_seed(11)
    with strategy.scope():
        model = pde.models.ARCHITECTURES[architecture](
            (8, 8, 3),
            classes=3,
            time_smoothness=1e-3,
            weight_decay=1e-2,
            box=1.0,
            synchronized=True,
            **{"widths": (4, 6), "steps": 2, **settings},
        )
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def trained(architecture, strategy, **settings):
    """Return the initial weights, the weights after some steps, and the history, validation included."""
    model = build(architecture, strategy, **settings)
    x, y = examples(STEPS * BATCH + UNEVEN)
    before = model.get_weights()
    history = model.fit(
        *(x[: STEPS * BATCH], y[: STEPS * BATCH]),
        batch_size=BATCH,
        shuffle=False,
        verbose=0,
        validation_data=(x[STEPS * BATCH :], y[STEPS * BATCH :]),
    ).history
    return before, model.get_weights(), {name: values[0] for name, values in history.items()}


def evaluated(strategy):
    """Return [loss, accuracy], and the predictions, on data that do not divide by the replicas."""
    model = build("hamiltonian", strategy, **SMALLEST)
    x, y = examples(UNEVEN)
    return model.evaluate(x, y, batch_size=BATCH, verbose=0), model.predict(x, batch_size=BATCH, verbose=0)


def seen(strategy, shuffle):
    """Return the sums of the examples of each batch of two epochs, over all replicas."""
    x, y = examples(4 * BATCH)
    model = build("parabolic", strategy, **SMALLEST)
    sums = []

    class Step(type(model)):
        def train_step(self, data):
            total = tf.reduce_sum(tf.cast(data[0], tf.float64))
            return super().train_step(data) | {"total": total}

    model.__class__ = Step
    record = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: sums.append(float(logs["total"])))
    model.fit(x, y, batch_size=BATCH, epochs=2, shuffle=shuffle, callbacks=[record], verbose=0)
    return np.array(sums) * strategy.num_replicas_in_sync


def keras_alone(strategy):
    """Return what happens when a model of Keras itself is fitted under the strategy: None or the error."""
    with strategy.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    try:
        model.fit(np.zeros((8, 4)), np.zeros((8, 1)), batch_size=4, verbose=0)
    except Exception as error:
        return repr(error)
    return None


def refused(strategy):
    """Return the messages of ValueErrors for batches that do not divide: from arrays and from two kinds of datasets."""
    model = build("parabolic", strategy, **SMALLEST)
    x, y = examples(4 * strategy.num_replicas_in_sync + 1)
    data = tf.data.Dataset.from_tensor_slices((x, y))
    messages = []
    for given in ({"x": x, "y": y, "batch_size": len(x)}, {"x": data.batch(len(x), True)}, {"x": data.batch(len(x))}):
        try:
            model.fit(**given, verbose=0)
        except ValueError as error:
            messages.append(str(error))
    return messages


def architectures(workers):
    """Return the networks that a cluster trains and their settings, by name.

    With two workers, these are one whose steps are undone and one without, else the smallest one. Two devices of one
    process train all of them.
    """
    return {"hamiltonian": {}, "parabolic": {}} if workers == 2 else {"hamiltonian": SMALLEST}


def main(folder):
    """Run everything as one of several workers and write the results of this one."""
    strategy = pde.distribute.strategy("auto")
    assert pde.distribute.in_cluster(strategy)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    results, texts = {}, {}
    for architecture, settings in architectures(pde.distribute.worker(strategy)[1]).items():
        _, weights, history = trained(architecture, strategy, **settings)
        texts[architecture] = history
        results |= {f"{architecture}/{i:03d}": weight for i, weight in enumerate(weights)}
    results["evaluate"], results["predict"] = evaluated(strategy)
    results["seen"] = seen(strategy, shuffle=False)
    index, workers = pde.distribute.worker(strategy)
    if workers == 2:
        np.random.seed(index)  # each worker its own
        results["shuffled"] = seen(strategy, shuffle=True)
        texts["keras"] = keras_alone(strategy)
    texts["refused"] = refused(strategy)
    np.savez(pathlib.Path(folder, f"{index}.npz"), **results)
    pathlib.Path(folder, f"{index}.json").write_text(json.dumps(texts))
    pde.distribute.from_chief(strategy, lambda: None)  # leave together


if __name__ == "__main__":
    main(sys.argv[1])
