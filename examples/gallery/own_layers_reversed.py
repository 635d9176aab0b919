# %% [markdown]
# # Your own layers, run backwards
# `Reversible` couples any two layers that keep the shape, here convolutions with dropout and batch normalisation. A
# `ReversibleSequence` of couplings gives its input back, and needs the memory of one state for its gradient.

# %%
import keras_pdecnn as pde

import keras
import matplotlib.pyplot as plt

DEPTHS = (2, 8, 32)
SMALL = keras.initializers.VarianceScaling(0.01)  # couplings that enlarge the features enlarge rounding errors, too

keras.utils.set_random_seed(0)


def branch():
    """Return the layers that are added to one half of the channels."""
    return keras.Sequential(
        [
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu", kernel_initializer=SMALL),
            keras.layers.Dropout(0.1),
        ]
    )


# %% [markdown]
# The inverse subtracts what was added, in the opposite order. What is lost is rounding, and it grows slowly with depth.

# %%
x = keras.random.normal((4, 16, 16, 8))
errors = []
for depth in DEPTHS:
    sequence = pde.layers.ReversibleSequence([pde.layers.Reversible(branch(), branch()) for _ in range(depth)])
    back = sequence.inverse(sequence(x))
    errors.append(float(keras.ops.max(keras.ops.abs(back - x))))
    print(f"{depth} couplings: the input comes back up to {errors[-1]:.1e}")

# %% [markdown]
# In a model it is a layer as any other.

# %%
inputs = keras.Input((16, 16, 8))
outputs = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(sequence(inputs)))
model = keras.Model(inputs, outputs)
model.compile("adam", "mean_squared_error")
target = keras.ops.mean(x, axis=(1, 2, 3))[:, None]
losses = model.fit(x, target, epochs=5, verbose=0).history["loss"]
print(f"loss {losses[0]:.3f}, then {losses[-1]:.3f}")

# %%
plt.loglog(DEPTHS, errors, "o-")
plt.xlabel("couplings")
plt.ylabel("largest error of the inverse, float32")
plt.xticks(DEPTHS, DEPTHS)
plt.minorticks_off()
plt.savefig("own_layers_reversed.png")
