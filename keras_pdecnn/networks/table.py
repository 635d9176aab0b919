"""The table of the networks."""

from __future__ import annotations

from keras_pdecnn.networks.record import Network

DEFAULT = "hamiltonian"
"""The network of a recipe that names none: it has half the weights, and the memory of its training stays flat."""

_HYPERBOLIC = "Hyperbolic steps conserve an energy if they are linear and their weights constant in time."

NETWORKS: dict[str, Network] = {
    "hamiltonian": Network(
        label="Hamiltonian",
        equation="y += h F₁(z), then z −= h F₂(y), with F(y) = −Kᵀ σ(N(K y)) on two halves of the channels",
        stability=_HYPERBOLIC,
        block="keras_pdecnn.layers:HamiltonianBlock",
        builder="keras_pdecnn.models:HamiltonianCNN",
        unet="keras_pdecnn.models:HamiltonianUNet",
        marker="o",
        color="#3465a4",
    ),
    "parabolic": Network(
        label="parabolic",
        equation="y += h F(y) with F(y) = −Kᵀ σ(N(K y)), a nonlinear heat equation",
        stability="Without normalisation, and with a non-decreasing activation, a parabolic step that is not too large "
        "(h ≤ 2 / (L ‖K‖²)) enlarges no distance.",
        block="keras_pdecnn.layers:ParabolicBlock",
        builder="keras_pdecnn.models:ParabolicCNN",
        unet="keras_pdecnn.models:ParabolicUNet",
        marker="s",
        color="#e07b00",
    ),
    "second_order": Network(
        label="second-order",
        equation="v += h² F(y), then y += v, with F(y) = −Kᵀ σ(N(K y)), a nonlinear wave equation",
        stability=_HYPERBOLIC,
        block="keras_pdecnn.layers:SecondOrderBlock",
        builder="keras_pdecnn.models:SecondOrderCNN",
        unet="keras_pdecnn.models:SecondOrderUNet",
        marker="^",
        color="#009e73",
    ),
    "residual": Network(
        label="residual",
        equation="y += h K₂ σ(N(K₁ y)), an ordinary residual network",
        stability="Nothing makes the steps of a residual network stable: features and distances may grow or decay.",
        block="keras_pdecnn.layers:ResidualBlock",
        builder="keras_pdecnn.models:ResidualCNN",
        unet="keras_pdecnn.models:ResidualUNet",
        marker="D",
        color="#cc79a7",
    ),
}
"""The networks by name. A network of your own is added with `NETWORKS["name"] = Network(…)`; see docs/own_pde.md."""


def label(name: str) -> str:
    """Return the label of a network, also of one that has no record.

    Args:
        name: Name of a network, which need not be in the table.

    Example:
        >>> label("second_order"), label("some_other")
        ('second-order', 'some-other')
    """
    return NETWORKS[name].label if name in NETWORKS else name.replace("_", "-")


def record_of(block) -> Network | None:
    """Return the record of the network that a block belongs to, None if no record describes it.

    A subclass has the record of its base class, unless its integrator or its right-hand side is another one.

    Args:
        block: A `layers.PDEBlock`.

    Example:
        >>> from keras_pdecnn import layers
        >>> record_of(layers.SecondOrderBlock(steps=3)).label
        'second-order'
    """
    for base in type(block).__mro__:
        for network in NETWORKS.values():
            if network.block is base:
                same = (block.integrator, block.symmetric) == (base.integrator, base.symmetric)
                return network if same else None
    return None
