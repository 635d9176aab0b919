"""Train a parabolic network by optimal control, and compare it with stochastic gradient descent.

    python examples/optimal_control.py [--iterations 40] [--rho 1] [--folder optimal_control]

Section 2.1 of the paper names optimal control as a way to train networks that are differential equations [33]. The
method of successive approximations goes back to Pontryagin's maximum principle: the images x_t go forward through the
network, x_{t+1} = f(x_t, theta_t), the adjoints go backward, p_t = df/dx^T p_{t+1} from p_T = -dloss/dx, and then the
weights of each layer maximise, independently of all others,

    <p_{t+1}, f(x_t, theta)> - rho/2 |x_{t+1} - f(x_t, theta)|^2 - rho/2 |p_t - df/dx(x_t, theta)^T p_{t+1}|^2.

Without the two penalties (rho = 0) the method diverges; with them it is the extended method of Li, Chen, Tai and E,
"Maximum Principle Based Algorithms for Deep Learning", JMLR 18 (2018). Each layer is maximised by at most ten
iterations of L-BFGS. All methods see the same batches of the digits. The example prints a table and writes a picture of
the loss over iterations and over seconds.
"""

import argparse
import pathlib
import time

import keras_pdecnn as pde

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from scipy.optimize import minimize

WIDTH, STEPS, BATCH = 16, 4, 500
INNER = 10  # iterations of L-BFGS for each layer
SGD_RATE, SGD_MOMENTUM, ADAM_RATE = 0.1, 0.9, 0.01
EVERY = 2  # iterations between two points of the picture


def layers():
    """Return the network as a list of layers: each step of the parabolic block is a layer of its own."""
    step = {"step_size": 1 / STEPS, "normalization": None}
    return [
        keras.layers.Conv2D(WIDTH, 3, padding="same", activation="relu", kernel_initializer="he_normal"),
        *(pde.layers.ParabolicBlock(1, **step) for _ in range(STEPS)),
        keras.Sequential([keras.layers.AveragePooling2D(2), keras.layers.Flatten(), keras.layers.Dense(10)]),
    ]


def network(seed):
    """Return a model of the layers, built from a seed."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((8, 8, 1)), pde.layers.Standardization(), *layers()])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def batches(x, y, iterations, seed):
    """Yield batches of images and labels, the same for every method."""
    rng = np.random.default_rng(seed)
    for _ in range(iterations):
        rows = rng.permutation(len(x))[:BATCH]
        yield tf.constant(x[rows]), tf.constant(y[rows])


class Control:
    """The extended method of successive approximations for a sequential model."""

    def __init__(self, model, rho):
        self.first, *self.layers = model.layers
        self.loss, self.rho = model.loss, rho
        self.negatives = [self._negative(layer) for layer in self.layers]

    @tf.function(autograph=False)
    def _states(self, x, y):
        """Return the states x_0, …, x_T of a batch and the adjoints p_0, …, p_T of each example."""
        x = self.first(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            states = [x]
            for layer in self.layers:
                states.append(layer(states[-1]))
            loss = BATCH * self.loss(y, states[-1])  # the sum over examples
        return states, [-slope for slope in tape.gradient(loss, states)]

    def _negative(self, layer):
        """Return the compiled function of the flat weights of a layer -> what L-BFGS minimises, and its gradient."""
        shapes = [tuple(weight.shape) for weight in layer.trainable_variables]
        sizes = [int(np.prod(shape)) for shape in shapes]

        @tf.function(autograph=False, reduce_retracing=True)
        def evaluate(flat, x, p, after, p_after):
            with tf.GradientTape() as tape:
                tape.watch(flat)
                weights = [tf.reshape(part, shape) for part, shape in zip(tf.split(flat, sizes), shapes, strict=True)]
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    y, _ = layer.stateless_call(weights, layer.non_trainable_variables, x)
                    product = tf.reduce_sum(p_after * y)
                pulled = inner.gradient(product, x)
                misses = tf.reduce_sum(tf.square(after - y)) + tf.reduce_sum(tf.square(p - pulled))
                value = (0.5 * self.rho * misses - product) / BATCH
            return value, tape.gradient(value, flat)

        return evaluate

    def step(self, x, y):
        """Change the weights of all layers for a batch."""
        states, adjoints = self._states(x, y)
        for index, (layer, negative) in enumerate(zip(self.layers, self.negatives, strict=True)):
            fixed = (states[index], adjoints[index], states[index + 1], adjoints[index + 1])

            def function(flat, fixed=fixed, negative=negative):
                value, slope = negative(tf.constant(flat, tf.float32), *fixed)
                return float(value), slope.numpy().astype(float)

            start = np.concatenate([np.ravel(weight) for weight in layer.trainable_variables]).astype(float)
            best = minimize(function, start, jac=True, method="L-BFGS-B", options={"maxiter": INNER}).x
            places = np.cumsum([int(np.prod(weight.shape)) for weight in layer.trainable_variables])[:-1]
            for weight, part in zip(layer.trainable_variables, np.split(best, places), strict=True):
                weight.assign(np.reshape(part, weight.shape))


class Descent:
    """Gradient descent with an optimiser of Keras."""

    def __init__(self, model, optimizer):
        self.model, self.optimizer = model, optimizer
        optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step(self, x, y):
        """Change the weights for a batch."""
        with tf.GradientTape() as tape:
            loss = self.model.loss(y, self.model(x, training=True))
        self.optimizer.apply(tape.gradient(loss, self.model.trainable_variables))


def methods(rho):
    """Return {name: function of a model -> method}."""
    return {
        "optimal control": lambda model: Control(model, rho),
        "SGD": lambda model: Descent(model, keras.optimizers.SGD(SGD_RATE, SGD_MOMENTUM)),
        "Adam": lambda model: Descent(model, keras.optimizers.Adam(ADAM_RATE)),
    }


def curve(make, data, iterations, seed=0):
    """Return (iteration, seconds of training, training loss, test accuracy) at some iterations."""
    (x, y), (x_test, y_test) = data
    model = network(seed)
    method, seconds, points = make(model), 0.0, []
    method.step(*next(batches(x, y, 1, seed + 1)))  # functions are compiled on the first call, which does not count
    model.set_weights(network(seed).get_weights())
    if isinstance(method, Descent):
        for variable in method.optimizer.variables[2:]:  # after the counter and the rate
            variable.assign(keras.ops.zeros_like(variable))
    for iteration, batch in enumerate(batches(x, y, iterations, seed)):
        if iteration % EVERY == 0:
            points.append((iteration, seconds, *measured(model, x, y)[:1], measured(model, x_test, y_test)[1]))
        start = time.perf_counter()
        method.step(*batch)
        seconds += time.perf_counter() - start
    points.append((iterations, seconds, *measured(model, x, y)[:1], measured(model, x_test, y_test)[1]))
    return np.array(points)


def measured(model, x, y):
    """Return the loss and the accuracy of a model."""
    logits = model(x)
    return float(model.loss(y, logits)), float(np.mean(np.argmax(logits, axis=-1) == y))


def draw(curves):
    """Return a figure of the loss over iterations and over seconds."""
    figure = Figure(figsize=(7.6, 3.2), dpi=120, layout="constrained")
    for axes, column, label in zip(figure.subplots(1, 2), (0, 1), ("iterations", "seconds"), strict=True):
        for name, points in curves.items():
            axes.semilogy(points[:, column], points[:, 2], label=name)
        axes.set_xlabel(label)
        axes.set_ylabel("training loss")
    axes.legend(frameon=False)
    return figure


def main(iterations, rho, folder):
    """Train with each method, print the table and write it and the picture into the folder."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    loaded = pde.data.load("digits", validation=0)
    data = []
    for part in (loaded.train, loaded.test):
        x, y = (np.concatenate(arrays) for arrays in zip(*part, strict=True))
        data.append((x.astype("float32"), y))
    curves = {name: curve(make, data, iterations) for name, make in methods(rho).items()}
    lines = ["| method | training loss | test accuracy | seconds | loss after as many seconds of optimal control |"]
    lines.append("|---|---|---|---|---|")
    control = curves["optimal control"]
    for name, points in curves.items():
        _, seconds, loss, accuracy = points[-1]
        same = np.interp(seconds, control[:, 1], control[:, 2])
        lines.append(f"| {name} | {loss:.4f} | {100 * accuracy:.1f} % | {seconds:.1f} | {same:.4f} |")
    draw(curves).savefig(folder / "optimal_control.png")
    text = "\n".join(lines)
    (folder / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=40, help="Batches that each method sees.")
    parser.add_argument("--rho", type=float, default=1.0, help="Weight of the two penalties.")
    parser.add_argument("--folder", default="optimal_control", help="Folder of the table and the picture.")
    given = parser.parse_args()
    main(given.iterations, given.rho, given.folder)
