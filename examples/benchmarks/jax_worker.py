"""The paper's CIFAR-10 Hamiltonian network in plain JAX: one figure per process.

python jax_worker.py '{"batch": 125}'

It needs JAX and NumPy, and nothing of keras_pdecnn. Activations are stored; XLA compiles the whole training step.
"""

import contextlib
import json
import pathlib
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

WIDTHS, STEPS, CLASSES, LAYOUT = (32, 64, 112), 3, 10, ("NHWC", "HWIO", "NHWC")


def draw(rng, *shape):
    return jnp.asarray(rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape), "float32")


def norm(width):
    return {"scale": jnp.ones(width), "bias": jnp.zeros(width)}


def weights(rng):
    """Return the 264,106 weights of the network."""
    following = (*WIDTHS[1:], WIDTHS[-1])
    return {
        "opening": {"kernel": draw(rng, 3, 3, 3, WIDTHS[0]), **norm(WIDTHS[0])},
        "blocks": [
            [[{"kernel": draw(rng, 3, 3, w // 2, w // 2), **norm(w // 2)} for _ in range(2)] for _ in range(STEPS)]
            for w in WIDTHS
        ],
        "connectors": [{"kernel": draw(rng, 1, 1, a, b), **norm(b)} for a, b in zip(WIDTHS, following, strict=True)],
        "classifier": {"kernel": draw(rng, WIDTHS[-1], CLASSES), "bias": jnp.zeros(CLASSES)},
    }


def convolve(y, kernel):
    return jax.lax.conv_general_dilated(y, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)


def connect(y, part, moving):
    """Convolve, normalise the batch and apply ReLU; also return the new moving averages of mean and variance."""
    y = convolve(y, part["kernel"])
    mean, variance = y.mean((0, 1, 2)), y.var((0, 1, 2))
    y = (y - mean) * jax.lax.rsqrt(variance + 1e-3) * part["scale"] + part["bias"]
    return jax.nn.relu(y), [0.99 * old + 0.01 * new for old, new in zip(moving, (mean, variance), strict=True)]


def field(part, y):
    """K^T sigma(N_tv(K y)), K^T by the turned kernel."""
    u = convolve(y, part["kernel"])
    u = u * jax.lax.rsqrt(jnp.square(u).sum(-1, keepdims=True) + 1e-3)
    u = jax.nn.relu(u * part["scale"] + part["bias"])
    return convolve(u, part["kernel"][::-1, ::-1].swapaxes(2, 3))


def forward(theta, moving, x):
    y, moved = connect(x, theta["opening"], moving[0])
    moved = [moved]
    for i, (steps, connector) in enumerate(zip(theta["blocks"], theta["connectors"], strict=True)):
        y, z = jnp.split(y, 2, -1)
        for first, second in steps:
            y = y - field(first, z)
            z = z + field(second, y)
        y, new = connect(jnp.concatenate([y, z], -1), connector, moving[i + 1])
        moved.append(new)
        if i < len(WIDTHS) - 1:
            n, height, width, c = y.shape
            y = y.reshape(n, height // 2, 2, width // 2, 2, c).mean((2, 4))
    return y.mean((1, 2)) @ theta["classifier"]["kernel"] + theta["classifier"]["bias"], moved


@jax.jit
def train_step(theta, velocity, moving, x, label):
    """Take a step of SGD with momentum."""

    def loss(theta):
        logits, moved = forward(theta, moving, x)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], 1).mean(), moved

    gradient, moving = jax.grad(loss, has_aux=True)(theta)
    velocity = jax.tree.map(lambda v, g: 0.9 * v - 0.01 * g, velocity, gradient)
    return jax.tree.map(jnp.add, theta, velocity), velocity, moving


def peak():
    """Return the peak memory of the GPU, or of the process (Linux), in bytes."""
    if jax.default_backend() != "cpu":
        return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]
    line = next(s for s in pathlib.Path("/proc/self/status").read_text().splitlines() if s.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def measure(batch=125, size=32, repetitions=8, warmup=3):
    """Training with SGD and momentum: seconds per step."""
    rng = np.random.default_rng(0)
    theta = weights(rng)
    velocity = jax.tree.map(jnp.zeros_like, theta)
    moving = [[jnp.zeros(w), jnp.ones(w)] for w in (WIDTHS[0], *WIDTHS[1:], WIDTHS[-1])]
    x = jnp.asarray(rng.normal(size=(batch, size, size, 3)), "float32")
    label = jnp.asarray(rng.integers(0, CLASSES, batch))
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    start, times = peak(), []
    for _ in range(warmup + repetitions):
        before = time.perf_counter()
        theta, velocity, moving = jax.block_until_ready(train_step(theta, velocity, moving, x, label))
        times.append(time.perf_counter() - before)
    count = sum(leaf.size for leaf in jax.tree.leaves(theta))
    return {"step_s": statistics.median(times[warmup:]), "peak_bytes": peak() - start, "weights": count}


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
