"""The blocks against figures computed with the authors' own software, see data/README.md."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_pdecnn.layers import HamiltonianBlock, ParabolicBlock, SecondOrderBlock

FIGURES = Path(__file__).parent / "data" / "reference_blocks.npz"
CASES = {
    "parabolic_relu_tv": ParabolicBlock,
    "hamiltonian_relu_tv": HamiltonianBlock,
    "leapfrog_tanh_none": SecondOrderBlock,
}
COMBINATIONS = [
    (case, backprop)
    for case in CASES
    for backprop in ("stored", "checkpointed", "reversible")
    if (case, backprop) != ("parabolic_relu_tv", "reversible")
]


def build_block(case, figures, backprop):
    _, activation, normalization = case.split("_")
    block = CASES[case](
        steps=int(figures["steps"]),
        step_size=float(figures["h"]),
        activation=activation,
        normalization=None if normalization == "none" else normalization,
        epsilon=1e-4,
        use_bias="bias" in figures,
        backprop=backprop,
    )
    block.build(figures["y0"].shape)
    for weight in block.weights:
        weight.assign(figures[weight.name])
    return block


@pytest.mark.parametrize(("case", "backprop"), COMBINATIONS)
def test_block_agrees_with_the_authors(float64, case, backprop):
    with np.load(FIGURES) as archive:
        figures = {key.split("/")[1]: archive[key] for key in archive.files if key.startswith(case)}
    block = build_block(case, figures, backprop)
    y = tf.constant(figures["y0"])
    with tf.GradientTape() as tape:
        tape.watch(y)
        out = block(y)
        total = tf.reduce_sum(figures["w"] * out)
    results = [out, *tape.gradient(total, [y, *(weight.value for weight in block.weights)])]

    names = ["yN", "dy0", *("d" + weight.name for weight in block.weights)]
    assert set(figures) == {*names, *(weight.name for weight in block.weights), "y0", "w", "h", "steps"}
    for name, result in zip(names, results, strict=True):
        assert np.max(np.abs(result - figures[name])) <= 1e-12 * np.max(np.abs(figures[name])), name
