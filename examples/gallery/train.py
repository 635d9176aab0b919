# %% [markdown]
# # Train a network
# Four equations, one task: each network learns to read handwritten digits, which need no download.

# %%
import keras_pdecnn as pde

import keras
import matplotlib.pyplot as plt

EPOCHS = 8
WIDTHS = (16, 32)

keras.utils.set_random_seed(0)
digits = pde.data.load("digits", batch_size=32)

# %%
for name, build in pde.models.ARCHITECTURES.items():
    model = build(digits.info.input_shape, classes=digits.info.classes, widths=WIDTHS, steps=3)
    rate = keras.optimizers.schedules.CosineDecay(0.05, EPOCHS * digits.steps_per_epoch)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(digits.train, validation_data=digits.validation, epochs=EPOCHS, shuffle=False, verbose=0)
    accuracy = model.evaluate(digits.test, verbose=0, return_dict=True)["accuracy"]
    print(f"{name}: {model.count_params():,} weights, {100 * accuracy:.1f} % of the test images")
    plt.plot(range(1, EPOCHS + 1), history.history["val_accuracy"], label=name)

# %%
plt.xlabel("epoch")
plt.ylabel("validation accuracy")
plt.legend()
plt.savefig("train.png")
