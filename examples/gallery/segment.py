# %% [markdown]
# # A class for every pixel
# A Hamiltonian U-Net finds a disc and a square in a noisy background of the same brightness. Only the direction of
# their stripes tells them from it and from each other.

# %%
import keras_pdecnn as pde

import keras
import matplotlib.pyplot as plt
import numpy as np

EPOCHS = 8
IMAGES = 300
SIZE = 32

rng = np.random.default_rng(0)
keras.utils.set_random_seed(0)
rows, columns = np.mgrid[:SIZE, :SIZE]


def scene():
    """Return an image with a striped disc and a striped square on coarse noise, and the class of each pixel."""
    classes = np.zeros((SIZE, SIZE), int)
    for number in (1, 2):
        radius, (i, j) = rng.uniform(4, 7), rng.uniform(7, SIZE - 7, 2)
        down, right = abs(rows - i), abs(columns - j)
        inside = np.hypot(down, right) < radius if number == 1 else np.maximum(down, right) < radius
        classes[inside] = number
    coarse = np.kron(rng.normal(size=(SIZE // 4, SIZE // 4)), np.ones((4, 4)))
    stripes = np.choose(classes, [coarse, (-1.0) ** rows, (-1.0) ** columns])
    return stripes + rng.normal(scale=0.5, size=classes.shape), classes


images, classes = (np.stack(parts) for parts in zip(*(scene() for _ in range(IMAGES + 50)), strict=True))
images = images[..., None].astype("float32")

# %%
model = pde.models.HamiltonianUNet((None, None, 1), outputs=3, widths=(16, 32, 32), output_activation="softmax")
overlap = keras.metrics.MeanIoU(3, sparse_y_pred=False, name="overlap")
model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=[overlap])
model.fit(images[:IMAGES], classes[:IMAGES], batch_size=20, epochs=EPOCHS, verbose=0)
score = model.evaluate(images[IMAGES:], classes[IMAGES:], verbose=0, return_dict=True)["overlap"]
print(f"mean intersection over union of 50 new images: {score:.3f}")

# %%
predicted = model.predict(images[IMAGES:], verbose=0).argmax(axis=-1)
figure, panels = plt.subplots(2, 3, figsize=(7, 4.8), layout="constrained")
for line, index in zip(panels, (IMAGES, IMAGES + 1), strict=True):
    shown = {"image": images[index, ..., 0], "truth": classes[index], "predicted": predicted[index - IMAGES]}
    for axes, (name, image) in zip(line, shown.items(), strict=True):
        axes.imshow(image, cmap="gray" if name == "image" else "viridis")
        axes.set_title(name)
        axes.axis("off")
figure.savefig("segment.png")
