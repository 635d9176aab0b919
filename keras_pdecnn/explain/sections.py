"""The page that explains a network: its predictions for some examples, the reasons, and what happens inside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from keras_pdecnn import operators, plotting
from keras_pdecnn.data.checks import check_examples
from keras_pdecnn.explain.attribution import class_activation, pooled_by, pooled_head, saliency, smooth_grad
from keras_pdecnn.explain.dynamics import BlockDynamics, follow, has_energy, is_linear
from keras_pdecnn.explain.html import Item, Picture, Section, Table, render
from keras_pdecnn.layers import PDEBlock
from keras_pdecnn.layers.graph import block_calls
from keras_pdecnn.networks import record_of
from keras_pdecnn.plotting.style import some_steps
from keras_pdecnn.stability.report import claim

MOST_EXAMPLES = 16
"""The largest number of examples on a page; more would make it too long to read."""


def page(
    model: keras.Model,
    x: ArrayLike,
    class_names: Sequence[str],
    labels: Sequence[int] | np.ndarray | None = None,
    names: Iterable[str] | None = None,
    title: str | None = None,
    facts: Sequence[str] = (),
) -> str:
    """Return an HTML page that shows what a network does with some examples, as one text without links.

    Args:
        model: A network of `models`, built with `include_top=True`; or another functional model with blocks, nested or
            not, that ends with an average and a dense layer.
        x: Raw examples of shape (n, *space, channels), at most `MOST_EXAMPLES`.
        class_names: Names of the classes.
        labels: True classes of shape (n,); default None, unknown.
        names: Names of the examples; default None, they are numbered.
        title: Title of the page; default None, the name of the model.
        facts: Lines about the network at the top of the page; default none.

    Returns:
        The page as text.

    Raises:
        ValueError: If the network does not end with an average and a dense layer, or there are too many examples, or
            they have another shape than the input or are not finite.

    Example:
        >>> network = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,), steps=3)
        >>> html = page(network, np.zeros((1, 8, 8, 1)), class_names=("cat", "dog"))
        >>> html.startswith("<!DOCTYPE html>")
        True
    """
    x = np.asarray(x)
    if len(x) > MOST_EXAMPLES:
        raise ValueError(f"A page shows at most {MOST_EXAMPLES} examples. Received: {len(x)} examples")
    if not block_calls(model):
        raise ValueError(f"A page shows what blocks do, and this network has none. Received: model={model.name}")
    check_examples(x, "x", model.input_shape[1:])
    pooled_head(model)  # raises an error if the network has no such head
    names = [f"example {i}" for i in range(1, len(x) + 1)] if names is None else list(names)
    outputs = model.predict(x, verbose=0)
    predicted, output = outputs.argmax(axis=-1), outputs.max(axis=-1)
    softmax = model.layers[-1].activation is keras.activations.softmax
    values = [f"{100 * value:.1f} %" if softmax else f"{value:.3g}" for value in output]
    says = [f"{class_names[k]} ({value})" for k, value in zip(predicted, values, strict=True)]
    heads, columns = ["example", f"predicted class ({'probability' if softmax else 'score'})"], [names, says]
    captions = [f"{name}: {text}" for name, text in zip(names, says, strict=True)]
    if labels is not None:
        true = [str(class_names[label]) for label in labels]
        heads.append("true class")
        columns.append(true)
        captions = [f"{caption}; true class {text}" for caption, text in zip(captions, true, strict=True)]
    rows = list(zip(*columns, strict=True))
    lead: list[Item] = [*([list(facts)] if facts else []), Table("What the network says of the examples", heads, rows)]
    dynamics = follow(model, x)
    sections = [
        _attribution(model, x, predicted, captions),
        _features(dynamics, names[0]),
        _dynamics(model, dynamics),
        _weights(model),
        _operators(model),
    ]
    return render(title or model.name, lead, sections)


def _attribution(model: keras.Model, x: np.ndarray, classes: np.ndarray, captions: list[str]) -> Section:
    gradients = {"saliency": saliency(model, x, classes), "SmoothGrad": smooth_grad(model, x, classes)}
    maps, sizes = class_activation(model, x, classes), pooled_by(model)
    # The frequencies of a spectrogram are no axis of the example: their contributions are added.
    maps = maps.sum(axis=tuple(range(x.ndim - 1, maps.ndim)))
    if "channels_last" in {layer.name for layer in model.layers}:  # the examples have their channels first
        x, *moved = (np.moveaxis(values, 1, -1) for values in (x, *gradients.values()))
        gradients = dict(zip(gradients, moved, strict=True))
    unit = "sample" if x.ndim == 3 else "pixel"
    content: list[Item] = [
        "These pictures show what speaks for the predicted class. All three explain its logit, the number before the "
        "softmax. A probability also changes when the logits of other classes do.",
        [
            "Saliency: the absolute derivative of the logit by each input value. Where it is large, a small change "
            "matters; it does not say that the value itself speaks for the class.",
            "SmoothGrad: the mean of this derivative over 32 noisy copies of the example (noise: a tenth of its "
            "range), in which differences between the copies cancel.",
            "Class-activation map: the contribution of each place to the logit, red for the class, blue against it. "
            "The network ends with an average over space and a linear map, so the contributions and the bias add up to "
            f"the logit exactly. A place stands for {_extent(sizes, unit)}, and "
            "through the convolutions it also depends on its neighbourhood.",
            *_slices(x.ndim - 2),
        ],
    ]
    for i, caption in enumerate(captions):
        own = {name: gradient[i] for name, gradient in gradients.items()}
        figure = plotting.attribution(x[i], own, maps[i], sizes)
        said = "The example, its saliency, SmoothGrad and class-activation map. " + _most(maps[i])
        content.append(Picture(figure, caption, said))
    return Section("What speaks for the class", content)


def _extent(sizes: Sequence[int], unit: str) -> str:
    """Return in words how many pixels a place stands for along each axis."""
    if len(set(sizes)) > 1:
        return f"{' x '.join(map(str, sizes))} {unit}s"
    return f"{sizes[0]} {unit if sizes[0] == 1 else unit + 's'} along each axis"


def _most(activation: np.ndarray) -> str:
    """Return in words where a class-activation map is largest."""
    place = np.unravel_index(activation.argmax(), activation.shape)
    where = [f"{(p + 0.5) / size:.0%}" for p, size in zip(place, activation.shape, strict=True)]
    axes = {1: ("along the signal",), 2: ("down", "across")}.get(activation.ndim, ("in depth", "down", "across"))
    return (
        "The map is largest at " + ", ".join(f"{share} {axis}" for share, axis in zip(where, axes, strict=True)) + "."
    )


def _slices(rank: int) -> list[str]:
    shown = "Four slices along the first of the three space axes, which is the time of a video, are shown, row by row."
    return [shown] if rank == 3 else []


def _features(dynamics: list[BlockDynamics], name: str) -> Section:
    content: list[Item] = [
        f"These are the features of {name} inside each block, from its input (step 0) to its output: the three "
        "channels that change most. Each row has one scale for all times.",
        *_slices(dynamics[0].trajectory.ndim - 3),
    ]
    for block in dynamics:
        title = _title(block.name)
        said = f"Grey images of three channels of {title} over its steps."
        content.append(Picture(plotting.trajectory(block.trajectory[:, 0]), title, said))
    return Section("Features over time", content)


def _dynamics(model: keras.Model, dynamics: list[BlockDynamics]) -> Section:
    first = block_calls(model)[0].layer
    network = record_of(first)
    content: list[Item] = [
        "Above: the size of the features over the steps of a block, relative to its input. Below: the distance of two "
        "trajectories, one of them from the example with a random change of 0.1 %, relative to their distance at the "
        "input of the block; 1 (grey) means neither growth nor decay. The line is the median over the examples, the "
        "band reaches from the smallest to the largest. The worst change may grow more than a random one.",
        *([f"A step is {network.equation}."] if network and network.equation else []),
        _theory(first),
    ]
    for block in dynamics:
        title = _title(block.name)
        said = f"{title}: from input to output the norm changes by a factor of {_median(block.relative_norm):.2f} and "
        said += f"the distance by {_median(block.growth):.2f} (medians). At its output the change is "
        said += f"{100 * _median(block.relative_distance):.2g} % of the features."
        content.append(Picture(plotting.dynamics({"": [block]}), said, f"Norm and distance over the steps. {said}"))
    for block in dynamics:
        if block.energy is not None:
            drift = np.abs(block.energy / block.energy[:1] - 1).max()
            title = _title(block.name)
            said = f"{title}: the discrete energy that its linear steps conserve changes by {drift:.1g}, relatively."
            content.append(Picture(plotting.energy(block.energy, title), said, said))
    return Section("Energy, and how a small change grows", content)


def _median(values: np.ndarray) -> float:
    """Return the median at the last step, over the examples that have a value: one without contrast has none."""
    last = values[-1][np.isfinite(values[-1])]
    return float(np.median(last)) if last.size else float("nan")


def _theory(block: PDEBlock) -> str:
    """Return what is known of the stability of a block: the words of its record, and what follows for its settings."""
    network = record_of(block)
    sentences = [network.stability if network and network.stability else _general_theory(block)]
    if block.symmetric and block.integrator.is_nonexpansive and claim(block) != "theorem":
        sentences.append(
            "This network has a normalisation after which an activation is no monotone map: nothing is guaranteed, and "
            "distances may grow."
        )
    if has_energy(block):
        sentences.append(
            "This network is linear inside its blocks; where weights are constant, the energy is shown."
            if is_linear(block)
            else "These steps are nonlinear, so the plain norm is shown: nothing says that it is conserved or bounded."
        )
    return " ".join(sentences)


def _general_theory(block: PDEBlock) -> str:
    """Return what is known of the steps of a block whose network has no record, or one that says nothing of them."""
    if not block.symmetric or block.integrator.limit is None:
        return "Nothing is known that makes the steps of this network stable: features and distances may grow or decay."
    if block.integrator.is_nonexpansive:
        return (
            "Without normalisation, and with a non-decreasing activation, a step up to the limit of its integrator "
            "enlarges no distance."
        )
    return (
        "Below the limit of its integrator, a step is stable if it is linear and its weights are constant in time. "
        "That guarantees nothing for a nonlinear network: features and distances may grow or decay."
    )


def _weights(model: keras.Model) -> Section:
    content: list[Item] = [
        "These are entries of the convolution kernels over the steps: the eight that vary most in colour, others in "
        "grey. Before training they are constant in time. A strong regulariser (time smoothness) keeps them constant "
        "or piecewise constant.",
    ]
    for name, block in _blocks(model).items():
        kernel = ops.convert_to_numpy(block.theta()["kernel"])
        title = _title(name)
        if len(kernel) == 1:
            content.append(f"{title} has one step, so there is nothing to see over time.")
            continue
        change = np.linalg.norm(np.diff(kernel, axis=0)) / np.linalg.norm(kernel[1:])
        said = f"{title}: from step to step the kernel changes by {100 * change:.0f} % of its norm."
        picture = plotting.kernel_entries(kernel, title)
        content.append(Picture(picture, said, f"Kernel entries over {len(kernel)} steps. {said}"))
    return Section("Weights over time", content)


def _operators(model: keras.Model) -> Section:
    title = "Kernels as differential operators"
    blocks = _blocks(model)
    kernels = {name: ops.convert_to_numpy(block.theta()["kernel"]) for name, block in blocks.items()}
    first = next(iter(blocks.values()))
    rank = first.input_spec.ndim - 2
    sizes = {kernel.shape[2 : 2 + rank] for kernel in kernels.values()}
    if rank == 3 or sizes != {(3,) * rank}:
        present = ", ".join("x".join(map(str, size)) for size in sorted(sizes))
        return Section(
            title, [f"Only stencils of 3 points on one or two axes are read as operators; these are {present}."]
        )
    axes = tuple(range(2, 2 + rank))
    rows, maps = [], []
    for name, kernel in kernels.items():
        shares = operators.shares(kernel, axes=axes)
        for field, symbol in enumerate(_symbols(kernel.shape[1], first.symmetric)):
            which = f"{_title(name)}, {symbol}"
            for j in some_steps(len(kernel)):
                rows.append((f"{which}, step {j}", operators.summary(kernel[j, field])))
            of_field = {group: values[:, field] for group, values in shares.items()}
            said = f"{which}: " + ", ".join(f"{group} {values.mean():.0%}" for group, values in of_field.items())
            said += ", on the mean over steps and pairs."
            maps.append(Picture(plotting.operator_maps(of_field, which), said, f"Four maps of shares. {said}"))
    text = "; ".join(f"{label}: " + ", ".join(f"{g} {s:.0%}" for g, s in shares.items()) for label, shares in rows)
    content: list[Item] = [
        "Every stencil of a kernel is a sum of differential operators: reaction (the value itself), convection (first "
        "derivatives), diffusion (second derivatives)" + (", and higher ones" if rank == 2 else "") + ". The bars "
        "show the norms of these parts as shares of their sum. Compare them with the last bar, a kernel of independent "
        "random entries, with which every network starts.",
        Picture(plotting.operator_shares(rows), "Shares of whole kernels, in per cent", f"Stacked bars. {text}."),
        "The maps show the same for every pair of channels: a row of a map is an input channel, a column a filter. "
        "Columns of maps are steps; maps that look alike from left to right belong to kernels that hardly change in "
        "time.",
        *maps,
    ]
    return Section(title, content)


def _blocks(model: keras.Model) -> dict[str, PDEBlock]:
    """Return the blocks of a model, those in nested models too, by the name of their first call."""
    blocks: dict[str, PDEBlock] = {}
    for call in block_calls(model):
        if all(call.layer is not block for block in blocks.values()):
            blocks[call.name] = call.layer
    return blocks


def _symbols(count: int, symmetric: bool) -> list[str]:
    """Return how the kernels of a step are written: a general layer stores the transpose of its second kernel."""
    if count == 1:
        return ["K"]
    digits = [str(i).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")) for i in range(1, count + 1)]
    return [f"K{digit}" + ("" if symmetric or i % 2 == 0 else "ᵀ") for i, digit in enumerate(digits)]


def _title(name: str) -> str:
    """Return the name of a block as a title: block_1 is Block 1."""
    return name.replace("_", " ").capitalize()
