"""An invertible network for signals: it tells two kinds apart, and its features give the signals back.

python examples/invertible_1d.py

No information is lost on the way, so the signal of any features can be seen: `inverse` computes it.
"""

import keras_pdecnn as pde

import keras
import numpy as np
from keras import layers, ops

LENGTH = 128
WIDTH = 16  # hidden channels
DEPTH = 6
EXAMPLES = 2000
EPOCHS = 5
BATCH = 50


def signals(count, seed):
    """Return noisy sine waves (class 0) and square waves (class 1) of any frequency and phase, and their classes."""
    rng = np.random.default_rng(seed)
    frequency, phase = rng.uniform(2, 6, (count, 1)), rng.uniform(0, 2 * np.pi, (count, 1))
    waves = np.sin(2 * np.pi * frequency * np.linspace(0, 1, LENGTH) + phase)
    classes = rng.integers(0, 2, count)
    waves = np.where(classes[:, None], np.sign(waves), waves) + 0.1 * rng.normal(size=waves.shape)
    return waves.astype("float32"), classes


def branch():
    """Return two convolutions that keep the shape."""
    return keras.Sequential(
        [layers.Conv1D(WIDTH, 5, padding="same", activation="gelu"), layers.Conv1D(4, 5, padding="same")]
    )


def network():
    """Return the invertible part, and the classifier that it belongs to."""
    couplings = [pde.layers.Reversible(branch(), branch()) for _ in range(DEPTH)]
    invertible = pde.layers.ReversibleSequence(couplings)
    inputs = keras.Input((LENGTH,))
    # Eight neighbouring samples become the channels of one place, which loses nothing.
    features = invertible(layers.Reshape((LENGTH // 8, 8))(inputs))
    outputs = layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling1D()(ops.abs(features)))
    return invertible, keras.Model(inputs, outputs), keras.Model(inputs, features)


def main():
    """Train, and print the accuracy and how well features give the signals back."""
    keras.utils.set_random_seed(0)
    invertible, classifier, encoder = network()
    classifier.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    classifier.fit(*signals(EXAMPLES, seed=1), BATCH, EPOCHS, verbose=2)
    x, classes = signals(EXAMPLES // 4, seed=2)
    accuracy = classifier.evaluate(x, classes, verbose=0, return_dict=True)["accuracy"]
    again = ops.reshape(invertible.inverse(encoder.predict(x, verbose=0)), x.shape)
    error = np.max(np.abs(ops.convert_to_numpy(again) - x))
    print(f"Test accuracy: {100 * accuracy:.1f} %; largest error of signals computed from their features: {error:.1e}")


if __name__ == "__main__":
    main()
