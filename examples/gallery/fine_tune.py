# %% [markdown]
# # Start from trained weights
# A network that was trained on photographs (CIFAR-10) learns digits from 100 images, better than a new one does.

# %%
import keras_pdecnn as pde

import keras
import matplotlib.pyplot as plt
import numpy as np

EPOCHS = 12
IMAGES = 100
TEST = 360

# %% [markdown]
# The trained weights know colour images of 32x32 pixels.

# %%
digits = pde.data.load("digits", batch_size=256, validation=0)


def coloured(x):
    """Return grey images of 0 to 16 as colour images of 32x32 pixels."""
    x = np.repeat(255 / 16 * x.astype("float32"), 3, axis=-1)
    return keras.ops.convert_to_numpy(keras.ops.image.resize(x, (32, 32)))


x, y = (np.concatenate(parts)[:IMAGES] for parts in zip(*digits.epochs().take(digits.steps_per_epoch), strict=True))
x_test, y_test = (np.concatenate(parts)[:TEST] for parts in zip(*digits.test, strict=True))
x, x_test = coloured(x), coloured(x_test)

# %%
for name, weights in (("from CIFAR-10", "cifar10"), ("from scratch", None)):
    keras.utils.set_random_seed(0)
    features = pde.models.HamiltonianCNN(
        (32, 32, 3), widths=(32, 64, 112), include_top=False, pooling="avg", weights=weights
    )
    model = keras.Sequential([features, keras.layers.Dense(10, activation="softmax")])
    rate = keras.optimizers.schedules.CosineDecay(0.02, EPOCHS * -(-IMAGES // 20))
    optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, batch_size=20, epochs=EPOCHS, validation_data=(x_test, y_test), verbose=0)
    accuracy = history.history["val_accuracy"]
    print(f"{name}: {100 * accuracy[-1]:.1f} % of the test images")
    plt.plot(range(1, EPOCHS + 1), accuracy, label=name)

# %%
plt.xlabel("epoch")
plt.ylabel("test accuracy")
plt.legend()
plt.savefig("fine_tune.png")
