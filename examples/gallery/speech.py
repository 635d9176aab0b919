# %% [markdown]
# # Classify sound
# A network for signals tells five synthetic vowels apart from the waveform, at any pitch of the voice. With a file
# of real recordings, `keras-pdecnn train spoken_digit.npz` does the same.

# %%
import keras_pdecnn as pde

import keras
import matplotlib.pyplot as plt
import numpy as np

EPOCHS = 10
RECORDINGS = 500
RATE = 8000  # samples per second

rng = np.random.default_rng(0)
keras.utils.set_random_seed(0)
VOWELS = {"a": (800, 1200), "e": (500, 2000), "i": (300, 2500), "o": (500, 900), "u": (320, 800)}  # formants in Hz


def say(formants):
    """Return a quarter of a second of a vowel: harmonics of a pitch, loudest near the formants, and noise."""
    time, pitch = np.arange(RATE // 4) / RATE, rng.uniform(90, 250)
    harmonics = pitch * np.arange(1, int(3800 / pitch))
    loudness = sum(1 / (1 + ((harmonics - f * rng.normal(1, 0.04)) / 80) ** 2) for f in formants)
    phases = rng.uniform(0, 2 * np.pi, len(harmonics))
    sound = loudness @ np.sin(2 * np.pi * harmonics[:, None] * time + phases[:, None])
    return rng.uniform(0.2, 1) * sound + rng.normal(scale=0.3, size=len(time))


labels = rng.integers(0, len(VOWELS), RECORDINGS + 200)
sounds = np.stack([say(list(VOWELS.values())[label]) for label in labels])[..., None].astype("float32")

# %%
model = pde.models.SecondOrderCNN(
    (RATE // 4, 1),
    classes=len(VOWELS),
    widths=(16, 32, 32),
    steps=2,
    kernel_size=9,
    opening_kernel_size=31,
    opening_stride=4,
    opening_width=16,
)
rate = keras.optimizers.schedules.CosineDecay(3e-3, EPOCHS * -(-RECORDINGS // 25))
model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(sounds[:RECORDINGS], labels[:RECORDINGS], batch_size=25, epochs=EPOCHS, verbose=0)
accuracy = model.evaluate(sounds[RECORDINGS:], labels[RECORDINGS:], verbose=0, return_dict=True)["accuracy"]
print(f"{100 * accuracy:.1f} % of 200 new sounds")

# %%
predicted = model.predict(sounds[RECORDINGS:], verbose=0).argmax(axis=-1)
matrix = np.zeros((len(VOWELS), len(VOWELS)), int)
np.add.at(matrix, (labels[RECORDINGS:], predicted), 1)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for number in range(len(VOWELS)):
    example = sounds[np.flatnonzero(labels == number)[0], :240, 0]
    left.plot(np.arange(240) / 8, 1.2 * number + 0.5 * example / abs(example).max())
left.set_yticks(1.2 * np.arange(len(VOWELS)), list(VOWELS))
left.set_xlabel("milliseconds")
right.imshow(matrix, cmap="Blues")
for (i, j), count in np.ndenumerate(matrix):
    right.text(j, i, count, ha="center", va="center", color="white" if count > matrix.max() / 2 else "black")
right.set_xticks(range(len(VOWELS)), list(VOWELS))
right.set_yticks(range(len(VOWELS)), list(VOWELS))
right.set_xlabel("predicted")
right.set_ylabel("said")
figure.savefig("speech.png")
