# %% [markdown]
# # Predictions that cannot change
# `provable=True` builds a network with a known Lipschitz constant. For each image it says how large a disturbance must
# be, in the l2 norm, before the predicted class can change.

# %%
import keras_pdecnn as pde

import keras
import matplotlib.pyplot as plt
import numpy as np

EPOCHS = 12
TEST = 200

keras.utils.set_random_seed(0)
digits = pde.data.load("digits", batch_size=32)
model = pde.models.ParabolicCNN(
    digits.info.input_shape, classes=digits.info.classes, widths=(10, 22), head_width=22, steps=2, provable=True
)
rate = keras.optimizers.schedules.CosineDecay(0.005, EPOCHS * digits.steps_per_epoch)
model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(digits.train, epochs=EPOCHS, shuffle=False, verbose=0)

# %%
x, y = (np.concatenate(parts)[:TEST] for parts in zip(*digits.test, strict=True))
right = model.predict(x, verbose=0).argmax(axis=-1) == y
radius = pde.stability.certified_radius(model, x)
print(
    f"{100 * right.mean():.1f} % are right; of a disturbance of length 2, {100 * np.mean(right & (radius > 2)):.1f} %"
)

# %% [markdown]
# No attack may do better than the certificate says.

# %%
distances = np.arange(0, 9, 2)
certified = [np.mean(right & (radius > d)) for d in distances]
attacked = [right.mean()]
for distance in distances[1:]:
    worst = pde.stability.attack(model, x, y, float(distance), norm="l2", steps=20, bounds=(0, 16))
    withstood = right & (model.predict(worst, verbose=0).argmax(axis=-1) == y)
    assert not np.any(right & (radius > distance) & ~withstood)
    attacked.append(withstood.mean())
plt.plot(distances, attacked, "o-", label="right under attack")
plt.plot(distances, certified, "s--", label="certified")
plt.xlabel("length of the disturbance (pixels are from 0 to 16)")
plt.ylabel("share of the test images")
plt.legend()
plt.savefig("certify.png")
