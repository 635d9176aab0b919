# %% [markdown]
# # Classify video
# Handwritten digits move to one of four sides. The class is the motion, so that no single frame tells it.

# %%
import keras_pdecnn as pde

import keras
import matplotlib.pyplot as plt
import numpy as np

EPOCHS = 6
VIDEOS = 400

dataset = pde.data.load("moving_digits", batch_size=20)
(x, labels), (x_test, labels_test) = (
    [np.concatenate(parts) for parts in zip(*part.as_numpy_iterator(), strict=True)]
    for part in (dataset.train, dataset.test)
)

# %% [markdown]
# The same network for three space axes (time, rows, columns), and with frames that all show the first one.

# %%
for name, shown in (("video", slice(None)), ("single frame", np.zeros(16, int))):
    keras.utils.set_random_seed(0)
    model = pde.models.HamiltonianCNN(dataset.info.input_shape, classes=4, widths=(8, 16), steps=2, opening_width=8)
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:VIDEOS, shown], labels[:VIDEOS], batch_size=20, epochs=EPOCHS, verbose=0)
    accuracy = model.evaluate(x_test[:, shown], labels_test, verbose=0, return_dict=True)["accuracy"]
    print(f"{name}: {100 * accuracy:.1f} % of {len(x_test)} new videos")

# %%
figure, panels = plt.subplots(4, 8, figsize=(8, 4.2), layout="constrained")
for line, (label, way) in zip(panels, enumerate(dataset.info.class_names), strict=True):
    for axes, frame in zip(line, x[np.flatnonzero(labels == label)[0], ::2, ..., 0], strict=True):
        axes.imshow(frame, cmap="gray")
        axes.set_xticks([])
        axes.set_yticks([])
    line[0].set_ylabel(way)
figure.savefig("video.png")
