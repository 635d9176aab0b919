"""Strategies for several devices and machines, and what the chief tells the other workers."""

from __future__ import annotations

import functools
import json
import os
import pickle
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_pdecnn.utils import arguments, optional

if TYPE_CHECKING:
    import tensorflow as tf

STRATEGIES = ("none", "mirrored", "multiworker", "auto")
_OF_TENSORFLOW = (
    "Several devices are a strategy of tf.distribute, which needs TensorFlow as the backend of Keras "
    "(KERAS_BACKEND=tensorflow); under JAX, call keras.distribution.set_distribution in your own code."
)


def strategy(name: str = "auto") -> tf.distribute.Strategy:
    """Return a strategy of `tf.distribute` by its name; build and compile the model in its scope.

    A batch is divided over the replicas and their gradients are added, so that the batch size and the learning rate
    keep their meaning.

    Args:
        name: Name of the strategy. "none" is one device. "mirrored" is all GPUs of this machine, or else all logical
            CPU devices. "multiworker" is the workers of the environment variable TF_CONFIG, each with all its GPUs;
            it must be asked for before TensorFlow computes anything, and it waits for all workers. "auto" (default) is
            "multiworker" if TF_CONFIG names several workers, else "mirrored" if there are several GPUs, else "none".
            Under another backend of Keras than TensorFlow it is "none".

    Returns:
        A `tf.distribute.Strategy`; for "none" the default one, whose scope changes nothing.

    Raises:
        ValueError: If the name is unknown, "multiworker" is asked for without a valid TF_CONFIG, or several devices are
            asked for under another backend than TensorFlow.
        ImportError: If TensorFlow is not installed.

    Example:
        >>> with strategy("none").scope():
        ...     model = keras_pdecnn.models.ParabolicCNN((32, 32, 3), classes=10)
    """
    kind = resolve(name)
    if kind == "multiworker":
        return _multi_worker()
    return _mirrored() if kind == "mirrored" else _tensorflow().distribute.get_strategy()


def resolve(name: str) -> str:
    """Return which of "none", "mirrored" and "multiworker" a name stands for on this machine.

    Args:
        name: Name of the strategy: "none", "mirrored", "multiworker" or "auto", as for `strategy`.

    Raises:
        ValueError: If the name is not one of `STRATEGIES`, "multiworker" is asked for without a valid TF_CONFIG, or
            several devices are asked for under another backend than TensorFlow.

    Example:
        >>> resolve("none")
        'none'
    """
    arguments.check_choice("strategy", name, STRATEGIES)
    if keras.backend.backend() != "tensorflow":
        if name in ("mirrored", "multiworker"):
            raise ValueError(f"{_OF_TENSORFLOW} Received: strategy={name!r}, backend={keras.backend.backend()!r}")
        return "none"
    cluster = _read_cluster() if name in ("multiworker", "auto") else {}
    if name == "multiworker" and not cluster:
        raise ValueError(
            "The strategy 'multiworker' needs the environment variable TF_CONFIG, which names all workers and this "
            "one. Received: no TF_CONFIG"
        )
    if name != "auto":
        return name
    if sum(map(len, cluster.values())) > 1:
        return "multiworker"
    return "mirrored" if len(_tensorflow().config.list_physical_devices("GPU")) > 1 else "none"


@functools.cache
def _mirrored() -> tf.distribute.Strategy:
    # There is one for the whole program, as the collective operations of two strategies interfere.
    tf = _tensorflow()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


@functools.cache
def _multi_worker() -> tf.distribute.Strategy:
    try:
        return _tensorflow().distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise ValueError(
            f"The strategy 'multiworker' must be asked for before TensorFlow computes anything ({error}). "
            "Received: strategy='multiworker'"
        ) from error


def check_backend(strategy: tf.distribute.Strategy):
    """Raise ValueError if a strategy has several replicas and the backend of Keras is another one than TensorFlow."""
    if strategy.num_replicas_in_sync > 1 and keras.backend.backend() != "tensorflow":
        name = type(strategy).__name__
        raise ValueError(f"{_OF_TENSORFLOW} Received: strategy={name}, backend={keras.backend.backend()!r}")


def in_cluster(strategy: tf.distribute.Strategy) -> bool:
    """Return whether a strategy spans several worker processes.

    Args:
        strategy: A strategy, as `strategy` returns it.

    Example:
        >>> in_cluster(strategy("none"))
        False
    """
    return worker(strategy)[1] > 1


def worker(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """Return the index of this worker and the number of workers; worker 0 is the chief, which writes the files.

    Args:
        strategy: A strategy, as `strategy` returns it; if it spans one process, the result is (0, 1).

    Example:
        >>> worker(strategy("none"))
        (0, 1)
    """
    resolver = strategy.cluster_resolver
    tasks = _tasks(resolver.cluster_spec().as_dict()) if resolver else []
    return (tasks.index((resolver.task_type, resolver.task_id)), len(tasks)) if tasks else (0, 1)


def from_chief(strategy: tf.distribute.Strategy, function):
    """Call a function on the chief alone, and return its result on every worker.

    A ValueError of the function is raised on every worker. All workers must call `from_chief` at the same place.

    Args:
        strategy: A strategy, as `strategy` returns it; if it spans one process, the function is simply called.
        function: A function without arguments, whose result can be pickled.

    Returns:
        The result of the function.

    Raises:
        ValueError: If the function raises one.

    Example:
        >>> from_chief(strategy("none"), lambda: "read by the chief")
        'read by the chief'
    """
    if not in_cluster(strategy):
        return function()
    message = b""
    if worker(strategy)[0] == 0:
        try:
            message = pickle.dumps((None, function()))
        except ValueError as error:
            message = pickle.dumps((str(error), None))
    # Unpickling adds no risk: TensorFlow's servers trust their cluster, whose members can run any program here.
    reason, result = pickle.loads(_broadcast(strategy, message))
    if reason is not None:
        raise ValueError(reason)
    return result


def _broadcast(strategy: tf.distribute.Strategy, message: bytes) -> bytes:
    """Return the message of the chief: a new variable of a strategy has the chief's initial value on all workers."""
    tf = _tensorflow()
    with strategy.scope():
        size = int(tf.Variable(np.int64(len(message))).numpy())
        padded = np.frombuffer(message.ljust(-(-size // 8) * 8, b"\0")[: -(-size // 8) * 8], np.int64)
        return tf.Variable(padded).numpy().tobytes()[:size]


def _tensorflow():
    return optional.tensorflow("pde.distribute")


def _read_cluster() -> dict[str, list[str]]:
    """Return the addresses in TF_CONFIG by job; empty if there is no TF_CONFIG."""
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        return {}
    try:
        config = json.loads(text)
        cluster = {job: list(config["cluster"][job]) for job in config["cluster"]}
        task = config["task"]["type"], int(config["task"]["index"])
        valid = task in _tasks(cluster) and all(isinstance(address, str) for job in cluster.values() for address in job)
    except (ValueError, KeyError, TypeError, AttributeError):
        valid = False
    if not valid:
        raise ValueError(
            'TF_CONFIG must be like {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}. '
            f"Received: TF_CONFIG={arguments.describe(text)}"
        )
    return cluster


def _tasks(cluster: dict) -> list[tuple[str, int]]:
    """Return (job, index) of every worker, the chief first."""
    return [(job, index) for job in ("chief", "worker") for index in range(len(cluster.get(job, ())))]
