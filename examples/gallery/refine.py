# %% [markdown]
# # More steps for a trained network
# A network is trained with two steps per block, which is fast. `with_steps` then gives it four and eight, over the same
# time: the weights are interpolated. The loss rises at first, less from step to step, and then falls further.

# %%
import keras_pdecnn as pde

import keras
import matplotlib.pyplot as plt

EPOCHS = (6, 3, 3)
STEPS = (2, 4, 8)

keras.utils.set_random_seed(0)
digits = pde.data.load("digits", batch_size=32)
model = pde.models.HamiltonianCNN(digits.info.input_shape, classes=10, widths=(16, 32), steps=STEPS[0])
model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])

# %%
done = 0
for steps, epochs in zip(STEPS, EPOCHS, strict=True):
    if done:
        before = model.evaluate(digits.validation, verbose=0, return_dict=True)["loss"]
        model = model.with_steps(steps, optimizer_state=True)
        after = model.evaluate(digits.validation, verbose=0, return_dict=True)["loss"]
        print(f"{steps} steps: the loss was {before:.4f} and is {after:.4f}")
    history = model.fit(digits.train, validation_data=digits.validation, epochs=epochs, shuffle=False, verbose=0)
    plt.plot(range(done + 1, done + epochs + 1), history.history["val_loss"], "o-", label=f"{steps} steps")
    done += epochs
accuracy = model.evaluate(digits.test, verbose=0, return_dict=True)["accuracy"]
print(f"{100 * accuracy:.1f} % of the test images")

# %%
plt.xlabel("epoch")
plt.ylabel("validation loss")
plt.legend()
plt.savefig("refine.png")
