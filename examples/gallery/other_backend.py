# %% [markdown]
# # Another backend
# The same program runs under TensorFlow, JAX and PyTorch: `KERAS_BACKEND` chooses, before Keras is imported. A file
# written under one backend is read under the others.

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or "torch", "tensorflow"

import keras_pdecnn as pde

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

EPOCHS = 6

keras.utils.set_random_seed(0)
images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32")
print("backend:", keras.backend.backend())

# %%
model = pde.models.HamiltonianCNN((8, 8, 1), classes=10, widths=(16, 32), backprop="reversible")
model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(
    images[:1400], labels[:1400], validation_data=(images[1400:], labels[1400:]), epochs=EPOCHS, verbose=0
)
model.save("digits.keras")
same = np.allclose(
    pde.models.load_model("digits.keras").predict(images[:5], verbose=0), model.predict(images[:5], verbose=0)
)
print(f"{100 * history.history['val_accuracy'][-1]:.1f} % of the other images; the file predicts the same: {same}")

# %%
plt.plot(range(1, EPOCHS + 1), history.history["accuracy"], label="training")
plt.plot(range(1, EPOCHS + 1), history.history["val_accuracy"], label="validation")
plt.xlabel("epoch")
plt.ylabel("accuracy")
plt.title(keras.backend.backend())
plt.legend()
plt.savefig("other_backend.png")
