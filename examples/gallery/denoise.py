# %% [markdown]
# # Remove noise
# A parabolic U-Net learns to remove noise from pieces of a photograph, and is then given another photograph of another
# size.

# %%
import keras_pdecnn as pde

import keras
import matplotlib.pyplot as plt
import numpy as np
from skimage import data

EPOCHS = 12
PIECES = 600
SIGMA = 25 / 255

rng = np.random.default_rng(0)
keras.utils.set_random_seed(0)
photograph = data.astronaut().mean(axis=-1) / 255
corners = rng.integers(0, 512 - 32, (PIECES, 2))
clean = np.stack([photograph[i : i + 32, j : j + 32] for i, j in corners])[..., None].astype("float32")
noisy = clean + rng.normal(scale=SIGMA, size=clean.shape).astype("float32")

# %% [markdown]
# With `restoration=True` the output is the input plus a correction.

# %%
model = pde.models.ParabolicUNet((None, None, 1), widths=(16, 32), steps=3, restoration=True)
rate = keras.optimizers.schedules.CosineDecay(3e-3, EPOCHS * -(-PIECES // 20))
model.compile(keras.optimizers.Adam(rate), "mean_squared_error")
model.fit(noisy, clean, batch_size=20, epochs=EPOCHS, verbose=0)

# %%
truth = data.camera()[100:228, 180:308].astype("float32") / 255
disturbed = truth + rng.normal(scale=SIGMA, size=truth.shape).astype("float32")
restored = model.predict(disturbed[None, ..., None], verbose=0)[0, ..., 0]
figure, panels = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for axes, (name, image) in zip(panels, {"noisy": disturbed, "restored": restored, "clean": truth}.items(), strict=True):
    error = np.mean((image - truth) ** 2)
    decibels = f", {-10 * np.log10(error):.1f} dB" if error else ""
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    axes.set_title(name + decibels)
    axes.axis("off")
    print(name + decibels)
figure.savefig("denoise.png")
