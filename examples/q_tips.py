"""Write images of cotton swabs with a class for each pixel, which only a look at both ends of a swab tells.

    python examples/q_tips.py [FILE.npz] [--train 1024] [--test 128] [--picture FILE.png]
    python examples/membranes.py --data FILE.npz --folder q_tips

Each image of 64x64 pixels has three swabs of random length and direction on a noisy background. Their sticks are all of
one grey; each of the two ends is white or black. The classes are background, both ends white, both black, and one of
each. The middle of a stick looks the same in all of them, so a network needs features that reach from end to end. This
is the data set of Haber, Lensink, Treister and Ruthotto, "IMEXnet: A forward stable deep neural network" (2019), made
again from its description.
"""

import argparse

import numpy as np
from matplotlib.figure import Figure

SIZE, SWABS = 64, 3
LENGTHS = (20, 36)  # of a stick, in pixels
STICK, TIP = 1.5, 3.0  # half of the width of a stick, and of an end
BACKGROUND, GREY, WHITE, BLACK, NOISE = 90, 150, 230, 20, 12
TRIES = 100
SHADES = {"cmap": "gray", "vmin": 0, "vmax": 255}, {"cmap": "viridis", "vmin": 0, "vmax": 3}


def swab(rng):
    """Return where a swab is, (size, size), with 1 for the stick, 2 and 3 for its ends."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    length, angle = rng.uniform(*LENGTHS), rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    margin = TIP + 1 + abs(direction) * length / 2
    middle = rng.uniform(margin, SIZE - 1 - margin)
    along = (rows - middle[0]) * direction[0] + (columns - middle[1]) * direction[1]
    across = (columns - middle[1]) * direction[0] - (rows - middle[0]) * direction[1]
    parts = np.zeros((SIZE, SIZE), "uint8")
    parts[(abs(along) <= length / 2) & (abs(across) <= STICK)] = 1
    for part, end in ((2, -length / 2), (3, length / 2)):
        parts[(along - end) ** 2 / 2 + across**2 <= TIP**2] = part  # an ellipse along the stick
    return parts


def draw(rng):
    """Return an image, (size, size, 1), and the classes of its pixels."""
    image, classes, placed = np.full((SIZE, SIZE), BACKGROUND, "float64"), np.zeros((SIZE, SIZE), "uint8"), 0
    for _ in range(TRIES):
        parts = swab(rng)
        near = parts.astype(bool)
        near[1:] |= parts[:-1] > 0
        near[:, 1:] |= parts[:, :-1] > 0
        if (classes[near] > 0).any():
            continue  # swabs do not touch
        ends = rng.integers(2, size=2)
        for part, value in ((1, GREY), *zip((2, 3), np.where(ends, BLACK, WHITE), strict=True)):
            image[parts == part] = value
        classes[parts > 0] = {0: 1, 1: 3, 2: 2}[ends.sum()]
        placed += 1
        if placed == SWABS:
            break
    image += rng.normal(scale=NOISE, size=image.shape)
    return np.clip(image, 0, 255).astype("uint8")[..., None], classes


def main(path, train=1024, test=128, picture=None):
    """Write the file, and a picture of the first images if asked for."""
    images, classes = map(np.stack, zip(*map(draw, map(np.random.default_rng, range(train + test))), strict=True))
    np.savez_compressed(
        path, x_train=images[:train], y_train=classes[:train], x_test=images[train:], y_test=classes[train:]
    )
    if picture is not None:
        figure = Figure(figsize=(12, 4.2), layout="constrained")
        for axes, rows, settings in zip(figure.subplots(2, 6), (images[..., 0], classes), SHADES, strict=True):
            for axis, row in zip(axes, rows[:6], strict=True):
                axis.imshow(row, **settings)
                axis.set_axis_off()
        figure.savefig(picture)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", default="q_tips.npz", help="File to write.")
    parser.add_argument("--train", type=int, default=1024, help="Number of images to train on.")
    parser.add_argument("--test", type=int, default=128, help="Number of images to test on.")
    parser.add_argument("--picture", help="Picture of the first images.")
    given = parser.parse_args()
    main(given.file, given.train, given.test, given.picture)
