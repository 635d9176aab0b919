# %% [markdown]
# # Classify video
# Handwritten digits move to one of four sides. The class is the motion, so that no single frame tells it.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import keras_pdecnn as pde

EPOCHS = 10
VIDEOS = 400
FRAMES = 16
SIZE = 16
WAYS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}

rng = np.random.default_rng(0)
keras.utils.set_random_seed(0)
digits = load_digits().images.astype("float32") / 16


def move(digit, way):
    """Return frames of a digit that moves a pixel per frame, and enters again on the other side."""
    frame = np.zeros((SIZE, SIZE), "float32")
    frame[:8, :8] = digit
    start = rng.integers(0, SIZE, 2)
    return np.stack([np.roll(frame, start + t * np.array(way), axis=(0, 1)) for t in range(FRAMES)])


labels = rng.integers(0, 4, VIDEOS + 100)
videos = np.stack([move(digits[i], list(WAYS.values())[label]) for i, label in enumerate(labels)])[..., None]

# %% [markdown]
# The same network for three space axes (time, rows, columns), and with frames that all show the first one.

# %%
still = np.repeat(videos[:, :1], FRAMES, axis=1)
for name, x in (("video", videos), ("single frame", still)):
    keras.utils.set_random_seed(0)
    model = pde.models.HamiltonianCNN((FRAMES, SIZE, SIZE, 1), classes=4, widths=(8, 16), steps=2)
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:VIDEOS], labels[:VIDEOS], batch_size=20, epochs=EPOCHS, verbose=0)
    accuracy = model.evaluate(x[VIDEOS:], labels[VIDEOS:], verbose=0, return_dict=True)["accuracy"]
    print(f"{name}: {100 * accuracy:.1f} % of 100 new videos")

# %%
figure, panels = plt.subplots(4, 8, figsize=(8, 4.2), layout="constrained")
for line, (label, way) in zip(panels, enumerate(WAYS), strict=True):
    for axes, frame in zip(line, videos[np.flatnonzero(labels == label)[0], ::2, ..., 0], strict=True):
        axes.imshow(frame, cmap="gray")
        axes.set_xticks([])
        axes.set_yticks([])
    line[0].set_ylabel(way)
figure.savefig("video.png")
