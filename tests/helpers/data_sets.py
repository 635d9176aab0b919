"""Small data sets, and what is in the batches of a dataset."""

import numpy as np
from PIL import Image

from keras_pdecnn import data

PAPER = data.Augmentation(flip=True, pad=1 / 16)


def arrays(dataset):
    """All batches of a finite dataset, joined."""
    batches = [(x.numpy(), y.numpy()) for x, y in dataset]
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])


def batches(dataset, count):
    return [(x.numpy(), y.numpy()) for x, y in dataset.take(count)]


def assert_equal_batches(first, second):
    assert len(first) == len(second)
    for (x1, y1), (x2, y2) in zip(first, second, strict=True):
        np.testing.assert_array_equal(x1, x2)
        np.testing.assert_array_equal(y1, y2)


def numbered(examples, space=(4,), channels=1, classes=4, dtype=np.int32):
    """Examples that carry their own number, so that batches show which examples they hold."""
    x = np.broadcast_to(np.arange(examples).reshape(-1, *[1] * (len(space) + 1)), (examples, *space, channels))
    return x.astype(dtype), np.arange(examples) % classes


def ids(x):
    return x.reshape(len(x), -1)[:, 0]


def archive(folder, name="set.npz", compressed=False, **changes):
    x, y = numbered(120)
    parts = {"x_train": x[:80], "y_train": y[:80], "x_test": x[80:], "y_test": y[80:]} | changes
    path = str(folder / name)
    (np.savez_compressed if compressed else np.savez)(path, **{k: v for k, v in parts.items() if v is not None})
    return path


def picture(path, size=(6, 5), mode="RGB", value=0):
    """Writes an image of `size` (width, height) filled with one value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (value,) * 3 if mode == "RGB" else value).save(path)
    return str(path)
