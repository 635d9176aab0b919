"""Train the four U-Nets and a plain convolutional network to remove noise from images, and compare them.

    python examples/denoising_networks.py --data FILE.npz [--sigma 25] [--seeds 0] [--batches 1500] [--folder denoising]

FILE.npz has images 0 … 255 as `x_train` and `x_test`. The networks have equal numbers of weights (to 2 %) and see the
same images with the same noise, of the standard deviation sigma. All predict the correction: output = input + network.
Beside them are total-variation denoising and non-local means of scikit-image (`pip install scikit-image`), whose
strength is the one with the best PSNR on training images. What is trained stays in the folder; the same command again
trains only what is missing. The table is printed and written to the folder, with a picture for each sigma.
"""

import argparse
import json
import pathlib
import time

import keras
import numpy as np
from matplotlib.figure import Figure
from skimage.metrics import structural_similarity
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

import keras_pdecnn as pde

WIDTHS = (16, 32, 64)
# A step of each network has another number of weights; so many steps have the same.
NETWORKS = {
    "parabolic": {"steps": 2},
    "hamiltonian": {"steps": 4, "step_size": 0.5},
    "second_order": {"steps": 2},
    "residual": {"steps": 1},
}
PLAIN_DEPTH, PLAIN_WIDTH = 7, 52
BATCHES, BATCH, RATE = 1500, 32, 2e-3
TEST, TUNING = 500, 50
TV_WEIGHTS = np.geomspace(0.02, 0.4, 14)
NLM_STRENGTHS = np.linspace(0.3, 1.3, 11)
SHOWN = 6


def plain(input_shape):
    """Return a network of 3x3 convolutions with batch normalisation and ReLU that predicts the noise (DnCNN)."""
    y = inputs = keras.Input(input_shape)
    for layer in range(PLAIN_DEPTH - 1):
        y = keras.layers.Conv2D(PLAIN_WIDTH, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(y)
        y = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(y) if layer else y)
    y = keras.layers.Conv2D(input_shape[-1], 3, padding="same", kernel_initializer="zeros")(y)
    return keras.Model(inputs, keras.layers.Add()([inputs, y]), name="plain")


def build(name, input_shape):
    """Return the network of this name for images of any size."""
    if name == "plain":
        return plain(input_shape)
    return pde.models.UNETS[name](input_shape, widths=WIDTHS, restoration=True, **NETWORKS[name])


def weights_of(model):
    """Return the number of trainable weights."""
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def noisy(images, sigma, seed):
    """Return images with noise that depends on the seed alone."""
    noise = np.random.default_rng(seed).normal(size=images.shape)
    return (images + sigma / 255 * noise).astype("float32")


class Batches(keras.utils.PyDataset):
    """Batches of images drawn at random, mirrored at random and with noise: (noisy, clean)."""

    def __init__(self, images, sigma, seed, batches):
        super().__init__()
        self.images, self.sigma, self.seed, self.batches = images, sigma, seed, batches

    def __len__(self):
        return self.batches

    def __getitem__(self, index):
        rng = np.random.default_rng([self.seed, index])
        clean = self.images[rng.integers(len(self.images), size=BATCH)].astype("float32") / 255
        mirrored = rng.random(BATCH) < 0.5
        clean[mirrored] = clean[mirrored, :, ::-1]
        return noisy(clean, self.sigma, [self.seed, index, 1]), clean


def train(name, images, sigma, seed, batches):
    """Return a trained network, and the seconds that its training took."""
    keras.utils.set_random_seed(seed)
    model = build(name, (None, None, images.shape[-1]))
    rate = keras.optimizers.schedules.CosineDecay(RATE, batches)
    model.compile(keras.optimizers.Adam(rate), "mean_squared_error", jit_compile=False)
    start = time.monotonic()
    model.fit(Batches(images, sigma, seed, batches), epochs=1, shuffle=False, verbose=2)
    return model, time.monotonic() - start


def psnr(images, clean):
    """Return the peak signal-to-noise ratio of each image in decibels; pixels are from 0 to 1."""
    return -10 * np.log10(np.mean((images - clean) ** 2, axis=(1, 2, 3)))


def scores(images, clean):
    """Return the mean PSNR and the mean structural similarity."""
    similar = [structural_similarity(a, b, channel_axis=-1, data_range=1.0) for a, b in zip(images, clean, strict=True)]
    return {"psnr": float(psnr(images, clean).mean()), "ssim": float(np.mean(similar))}


def total_variation(images, weight):
    """Return images after total-variation denoising."""
    return np.stack([denoise_tv_chambolle(image, weight, channel_axis=-1) for image in images])


def non_local_means(images, strength, sigma):
    """Return images after the non-local means of patches of 5x5 pixels."""
    settings = {"patch_size": 5, "patch_distance": 6, "fast_mode": False, "channel_axis": -1, "sigma": sigma / 255}
    return np.stack([denoise_nl_means(image, h=strength * sigma / 255, **settings) for image in images])


def tuned(method, values, images, sigma):
    """Return the value of a method's parameter with the best PSNR on images with noise."""
    x = noisy(images, sigma, 2)
    return max(values, key=lambda value: psnr(method(x, value), images).mean())


def classical(train_images, x, clean, sigma):
    """Return {name: (images, scores)} of the methods without a network."""
    outputs = {"noisy": x}
    weight = tuned(total_variation, TV_WEIGHTS, train_images, sigma)
    outputs["total variation"] = total_variation(x, weight)
    strength = tuned(lambda y, h: non_local_means(y, h, sigma), NLM_STRENGTHS, train_images, sigma)
    outputs["non-local means"] = non_local_means(x, strength, sigma)
    print(f"sigma {sigma}: best weight of total variation {weight:.3f}, best strength of means {strength:.2f} sigma")
    return {name: (images, scores(images, clean)) for name, images in outputs.items()}


def network_scores(name, data, sigma, seed, folder, batches):
    """Return the denoised images and the scores of a network, trained unless it is in the folder."""
    train_images, x, clean = data
    path = folder / f"{name}-{sigma}-{seed}.keras"
    facts = path.with_suffix(".json")
    if facts.exists():
        model, seconds = pde.models.load_model(path, compile=False), json.loads(facts.read_text())["seconds"]
    else:
        model, seconds = train(name, train_images, sigma, seed, batches)
        model.save(path)
        facts.write_text(json.dumps({"weights": weights_of(model), "seconds": seconds}))
    images = model.predict(x, batch_size=50, verbose=0)
    return images, {**scores(images, clean), "weights": weights_of(model), "seconds": seconds}


def draw(clean, pictures):
    """Return a figure: a column for each of the first images, a row for each method."""
    figure = Figure(figsize=(1.3 * SHOWN + 1.6, 1.3 * (len(pictures) + 1)), dpi=100, layout="constrained")
    rows = {"clean": (clean, None), **pictures}
    for axes, (name, (images, of_method)) in zip(
        figure.subplots(len(rows), SHOWN, squeeze=False), rows.items(), strict=True
    ):
        label = name if of_method is None else f"{name}\n{of_method['psnr']:.2f} dB"
        axes[0].set_ylabel(label, rotation=0, ha="right", va="center")
        for axis, image in zip(axes, images, strict=False):
            axis.imshow(np.clip(image, 0, 1))
            axis.set_xticks([])
            axis.set_yticks([])
    return figure


def main(data, sigmas, seeds, names, folder, batches=BATCHES):
    """Train, evaluate, and write table.md and a picture for each sigma into the folder."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with np.load(data) as file:
        train_images, clean = file["x_train"], file["x_test"][:TEST] / 255
    lines = ["| sigma | method | weights | PSNR in dB | SSIM | training in s |", "|---|---|---|---|---|---|"]
    for sigma in sigmas:
        x = noisy(clean, sigma, 1)
        pictures = classical(train_images[:TUNING] / 255, x, clean, sigma)
        rows = {name: [found] for name, (_, found) in pictures.items()}
        for name in names:
            results = [network_scores(name, (train_images, x, clean), sigma, seed, folder, batches) for seed in seeds]
            label = name if name == "plain" else pde.models.NETWORKS[name].label
            pictures[label], rows[label] = results[0], [found for _, found in results]
        for name, found in rows.items():
            mean = {key: np.mean([row[key] for row in found]) for key in found[0]}
            spread = f" ± {np.std([row['psnr'] for row in found]):.2f}" if len(found) > 1 else ""
            size = f"{mean['weights']:,.0f} | " if "weights" in mean else "- | "
            seconds = f"{mean['seconds']:.0f}" if "seconds" in mean else "-"
            lines.append(f"| {sigma} | {name} | {size}{mean['psnr']:.2f}{spread} | {mean['ssim']:.3f} | {seconds} |")
        draw(clean, pictures).savefig(folder / f"denoising-{sigma}.png")
    text = "\n".join(lines)
    (folder / "table.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="File .npz with x_train and x_test.")
    parser.add_argument("--sigma", type=int, nargs="+", default=[15, 25, 50], help="Standard deviations of the noise.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="Seeds of weights, batches and noise.")
    parser.add_argument("--networks", nargs="+", default=[*NETWORKS, "plain"], choices=[*NETWORKS, "plain"])
    parser.add_argument("--batches", type=int, default=BATCHES, help=f"Batches of {BATCH} images that train a network.")
    parser.add_argument("--folder", default="denoising", help="Folder of networks, table and pictures.")
    given = parser.parse_args()
    main(given.data, given.sigma, given.seeds, given.networks, given.folder, given.batches)
