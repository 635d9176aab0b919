"""Write parts of a brain, imaged by magnetic resonance, with the classes grey matter, white matter and other.

    pip install '.[brain]'
    python examples/brain.py [FILE.npz] [--picture FILE.png]
    python examples/membranes.py --data FILE.npz --widths 8 16 30 --batches 100 --folder brain

The brain is the template MNI ICBM 152, the mean of 152 people, which the package nilearn contains: voxels of 1 mm, and
the shares of grey and white matter in each of them. The class of a voxel, 1 for grey and 2 for white, is what most of
it is. The template is symmetric, so that its halves must not be split: a network would be tested on mirror images of
what it knows. Instead the brain is cut from back to front: the back, the middle and the front are for training, and two
slabs between them for the test, some millimetres away from what is trained on. So the scores tell how well a network
continues a segmentation in the same brain, a blurred mean, and nothing of other people and scanners. What two
thresholds of the pixel values reach, chosen on the volumes for training, is printed.
"""

import argparse
import itertools

from keras_pdecnn.tasks.segmentation import intersection_over_union

import numpy as np
from matplotlib.figure import Figure

TEST, GAP = 24, 6  # thickness of the slabs to test on, and of what is left out on each side of them, in voxels
MULTIPLE = 8  # of which the height and the width are, so that they can be halved
SHADES = {"cmap": "gray", "vmin": 0, "vmax": 255}, {"cmap": "viridis", "vmin": 0, "vmax": 2}


def template():
    """Return the image and the shares of grey and white matter, from left to right, from back to front and up."""
    try:
        from nilearn import datasets
    except ImportError as error:
        raise SystemExit(
            f"examples/brain.py needs the package nilearn, which has the brain: pip install nilearn. Received: {error}"
        ) from error
    parts = datasets.load_mni152_template, datasets.load_mni152_gm_template, datasets.load_mni152_wm_template
    return tuple(part(resolution=1).get_fdata(dtype="float32") for part in parts)


def prepare(image, grey, white):
    """Return the pixels 0 … 255 and the classes: arrays from back to front, top to bottom and left to right."""
    classes = np.argmax([1 - grey - white, grey, white], axis=0)
    box = tuple(slice(places.min(), places.max() + 1) for places in np.nonzero(classes))
    both = (part[box].transpose(1, 2, 0)[:, ::-1] for part in (np.round(255 * image / image.max()), classes))
    return [np.pad(part, [(0, 0), *((0, -n % MULTIPLE) for n in part.shape[1:])]).astype("uint8") for part in both]


def cut(length):
    """Return the positions, from back to front, in the three parts to train on and the two to test on."""
    size = (length - 2 * TEST - 4 * GAP) // 3
    period = size + GAP + TEST + GAP
    train = [range(first, first + size) for first in (0, period, 2 * period)]
    return np.array(train), np.array([range(part[-1] + 1 + GAP, part[-1] + 1 + GAP + TEST) for part in train[:2]])


def histogram(x, y):
    """Return how many voxels of each class have each pixel value, (3, 256)."""
    return np.bincount(256 * y.ravel().astype(int) + x.ravel(), minlength=3 * 256).reshape(3, 256)


def overlap(counts, low, high):
    """Return the mean intersection over union of the classes that two thresholds of the pixel values give."""
    parts = [part.sum(axis=1) for part in np.split(counts, [low, high], axis=1)]
    return intersection_over_union(np.stack(parts, axis=1)).mean()


def draw(parts):
    """Return a figure of the middle of each part, its pixels above its classes; parts has titles and both volumes."""
    figure = Figure(figsize=(2.6 * len(parts), 5), layout="constrained")
    for column, (title, *both) in zip(figure.subplots(2, len(parts)).T, parts, strict=True):
        column[0].set_title(title)
        for axis, volume, settings in zip(column, both, SHADES, strict=True):
            axis.imshow(volume[len(volume) // 2], **settings)
            axis.set_axis_off()
    return figure


def main(path, picture=None):
    """Write the file, and a picture if asked for."""
    pixels, classes = prepare(*template())
    train, test = cut(len(pixels))
    arrays = {"x_train": pixels[train, ..., None], "y_train": classes[train]}
    arrays |= {"x_test": pixels[test, ..., None], "y_test": classes[test]}
    np.savez_compressed(path, **arrays)
    for name, part in (("training", arrays["y_train"]), ("test", arrays["y_test"])):
        shares = ", ".join(f"{share:.3f}" for share in np.bincount(part.ravel(), minlength=3) / part.size)
        print(f"{name}: {len(part)} volumes of {'x'.join(map(str, part.shape[1:]))}, shares of the classes {shares}")
    train_counts, test_counts = (histogram(arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in ("train", "test"))
    best = max(itertools.combinations(range(1, 256), 2), key=lambda pair: overlap(train_counts, *pair))
    print(f"thresholds {best[0]} and {best[1]}: mean IoU {overlap(test_counts, *best):.3f} on the test volumes")
    if picture is not None:
        titles = [*(("training", part) for part in train), *(("test", part) for part in test)]
        titles.sort(key=lambda title: title[1][0])
        draw([(title, pixels[part], classes[part]) for title, part in titles]).savefig(picture)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", default="brain.npz", help="File to write.")
    parser.add_argument("--picture", help="Picture of the middle of each part.")
    given = parser.parse_args()
    main(given.file, given.picture)
