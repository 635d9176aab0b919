"""Train provable networks with one change each, and print what the change does to accuracy, bounds and certificates.

python examples/ablation_certificates.py FOLDER --data fashion_mnist.npz [--networks margins …] [--seeds 0 1 2]

Every network is a file FOLDER/NAME_SEED.keras, and is not trained again. The first table has the certified networks
step by step, from cross-entropy to a loss that asks for margins, and the networks without their blocks. The second one
has bounds of one network before and after each tightening, with the seconds that it takes. Radii are in units where
pixels are in [0, 1].
"""

import argparse
import itertools
import pathlib
import time

import keras_pdecnn as pde
from keras_pdecnn.ops.integrators.distances import there_and_back

import keras
import numpy as np

EPOCHS, HELD_BACK, BATCH, LEARNING_RATE = 3, 0.75, 125, 0.005
MARGIN, TEMPERATURE = 1.5, 0.25
ATTACK_STEPS, RESTARTS = 20, 2
SHARED = {"classes": 10, "steps": 2, "weight_decay": 1e-4, "provable": True}
NARROW, WIDE = {"widths": (8, 16, 22), "head_width": 22}, {"widths": (10, 18, 32), "head_width": 22}
PER_FILTER = {**NARROW, "step_size": "per_filter"}
MARGINS = {**PER_FILTER, "orthogonal": True, "lipschitz": 1.0}

NETWORKS = {
    "cross-entropy": ("parabolic", {**NARROW, "lipschitz": 2.0}),
    "per filter": ("parabolic", {**PER_FILTER, "lipschitz": 2.0}),
    "orthogonal": ("parabolic", {**PER_FILTER, "orthogonal": True, "lipschitz": 2.0}),
    "margins": ("parabolic", MARGINS),
    "Hamiltonian": ("hamiltonian", {**MARGINS, **WIDE}),
    "second-order": ("second_order", MARGINS),
    "second-order, larger steps": ("second_order", {**MARGINS, "max_gain": 0.84}),
    "margins, minmax": ("parabolic", MARGINS),
    "no blocks": ("parabolic", MARGINS),
    "no blocks, minmax": ("parabolic", MARGINS),
    "no blocks, minmax, wide": ("parabolic", {**MARGINS, "widths": (12, 44, 74)}),
}
"""Architecture and settings of each network; "no blocks" is without its blocks, "cross-entropy" without a margin."""

RADII = {28: (0.1, 0.25, 0.5), 32: (36 / 255, 72 / 255, 108 / 255)}

WITHOUT_MARGIN = ("cross-entropy", "per filter", "orthogonal")


def build(name, shape):
    """Return an untrained network."""
    architecture, settings = NETWORKS[name]
    model = pde.models.ARCHITECTURES[architecture](shape, **SHARED, **settings)
    if "no blocks" not in name and "minmax" not in name:
        return model
    return changed(model, "no blocks" not in name, "minmax" if "minmax" in name else None)


def changed(model, blocks, activation):
    """Return a network of the layers of another one, with or without its blocks, with an activation of connectors."""
    y = model.inputs[0]
    for layer in pde.stability.lipschitz.computing_layers(model):
        config = layer.get_config()
        if isinstance(layer, pde.layers.BoundedConnector):
            config["activation"] = activation
        if blocks or not isinstance(layer, pde.layers.PDEBlock):
            y = type(layer).from_config(config)(y)
    return keras.Model(model.inputs[0], y)


def train(name, source, seed):
    """Return a network, trained on a quarter of the training images."""
    dataset = pde.data.load(source, batch_size=BATCH, validation=HELD_BACK, augmentation=None, seed=seed)
    keras.utils.set_random_seed(seed)
    model = build(name, dataset.info.input_shape)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, EPOCHS * dataset.steps_per_epoch)
    margin = pde.losses.MarginCrossEntropy(MARGIN, TEMPERATURE)
    loss = "sparse_categorical_crossentropy" if name in WITHOUT_MARGIN else margin
    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(dataset.epochs(), steps_per_epoch=dataset.steps_per_epoch, epochs=EPOCHS, shuffle=False, verbose=0)
    return model


def measure(model, x, y, top):
    """Return clean and certified accuracy in percent, and the bound of all blocks together."""
    radius = pde.stability.certified_radius(model, x, batch_size=250) / top
    right = model.predict(x, batch_size=250, verbose=0).argmax(axis=-1) == y
    values = [right, *(right & (radius >= r) for r in RADII[x.shape[1]])]
    return [100 * float(np.mean(value)) for value in values], gain_of_blocks(model, "joint")


def ablation(folder, networks, x, y, top):
    """Return means over the seeds of the networks that are there, as Markdown."""
    names = ["network", "weights", "seeds", "bound of the blocks", "clean", *map(str, RADII[x.shape[1]])]
    lines = [row(names), row(["---"] * len(names))]
    for name in networks:
        loaded = [pde.models.load_model(file) for file in sorted(folder.glob(f"{name}_[0-9].keras"))]
        if loaded:
            measured = [measure(model, x, y, top) for model in loaded]
            accuracies = np.mean([values for values, _ in measured], axis=0)
            bound = np.mean([bound for _, bound in measured])
            weights = sum(int(np.prod(weight.shape)) for weight in loaded[0].trainable_weights)
            cells = [name, f"{weights:,}", str(len(loaded)), f"{bound:.3f}", *(f"{value:.1f}" for value in accuracies)]
            lines.append(row(cells))
    return "\n".join(lines)


def gain_of_blocks(model, how):
    """Return the product of the Lipschitz bounds of all blocks of a network with ReLU and no normalisation.

    The bounds are those of the triangle inequality alone ("triangle"), with terms of first order in h added before
    norms are taken ("first order"), or of all steps together ("joint"), as in `stability.block_bounds`.
    """
    product = 1.0
    for block in model.layers:
        if not isinstance(block, pde.layers.PDEBlock):
            continue
        if how == "joint":
            product *= pde.stability.block_bounds(block, block.input.shape[1:-1])[1]
            continue
        kernel = keras.ops.convert_to_numpy(block.theta()["kernel"])
        squared = pde.stability.operator_norm(kernel, block.padding, axes=kernel.ndim - 4) ** 2
        bound = {"triangle": triangle, "first order": first_order}[how]
        product *= bound(block, float(block.current_step_size()), squared)
    return product


def triangle(block, h, squared):
    """Return the bound of a block from the triangle inequality."""
    return block.integrator.lipschitz_bounds(h, squared, monotone=False)[1]


def first_order(block, h, squared):
    """Return the bound of a block whose terms of first order in h are added before norms are taken."""
    ones = np.ones(len(squared))
    updates = block.integrator.updates
    gains = [abs(u.factor(h)) * (ones if u.field is None else squared[:, u.field]) for u in updates]
    distances, _ = there_and_back(updates, np.stack(gains, axis=1))
    m = float(distances.first.max())
    if isinstance(block, pde.layers.HamiltonianBlock):
        return (1 + m + m * m) ** 0.5 + float(np.linalg.norm(distances.rest, 2))
    return max(1.0, m - 1) + float(distances.rest[0, 0])


def tightenings(model, x, y, top, name):
    """Return rows of bounds and certified accuracy at the second radius, before and after each tightening."""
    epsilon, lines = RADII[x.shape[1]][1] * top, []
    right = model.predict(x, batch_size=250, verbose=0).argmax(axis=-1) == y
    logits = np.float64(pde.stability.logits(model).predict(x, batch_size=250, verbose=0))
    predicted, rows = logits.argmax(axis=1), np.arange(len(x))
    margins = logits[rows, predicted][:, None] - logits
    margins[rows, predicted] = np.inf
    kernel = pde.stability.lipschitz.classifier_kernel(model.layers[-1])
    distances = np.linalg.norm(kernel[:, :, None] - kernel[:, None, :], axis=0)[predicted]
    others = float(np.prod([bound.upper for bound in pde.stability.layer_bounds(model)[:-1]]))
    others /= gain_of_blocks(model, "joint")

    def certified(radius, convert=pde.stability.certificates.radius_before_standardization):
        return f"{100 * np.mean(right & (convert(x, radius) >= epsilon)):.1f}"

    def add(what, before, after, seconds):
        lines.append(row([name, what, *before, *after, f"{seconds:.2f}"]))

    with np.errstate(divide="ignore", invalid="ignore"):
        by_columns = np.min(np.where(distances > 0, margins / distances, np.inf), axis=1)
    hyperbolic = any(isinstance(layer, HYPERBOLIC) for layer in model.layers)
    values = []
    for how in ("triangle", "first order", "joint") if hyperbolic else ("triangle", "joint"):
        start = time.perf_counter()
        bound = gain_of_blocks(model, how)
        values.append((how, bound, certified(by_columns / (others * bound)), time.perf_counter() - start))
    for (_, bound, accuracy, _), (how, smaller, more, seconds) in itertools.pairwise(values):
        if smaller < bound * (1 - 1e-6):
            add(f"blocks: {TEXTS[how]}", (f"{bound:.4g}", accuracy), (f"{smaller:.4g}", more), seconds)
    start, (_, bound, accuracy, _) = time.perf_counter(), values[-1]
    plain = margins.min(axis=1) / (2**0.5 * pde.stability.lipschitz_bound(model))
    add("margin: distance of two columns", ("", certified(plain)), ("", accuracy), time.perf_counter() - start)
    start, root = time.perf_counter(), float(np.prod(x.shape[1:])) ** 0.5
    rough = certified(by_columns / (others * bound), lambda x, radius: radius / root)
    add("standardisation: arc on a sphere", (f"{root:.4g}", rough), ("", accuracy), time.perf_counter() - start)
    return lines


def attacked(model, x, images, name):
    """Return a sentence on what attacks within and around the certified radii find."""
    radius = pde.stability.certified_radius(model, x, batch_size=250)
    length = pde.stability.smallest_perturbation(model, x, radius, images, steps=ATTACK_STEPS, restarts=RESTARTS)
    ratios = length[radius > 0] / radius[radius > 0]
    sentence = (
        f"{name}: {np.sum(length < radius)} of {len(x)} certificates violated; the smallest change found is "
        f"{ratios.min():.3f} radii or more, in the median {np.median(ratios):.2f}"
    )
    block = next((layer for layer in model.layers if isinstance(layer, pde.layers.PDEBlock)), None)
    if block is None:
        return sentence
    share = 100 * fixed(model, block, x, radius)
    return f"{sentence}; {share:.0f} % of the ReLUs of the first step are constant within the radii"


def fixed(model, block, x, radius):
    """Return the part of the ReLUs of the first step of a block whose sign cannot change within the certified radii.

    The linear layers before the block have norms of at most 1, and standardisation divides by the standard deviation.
    """
    theta = block.theta()
    kernel, bias = (keras.ops.convert_to_numpy(theta[name])[0, 0] for name in ("kernel", "bias"))
    features = keras.Model(model.inputs, block.input).predict(x, verbose=0)[..., : kernel.shape[-2]]
    values = keras.ops.convert_to_numpy(pde.ops.convolve(features, kernel, block.padding)) + bias
    lengths = np.sqrt(np.sum(kernel**2, axis=(0, 1, 2)))
    reach = radius / x.reshape(len(x), -1).std(axis=1)
    return np.mean(np.abs(values) > reach[:, None, None, None] * lengths)


HYPERBOLIC = (pde.layers.HamiltonianBlock, pde.layers.SecondOrderBlock)
TEXTS = {"first order": "terms of first order together", "joint": "all steps together, or convexity"}


def row(cells):
    """Return a row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def main():
    """Train what is missing, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--model", type=pathlib.Path, help="another .keras file, for the second table alone")
    parser.add_argument("--examples", type=int, default=10_000, help="number of test images")
    parser.add_argument(
        "--attacked", type=int, default=0, help="number of test images on which certificates are attacked"
    )
    parser.add_argument("--no-tables", action="store_true", help="train alone")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for seed in given.seeds if given.model is None else ():
        for name in given.networks:
            file = given.folder / f"{name}_{seed}.keras"
            if not file.exists():
                train(name, given.data, seed).save(file)
    if given.no_tables:
        return
    test = pde.data.load(given.data, batch_size=250, augmentation=None).test
    x, y = (np.concatenate(part)[: given.examples] for part in zip(*test.as_numpy_iterator(), strict=True))
    x, top = x.astype("float32"), 255.0
    if given.model is None:
        print(ablation(given.folder, given.networks, x, y, top), end="\n\n")
    files = [given.folder / f"{name}_0.keras" for name in given.networks] if given.model is None else [given.model]
    for file in files if given.attacked else ():
        if file.exists():
            model = pde.models.load_model(file)
            print(attacked(model, x[: given.attacked], x[:1000], file.stem), flush=True)
    names = ["network", "tightening", "bound before", "certified", "bound after", "certified", "seconds"]
    print(row(names), row(["---"] * len(names)), sep="\n")
    for file in files:
        if file.exists() and not file.stem.startswith("no blocks"):
            print(*tightenings(pde.models.load_model(file), x, y, top, file.stem), sep="\n", flush=True)


if __name__ == "__main__":
    main()
