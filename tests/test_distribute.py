"""Several devices and several processes against one device: training, evaluation, prediction, refusals."""

import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import cluster, replica_cases

from keras_pdecnn import distribute, training
from keras_pdecnn.recipes import Recipe

ONE = tf.distribute.get_strategy()


@pytest.fixture
def double():
    """Make float64 the type of everything: float32 is rounded in another order, which training may amplify."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")


def agree(a, b, replicas=2):
    # Keras divides losses by the number of replicas in float32, whatever their type: 1/3 is rounded there, 1/2 is not.
    tolerance = 1e-8 if replicas == 2 else 1e-6
    return np.linalg.norm(np.subtract(a, b)) <= tolerance * np.linalg.norm(b)


@functools.cache
def trained_alone(architecture, **settings):
    """Return what one device makes of a network, in float64, see `replica_cases.trained`."""
    assert keras.config.dtype_policy().name == keras.config.floatx() == "float64"
    return replica_cases.trained(architecture, ONE, **settings)


def test_names_of_strategies(two_devices, monkeypatch):
    assert distribute.strategy("none") is ONE
    assert two_devices.num_replicas_in_sync == 2
    assert distribute.strategy("mirrored") is two_devices
    assert distribute.strategy("auto") is ONE
    one_worker = {"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(one_worker))
    assert distribute.strategy("auto") is ONE
    assert not distribute.in_cluster(two_devices)
    assert distribute.worker(two_devices) == (0, 1)
    assert distribute.from_chief(two_devices, lambda: 3) == 3


@pytest.mark.parametrize(
    "config",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"cluster": {"worker": ["a:1", "b:1"]}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "evaluator", "index": 0}}',
        '{"cluster": {"worker": [1, 2]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_wrong_cluster_is_refused(config, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match=r"TF_CONFIG.*Received"):
        distribute.strategy("multiworker")


def test_a_strategy_that_does_not_exist():
    with pytest.raises(ValueError, match="strategy='tpu'"):
        distribute.strategy("tpu")


@pytest.mark.parametrize("architecture", replica_cases.ARCHITECTURES)
@pytest.mark.slow
def test_two_devices_train_as_one(double, two_devices, architecture):
    before, weights, history = trained_alone(architecture)
    _, other_weights, other_history = replica_cases.trained(architecture, two_devices)
    for start, after, other in zip(before, weights, other_weights, strict=True):
        assert np.linalg.norm(after - start) > 1e-4 * np.linalg.norm(after)
        assert agree(other, after)
    assert other_history == pytest.approx(history)


@pytest.mark.slow
@pytest.mark.parametrize("backprop", ["reversible", "checkpointed", "stored"])
def test_every_backprop_on_two_devices(double, two_devices, backprop):
    settings = {"widths": (4,), "steps": 4, "backprop": backprop}
    weights, other = (replica_cases.trained("hamiltonian", each, **settings)[1] for each in (ONE, two_devices))
    assert all(agree(a, b) for a, b in zip(other, weights, strict=True))


@pytest.mark.slow
def test_two_devices_evaluate_as_one(double, two_devices):
    """The last batch has one example: a device has none."""
    (metrics, probabilities), (others, other_probabilities) = map(replica_cases.evaluated, (ONE, two_devices))
    assert others == pytest.approx(metrics)
    assert other_probabilities.shape == probabilities.shape
    assert agree(other_probabilities, probabilities)


def test_batches_that_do_not_divide(two_devices):
    size, model = 5, replica_cases.build("parabolic", two_devices, **replica_cases.SMALLEST)
    x, y = replica_cases.examples(size)
    data = tf.data.Dataset.from_tensor_slices((x, y))
    for given in (
        {"x": x, "y": y, "batch_size": size},
        {"x": x, "y": y, "batch_size": size - 1},
        {"x": data.batch(size, drop_remainder=True)},
        {"x": data.batch(size)},
        {"x": data.batch(size - 1)},
    ):
        odd = size if given.get("batch_size") == size or len(given) == 1 else 1
        with pytest.raises(ValueError, match=rf"a batch of ({odd}|1) examples and 2 replicas"):
            model.fit(**given, verbose=0)
    model.fit(x[:-1], y[:-1], batch_size=size - 1, verbose=0)
    model.fit(x, y, batch_size=size - 1, validation_split=1 / size, verbose=0)


def test_fit_takes_the_first_pass_over_the_data_first(two_devices):
    """Keras takes one batch of a distributed dataset to build loss and metrics: a pass that is then lost."""
    passes = []

    def numbers():
        passes.append(None)
        yield from range(len(passes), len(passes) + 2)

    data = tf.data.Dataset.from_generator(numbers, output_signature=tf.TensorSpec((), tf.float32))
    data = data.map(lambda number: (tf.fill((2, 8, 8, 3), number), tf.zeros((2,), tf.int32)))
    replica_cases.build("parabolic", two_devices, **replica_cases.SMALLEST).fit(data, epochs=2, verbose=0)
    assert len(passes) == 2


@pytest.mark.slow
def test_averages_and_their_statistics_on_two_devices(two_devices, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (24, 4, 4, 1), dtype=np.uint8), np.arange(24) % 2
    np.savez(tmp_path / "noise.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
    recipe = Recipe(
        **{"data": str(tmp_path / "noise.npz"), "widths": 2, "steps": 1, "batch_size": 8, "validation": 1 / 3},
        **{"rotate": 0, "zoom": 0, "pad": 0, "epochs": 1, "learning_rates": 0.1, "synchronized": True, "ema": 0.8},
    )
    outcomes = []
    for strategy in (ONE, two_devices):
        dataset = training.load_data(recipe)
        with strategy.scope():
            model = training.compile(training.build(recipe, dataset.info), recipe, dataset.steps_per_epoch)
        history = training.fit(model, dataset, recipe, verbose=0).history
        outcomes.append(([np.array(weight) for weight in model.weights], history))
    (weights, history), (other_weights, other_history) = outcomes
    for weight, other in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(other, weight, rtol=1e-4, atol=1e-5)
    for name, values in history.items():
        np.testing.assert_allclose(other_history[name], values, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_workers_of_a_cluster(double, tmp_path, count):
    """One test of each cluster, as its processes take half a minute."""
    replica_cases.write_streamed(tmp_path)
    with cluster.start_workers(count, [replica_cases.__file__, tmp_path], tmp_path) as processes:
        codes = cluster.wait(processes, 400)
    assert codes == [0] * count, cluster.logs(tmp_path)
    workers = [
        (dict(np.load(tmp_path / f"{index}.npz")), json.loads((tmp_path / f"{index}.json").read_text()))
        for index in range(count)
    ]
    check_training(workers)
    check_evaluation_and_prediction(workers)
    check_that_every_example_is_seen_once_an_epoch(workers)
    check_refusal_of_batches_that_do_not_divide(workers)
    check_streaming(workers, tmp_path)
    # When this fails, Keras has mended its issue 20585: `PDEModel` may be able to do without its private methods.
    if count == 2:
        assert all("PerReplica" in (texts["keras"] or "") for _, texts in workers)


def check_training(workers):
    for architecture, settings in replica_cases.architectures(len(workers)).items():
        before, weights, history = trained_alone(architecture, **settings)
        for arrays, texts in workers:
            others = [arrays[name] for name in sorted(arrays) if name.startswith(architecture)]
            for start, after, other in zip(before, weights, others, strict=True):
                assert np.linalg.norm(after - start) > 1e-4 * np.linalg.norm(after)
                assert agree(other, after, len(workers))
            assert texts[architecture] == pytest.approx(history)


def check_evaluation_and_prediction(workers):
    metrics, probabilities = replica_cases.evaluated(ONE)
    for arrays, _ in workers:
        assert arrays["evaluate"] == pytest.approx(metrics)
        assert arrays["predict"].shape == probabilities.shape
        assert agree(arrays["predict"], probabilities)


def check_that_every_example_is_seen_once_an_epoch(workers):
    sums = replica_cases.seen(ONE, shuffle=False)
    x, _ = replica_cases.examples(4 * replica_cases.BATCH)
    for arrays, _ in workers:
        assert arrays["seen"] == pytest.approx(sums)
        if len(workers) > 2:
            continue
        first, second = np.split(arrays["shuffled"], 2)
        assert first != pytest.approx(second)
        assert first != pytest.approx(sums[:4])
        assert first.sum() == pytest.approx(x.sum())
        assert second.sum() == pytest.approx(x.sum())


def check_streaming(workers, folder):
    """Each worker reads its part of every batch, and the network is that of one process."""
    weights, read, history = replica_cases.streamed(ONE, folder)
    parts = [texts["read"] for _, texts in workers]
    assert len(read) == len(set(read)) == 64  # 48 to train, 16 to validate
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert sorted(row for part in parts for row in part) == sorted(read)
    for arrays, texts in workers:
        others = [arrays[name] for name in sorted(arrays) if name.startswith("streamed/")]
        assert all(agree(other, after, len(workers)) for other, after in zip(others, weights, strict=True))
        assert texts["streamed"] == pytest.approx(history, rel=1e-5)


def check_refusal_of_batches_that_do_not_divide(workers):
    count = len(workers)
    for _, texts in workers:
        assert len(texts["refused"]) == 3
        for message in texts["refused"]:
            assert f"a batch of {4 * count + 1} examples and {count} replicas" in message
