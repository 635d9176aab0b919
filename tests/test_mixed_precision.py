"""What the policy "mixed_bfloat16" means: on a CPU, at most the convolutions are in bfloat16."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.graphs import types_by_operation

from keras_pdecnn import layers, models
from keras_pdecnn.layers import mixed_precision
from keras_pdecnn.ops.backend import runtime
from keras_pdecnn.utils import processor

CONVOLUTIONS = {"Conv2D", "Conv2DBackpropFilter"}
POINTWISE = {"Relu", "ReluGrad", "AvgPool", "AvgPoolGrad", "FusedBatchNormV3", "FusedBatchNormGradV3", "Rsqrt"}
NETWORKS = {
    "hamiltonian": lambda: models.HamiltonianCNN((8, 8, 3), classes=2, widths=(4, 6), steps=3),
    "stored": lambda: models.HamiltonianCNN((8, 8, 3), classes=2, widths=(4, 6), steps=3, backprop="stored"),
    "second_order": lambda: models.SecondOrderCNN((8, 8, 3), classes=2, widths=(4, 6), steps=3),
    "parabolic": lambda: models.ParabolicCNN((8, 8, 3), classes=2, widths=(4, 6), steps=3),
    "provable": lambda: models.ParabolicCNN((8, 8, 3), classes=2, widths=(4, 6), steps=3, provable=True),
    "unet": lambda: models.HamiltonianUNet((8, 8, 3), outputs=2, widths=(4, 6), steps=3),
}


def types_of_operations(model, x) -> dict[str, set]:
    """Return the types of each kind of operation in a training step."""

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(model(x, training=True), "float32") ** 2)
        return tape.gradient(loss, [variable.value for variable in model.trainable_variables])

    return types_by_operation(step.get_concrete_function(x).graph.as_graph_def())


@pytest.mark.parametrize("name", NETWORKS)
def test_on_a_cpu_only_convolutions_are_in_bfloat16(rng, name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = NETWORKS[name]()
    found = types_of_operations(model, tf.constant(rng.normal(size=(2, 8, 8, 3)), "float32"))
    assert found.keys() >= CONVOLUTIONS
    head = {"float32"} if name == "unet" else set()  # outputs are in float32 under every policy
    assert all(found[kind] == {"bfloat16"} | head for kind in CONVOLUTIONS)
    assert "Relu" in found
    assert all(found[kind] == {"float32"} for kind in POINTWISE & found.keys())


@pytest.mark.parametrize("name", NETWORKS)
def test_without_instructions_for_bfloat16_blocks_and_connectors_are_in_float32(rng, monkeypatch, name):
    monkeypatch.setattr(mixed_precision, "has_bfloat16", lambda: False)
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = NETWORKS[name]()
    found = types_of_operations(model, tf.constant(rng.normal(size=(2, 8, 8, 3)), "float32"))
    assert found.keys() >= CONVOLUTIONS
    assert all(found[kind] == {"float32"} for kind in (CONVOLUTIONS | POINTWISE) & found.keys())


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_int8\n", True),
        ("flags\t\t: avx2 amx_bf16\n", True),
        ("flags\t\t: avx2 avx_ne_convert\n", True),
        ("Features\t: fp asimd i8mm bf16 dgh\n", True),
        ("processor : 0\nmodel name : bf16\nflags\t\t: fpu avx2 avx512f\n", False),
        ("Features\t: fp asimd\n", False),
        (None, False),
    ],
)
def test_instructions_for_bfloat16(tmp_path, monkeypatch, cpuinfo, expected):
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "cpuinfo")
    assert processor.has_bfloat16.__wrapped__() is expected


def test_on_a_gpu_the_activations_are_in_bfloat16_too(rng, monkeypatch):
    monkeypatch.setattr(runtime, "has_accelerator", lambda: True)
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = NETWORKS["hamiltonian"]()
    found = types_of_operations(model, tf.constant(rng.normal(size=(2, 8, 8, 3)), "float32"))
    assert found["Conv2D"] == found["Relu"] == found["AvgPool"] == {"bfloat16"}


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_float16", "float16", "bfloat16"])
def test_other_policies_have_one_type(policy):
    connector = layers.Connector(4, dtype=policy)
    assert connector(np.ones((1, 4, 4, 2))).dtype == connector.compute_dtype
    field = layers.ParabolicBlock(1, dtype=policy).field
    assert field.compute_dtype == field.convolution_dtype == connector.compute_dtype
