"""Train the four U-Nets and a plain convolutional network to remove noise from images, and compare them.

    python examples/denoising_networks.py [--data FILE.npz] [--sigma 25] [--seeds 0] [--batches 1500] [--folder FOLDER]

FILE.npz has images 0 … 255 as `x_train` and `x_test`; without it, the images are patches of photographs. The networks
have equal numbers of weights (to 2 %) and see the same images with the same noise, of the standard deviation sigma. All
predict the correction: output = input + network. The learning rate of the plain one is at most 0.002. Beside them are
total-variation denoising and non-local means of scikit-image (`pip install scikit-image`), whose strength is the one
with the best PSNR on training images. What is trained stays in the folder; the same command again trains only what is
missing. The table is printed and written to the folder, with a picture for each sigma.
"""

import functools
import pathlib

from images_compared import HEAD, Batches, compare, draw, psnr, read, rows
from networks_compared import options, trained, unet, write_table

import keras
import numpy as np
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

WIDTHS = (16, 32, 64)
PLAIN_DEPTH, PLAIN_WIDTH = 7, 52
BATCHES, BATCH, RATE = 1500, 32, 1e-2
HIGHEST = {"plain": 2e-3}  # rate; with 5e-3 the plain network learns nothing
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


def build(name, channels):
    """Return the network of this name for images of any size."""
    if name == "plain":
        return plain((None, None, channels))
    return unet(name, (None, None, channels), widths=WIDTHS, restoration=True)


def noisy(images, seed, sigma):
    """Return images with noise that depends on the seed alone."""
    noise = np.random.default_rng(seed).normal(size=images.shape)
    return (images + sigma / 255 * noise).astype("float32")


def total_variation(images, weight):
    """Return images after total-variation denoising."""
    return np.stack([denoise_tv_chambolle(image, weight, channel_axis=-1) for image in images])


def non_local_means(images, strength, sigma):
    """Return images after the non-local means of patches of 5x5 pixels."""
    settings = {"patch_size": 5, "patch_distance": 6, "fast_mode": False, "channel_axis": -1, "sigma": sigma / 255}
    return np.stack([denoise_nl_means(image, h=strength * sigma / 255, **settings) for image in images])


def tuned(method, values, images, sigma):
    """Return the value of a method's parameter with the best PSNR on images with noise."""
    x = noisy(images, 2, sigma)
    return max(values, key=lambda value: psnr(method(x, value), images).mean())


def classical(images, x, sigma):
    """Return the outputs for x of the methods without a network, which images for training tune."""
    means = functools.partial(non_local_means, sigma=sigma)
    weight = tuned(total_variation, TV_WEIGHTS, images, sigma)
    strength = tuned(means, NLM_STRENGTHS, images, sigma)
    print(f"sigma {sigma}: best weight of total variation {weight:.3f}, best strength of means {strength:.2f} sigma")
    return {"noisy": x, "total variation": total_variation(x, weight), "non-local means": means(x, strength)}


def network(name, images, data, sigma, seed, folder, batches, rate):
    """Return the trained network of the folder, trained unless it is there, and the seconds that this took."""
    drawn = Batches(images, functools.partial(noisy, sigma=sigma), seed, batches, BATCH)
    built = functools.partial(build, name, images.shape[-1])
    path, rate = folder / f"{name}-{sigma}-{seed}.keras", min(rate, HIGHEST.get(name, rate))
    return trained(path, built, drawn, "mean_squared_error", seed, rate, data=data)


def main(data, sigmas, seeds, names, folder, batches=BATCHES, rate=RATE):
    """Train, evaluate, and write table.md and a picture for each sigma into the folder."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data, images, clean = read(data, TEST)
    table = []
    for sigma in sigmas:
        x = noisy(clean, 1, sigma)
        outputs = classical(images[:TUNING] / 255, x, sigma)
        networks = {
            name: [network(name, images, data, sigma, seed, folder, batches, rate) for seed in seeds] for name in names
        }
        results = compare(outputs, networks, x, clean)
        table += [[str(sigma), *cells] for cells in rows(results)]
        draw(clean, results, SHOWN).savefig(folder / f"denoising-{sigma}.png")
    write_table(folder, ["sigma", *HEAD], table)


if __name__ == "__main__":
    parser = options(__doc__, BATCHES, "denoising", RATE)
    parser.add_argument("--data", help="File .npz with x_train and x_test; by default photographs.")
    parser.add_argument("--sigma", type=int, nargs="+", default=[15, 25, 50], help="Standard deviations of the noise.")
    given = parser.parse_args()
    main(given.data, given.sigma, given.seeds, given.networks, given.folder, given.batches, given.rate)
