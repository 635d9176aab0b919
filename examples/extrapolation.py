"""Train the four U-Nets and a plain one to continue images whose right half is missing, and compare them.

    python examples/extrapolation.py [--data FILE.npz] [--seeds 0] [--batches 1500] [--folder FOLDER]

FILE.npz has images 0 … 255 as `x_train` and `x_test`, with a height and a width of at least 16 that 8 divides; without
it, the images are patches of photographs. A network gets the image with the mean of the left half in the right one, and
a channel that is 1 where the image is missing; it predicts the correction there. All have equal numbers of weights (to
2 %), see the same images, and have four grids, so that they see across the missing half. A plain network on one grid
would have to be too deep for that. The scores are those of the missing half. Beside the networks are simple methods and
the biharmonic equation of scikit-image (`pip install scikit-image`). What is trained stays in the folder; the same
command again trains only what is missing. The table is printed and written to the folder, with a picture.
"""

import functools
import pathlib

from images_compared import HEAD, Batches, compare, draw, read, rows, scores
from networks_compared import options, plain_unet, trained, unet, write_table

import keras
import numpy as np
from skimage.restoration import inpaint_biharmonic

WIDTHS = (8, 16, 32, 64)
PLAIN_WIDTHS = (8, 16, 33, 66)
BATCHES, BATCH, RATE = 1500, 32, 1e-2
TEST, SHOWN = 500, 6


def build(name, channels):
    """Return the network of this name, whose output is the image with a correction where it is missing."""
    inputs = keras.Input((None, None, channels + 1))
    if name == "plain":
        y = keras.layers.Conv2D(channels, 1)(plain_unet(inputs, PLAIN_WIDTHS))
    else:
        shape = (None, None, channels + 1)
        y = unet(name, shape, channels, widths=WIDTHS, include_preprocessing=False)(inputs)
    y = keras.layers.Multiply()([y, inputs[..., -1:]])
    return keras.Model(inputs, keras.layers.Add()([inputs[..., :-1], y]), name=name)


def split(images):
    """Return the left and the right halves of images."""
    return np.split(images, [images.shape[2] // 2], axis=2)


def halved(images, seed=None):
    """Return images with the mean of the left half in the right one, and with a channel that is 1 there."""
    left, right = split(images)
    known = np.pad(left, [(0, 0), (0, 0), (0, 0), (0, 1)])
    missing = np.ones((*right.shape[:3], images.shape[3] + 1))
    missing[..., :-1] = left.mean(axis=(1, 2), keepdims=True)
    return np.concatenate([known, missing], axis=2).astype("float32")


def classical(x):
    """Return the outputs for x of the methods without a network."""
    images, mask = x[..., :-1], x[0, ..., -1] == 1
    left, right = split(images)
    width = [(0, 0), (0, 0), (0, right.shape[2]), (0, 0)]
    return {
        "mean of the left half": images,
        "last column": np.pad(left, width, "edge"),
        "mirrored": np.pad(left, width, "symmetric"),
        "biharmonic": np.stack([inpaint_biharmonic(image, mask, channel_axis=-1) for image in images]),
    }


def score(images, clean):
    """Return the scores of the right half."""
    return scores(split(images)[1], split(clean)[1])


def network(name, images, data, seed, folder, batches, rate):
    """Return the trained network of the folder, trained unless it is there, and the seconds that this took."""
    drawn = Batches(images, halved, seed, batches, BATCH)
    built = functools.partial(build, name, images.shape[-1])
    return trained(folder / f"{name}-{seed}.keras", built, drawn, "mean_squared_error", seed, rate, data=data)


def main(data, seeds, names, folder, batches=BATCHES, rate=RATE):
    """Train, evaluate, and write table.md and extrapolation.png into the folder."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data, images, clean = read(data, TEST)
    height, width = clean.shape[1:3]
    factor = 2 ** (len(PLAIN_WIDTHS) - 1)
    if height % factor or width % factor or min(height, width) < 16:  # the similarity looks at 7x7 pixels
        raise SystemExit(f"Sizes must be at least 16 and multiples of {factor}. Received: {height}x{width}")
    x = halved(clean)
    networks = {name: [network(name, images, data, seed, folder, batches, rate) for seed in seeds] for name in names}
    results = compare(classical(x), networks, x, clean, score)
    draw(clean, results, SHOWN).savefig(folder / "extrapolation.png")
    write_table(folder, HEAD, rows(results))


if __name__ == "__main__":
    parser = options(__doc__, BATCHES, "extrapolation", RATE)
    parser.add_argument("--data", help="File .npz with x_train and x_test; by default photographs.")
    given = parser.parse_args()
    main(given.data, given.seeds, given.networks, given.folder, given.batches, given.rate)
