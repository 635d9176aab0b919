"""Training on several devices and several machines: which strategy, and what one worker tells the others."""

from __future__ import annotations

import functools
import json
import os
import pickle

import numpy as np
import tensorflow as tf

from keras_pdecnn.utils import arguments

STRATEGIES = ("none", "mirrored", "multiworker", "auto")


def strategy(name: str = "auto") -> tf.distribute.Strategy:
    """Return the strategy of `tf.distribute` of that name, to build and compile a model in its scope.

    Gradients are summed over the replicas, batches are global, and the learning rate is the one that the user set:
    nothing is rescaled.

    Args:
        name: "none": one device. "mirrored": all GPUs of this machine, without one all logical CPU devices.
            "multiworker": the workers of the environment variable TF_CONFIG, each with all its GPUs; this must be
            called before TensorFlow computes anything, and waits for all workers. "auto" (default): "multiworker"
            if TF_CONFIG names several workers, else "mirrored" if there are several GPUs, else "none".

    Returns:
        A `tf.distribute.Strategy`; for "none" the default one, whose scope changes nothing.

    Raises:
        ValueError: If the name is none of these, or "multiworker" is asked for without a valid TF_CONFIG.

    Example:
        >>> with strategy("none").scope():
        ...     model = keras_pdecnn.models.ParabolicCNN((32, 32, 3), classes=10)
    """
    kind = resolve(name)
    if kind == "multiworker":
        return _multi_worker()
    return _mirrored() if kind == "mirrored" else tf.distribute.get_strategy()


def resolve(name: str) -> str:
    """Return which of "none", "mirrored" and "multiworker" the strategy of that name is here.

    Args:
        name: "none", "mirrored", "multiworker" or "auto", as for `strategy`.

    Raises:
        ValueError: If the name is none of `STRATEGIES`, or "multiworker" is asked for without a valid TF_CONFIG.

    Example:
        >>> resolve("none")
        'none'
    """
    arguments.check_choice("strategy", name, STRATEGIES)
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
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "none"


@functools.cache
def _mirrored() -> tf.distribute.Strategy:
    # One for the whole program: the collectives of two in a process confuse each other.
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


@functools.cache
def _multi_worker() -> tf.distribute.Strategy:
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise ValueError(f"The strategy 'multiworker' must come before everything else ({error})") from error


def in_cluster(strategy: tf.distribute.Strategy) -> bool:
    """Return whether a strategy spans several worker processes.

    Args:
        strategy: What `strategy` returns.

    Example:
        >>> in_cluster(strategy("none"))
        False
    """
    return worker(strategy)[1] > 1


def worker(strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """Return the index of this worker and the number of workers; worker 0 is the chief, which writes the files.

    Args:
        strategy: What `strategy` returns; outside a cluster the answer is (0, 1).

    Example:
        >>> worker(strategy("none"))
        (0, 1)
    """
    resolver = strategy.cluster_resolver
    tasks = _tasks(resolver.cluster_spec().as_dict()) if resolver else []
    return (tasks.index((resolver.task_type, resolver.task_id)), len(tasks)) if tasks else (0, 1)


def from_chief(strategy: tf.distribute.Strategy, function):
    """Return what `function()` returns on the chief, on every worker; the others do not call it.

    A ValueError is raised on every worker alike. All workers must call this at the same place.

    Args:
        strategy: The strategy; outside a cluster the function is simply called.
        function: A function without arguments, whose result can be pickled.

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
    # Whoever could send another message could run anything here anyhow: TensorFlow's servers trust their cluster.
    reason, result = pickle.loads(_broadcast(strategy, message))
    if reason is not None:
        raise ValueError(reason)
    return result


def _broadcast(strategy: tf.distribute.Strategy, message: bytes) -> bytes:
    """Return the chief's message: a new variable of the strategy has the chief's initial value everywhere."""
    with strategy.scope():
        size = int(tf.Variable(np.int64(len(message))).numpy())
        padded = np.frombuffer(message.ljust(-(-size // 8) * 8, b"\0")[: -(-size // 8) * 8], np.int64)
        return tf.Variable(padded).numpy().tobytes()[:size]


def _read_cluster() -> dict[str, list[str]]:
    """Return the tasks of TF_CONFIG that train, by job; empty if there is no TF_CONFIG."""
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
            f"Received: TF_CONFIG={text!r}"
        )
    return cluster


def _tasks(cluster: dict) -> list[tuple[str, int]]:
    """Return (job, index) of every worker, the chief first."""
    return [(job, index) for job in ("chief", "worker") for index in range(len(cluster.get(job, ())))]
