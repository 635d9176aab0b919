"""What the programs that compare networks on images share: photographs, batches, scores, rows and the picture."""

import pathlib

from networks_compared import label, mean_of, weights_of

import keras
import numpy as np
from matplotlib.figure import Figure
from skimage import data
from skimage.metrics import structural_similarity
from sklearn.datasets import load_sample_image

HEAD = ["method", "weights", "PSNR in dB", "SSIM", "training in s"]
PATCH, STRIDE = 64, 16  # the size of the patches of photographs, and the distance of those for training


def patches(photographs, stride):
    """Return the square patches of photographs at all multiples of the stride, in random order."""
    windows = [np.lib.stride_tricks.sliding_window_view(photo, (PATCH, PATCH), (0, 1)) for photo in photographs]
    windows = [photo[::stride, ::stride].reshape(-1, photo.shape[2], PATCH, PATCH) for photo in windows]
    return np.random.default_rng(0).permutation(np.moveaxis(np.concatenate(windows), 1, -1))


def photographs():
    """Return patches for training and for testing, of other photographs; scikit-learn and scikit-image bring them."""
    left, _, _ = data.stereo_motorcycle()
    training = [load_sample_image("china.jpg"), load_sample_image("flower.jpg"), data.rocket(), left]
    return patches(training, STRIDE), patches([data.astronaut(), data.coffee(), data.chelsea()], PATCH)


def read(path, test):
    """Return the name of images, those for training, 0 … 255, and so many for testing, 0 … 1; or photographs."""
    if path is None:
        name, (x_train, x_test) = "photographs", photographs()
    else:
        try:
            with np.load(path) as file:
                name, x_train, x_test = pathlib.Path(path).name, file["x_train"], file["x_test"]
        except (OSError, KeyError, ValueError):
            raise SystemExit(f"The data must be a file .npz with x_train and x_test. Received: {path}") from None
    if x_train.ndim != 4:
        raise SystemExit(f"The images must have the shape (n, height, width, channels). Received: {x_train.shape}")
    return name, x_train, x_test[:test] / 255


class Batches(keras.utils.PyDataset):
    """Batches of images drawn at random, mirrored at random and degraded: (degraded, clean).

    `degrade` is called with clean images, 0 … 1, and the seed of what is random in it.
    """

    def __init__(self, images, degrade, seed, batches, size):
        super().__init__()
        self.images, self.degrade, self.seed, self.batches, self.size = images, degrade, seed, batches, size

    def __len__(self):
        return self.batches

    def __getitem__(self, index):
        rng = np.random.default_rng([self.seed, index])
        clean = self.images[rng.integers(len(self.images), size=self.size)].astype("float32") / 255
        mirrored = rng.random(self.size) < 0.5
        clean[mirrored] = clean[mirrored, :, ::-1]
        return self.degrade(clean, [self.seed, index, 1]), clean


def psnr(images, clean):
    """Return the peak signal-to-noise ratio of each image in decibels; pixels are from 0 to 1."""
    return -10 * np.log10(np.mean((images - clean) ** 2, axis=(1, 2, 3)))


def scores(images, clean):
    """Return the mean PSNR and the mean structural similarity."""
    similar = [structural_similarity(a, b, channel_axis=-1, data_range=1.0) for a, b in zip(images, clean, strict=True)]
    return {"psnr": float(psnr(images, clean).mean()), "ssim": float(np.mean(similar))}


def compare(outputs, networks, x, clean, score=scores):
    """Return {name: [(images, scores), …]} of methods and networks, with one pair for each seed of a network.

    `outputs` has the images of each method, and `networks` for each name of a network what `trained` returns for each
    seed. The networks get `x`, and `score` is a function like `scores`.
    """
    results = {name: [(images, score(images, clean))] for name, images in outputs.items()}
    for name, pairs in networks.items():
        results[label(name)] = []
        for model, seconds in pairs:
            images = model.predict(x, batch_size=50, verbose=0)
            facts = {"weights": weights_of(model), "seconds": seconds}
            results[label(name)].append((images, {**score(images, clean), **facts}))
    return results


def rows(results):
    """Return the cells of a table with the columns HEAD, from what `compare` returns."""
    cells = []
    for name, pairs in results.items():
        values = {key: [found[key] for _, found in pairs] for key in pairs[0][1]}
        weights = f"{values['weights'][0]:,}" if "weights" in values else "-"
        seconds = mean_of([np.mean(values["seconds"])], 0) if "seconds" in values else "-"
        similarity = f"{np.mean(values['ssim']):.3f}"
        cells.append([name, weights, mean_of(values["psnr"], 2), similarity, seconds])
    return cells


def draw(clean, results, shown):
    """Return a figure: a column for each of so many images, a row for each method, from what `compare` returns."""
    pictures = {"clean": clean}
    for name, [(images, found), *_] in results.items():
        pictures[f"{name}\n{found['psnr']:.2f} dB"] = images
    figure = Figure(figsize=(1.3 * shown + 1.6, 1.3 * len(pictures)), dpi=100, layout="constrained")
    grid = figure.subplots(len(pictures), shown, squeeze=False)
    for axes, (text, images) in zip(grid, pictures.items(), strict=True):
        axes[0].set_ylabel(text, rotation=0, ha="right", va="center")
        for axis, image in zip(axes, images, strict=False):
            axis.imshow(np.clip(image, 0, 1), cmap="gray", vmin=0, vmax=1)
            axis.set_xticks([])
            axis.set_yticks([])
    return figure
