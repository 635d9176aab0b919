"""Handwritten digits that move: a data set of video whose classes are the ways of moving."""

import numpy as np

from keras_pdecnn.data.sources.digits import divide
from keras_pdecnn.data.sources.raw import Raw

FRAMES, SIZE = 16, 16
WAYS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
_SPEEDS = 0.5, 1.5  # pixels per frame
_STATE = 20190918  # of the ways, the speeds and the first places; no argument changes it


def read(in_memory: bool | None = None) -> Raw:
    """Return a video of each of scikit-learn's digits, shape (16, 16, 16, 1), values 0..16; 360 are the test part.

    Every digit moves in one video only, so that no digit of the test part occurs in training.

    Args:
        in_memory: False for taking rows from the arrays as from larger ones; default None, they are held by TensorFlow.
    """
    from sklearn.datasets import load_digits

    digits = load_digits().images.astype(np.uint8)
    random = np.random.RandomState(_STATE)  # its stream is frozen, unlike that of a Generator
    y = random.permutation(np.arange(len(digits)) % len(WAYS))
    x = move(digits, y, random)[..., np.newaxis]
    return divide("moving_digits", x, y, in_memory, class_names=tuple(WAYS))


def move(digits: np.ndarray, ways: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Return videos of digits that move straight on, and enter again on the other side.

    The first place is any pixel, with the same probability, and so is the place in each other frame: a frame has the
    same distribution for all ways. The speed is drawn between half a pixel and one and a half per frame.

    Args:
        digits: Images of shape (n, height, width), which are not larger than a frame.
        ways: Numbers of the ways in `WAYS`, shape (n,).
        random: Random numbers of the first places and of the speeds.

    Returns:
        Array of shape (n, `FRAMES`, `SIZE`, `SIZE`), of the type of the digits.
    """
    count, height, width = digits.shape
    canvas = np.zeros((count, SIZE, SIZE), digits.dtype)
    canvas[:, :height, :width] = digits
    start = random.randint(SIZE, size=(count, 1, 2))
    speed = random.uniform(*_SPEEDS, size=(count, 1, 1))
    way = np.array(list(WAYS.values()))[ways][:, np.newaxis]
    place = start + np.floor(speed * np.arange(FRAMES)[:, np.newaxis]).astype(int) * way
    rows, columns = np.moveaxis((np.arange(SIZE) - place[..., np.newaxis]) % SIZE, 2, 0)
    return canvas[np.arange(count)[:, None, None, None], rows[..., np.newaxis], columns[..., np.newaxis, :]]
