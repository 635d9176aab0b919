"""A transformer whose blocks are run backwards in training, so that its memory does not grow with its depth.

python examples/reversible_transformer.py

The task is to put the digits of a sequence in order, which takes a minute on a processor.
"""

import keras_pdecnn as pde

import keras
import numpy as np
from keras import layers

LENGTH = 10
DIGITS = 10
WIDTH = 64
HEADS = 4
DEPTH = 4
EXAMPLES = 20_000
EPOCHS = 4
BATCH = 64
DROPOUT = 0.1


class SelfAttention(layers.Layer):
    """Layer normalisation, and attention of a sequence to itself."""

    def __init__(self, heads, key_dim, dropout, **kwargs):
        super().__init__(**kwargs)
        self.norm = layers.LayerNormalization()
        self.attention = layers.MultiHeadAttention(heads, key_dim, dropout=dropout)

    def build(self, shape):
        """Create the weights."""
        self.norm.build(shape)
        self.attention.build(shape, shape)

    def call(self, x):
        """Return what each entry gathers from all others."""
        x = self.norm(x)
        return self.attention(x, x)


def feed_forward(width):
    """Return layer normalisation and two dense layers."""
    parts = [layers.LayerNormalization(), layers.Dense(4 * width, "gelu"), layers.Dense(width), layers.Dropout(DROPOUT)]
    return keras.Sequential(parts)


def network():
    """Return a model from sequences of digits to the probabilities of each digit at each place."""
    inputs = keras.Input((LENGTH,), dtype="int32")
    places = layers.Embedding(LENGTH, 2 * WIDTH)(keras.ops.arange(LENGTH))
    x = layers.Embedding(DIGITS, 2 * WIDTH)(inputs) + places
    blocks = [
        pde.layers.Reversible(SelfAttention(HEADS, WIDTH // HEADS, DROPOUT), feed_forward(WIDTH)) for _ in range(DEPTH)
    ]
    x = pde.layers.ReversibleSequence(blocks)(x)
    x = layers.LayerNormalization()(x)
    return keras.Model(inputs, layers.Dense(DIGITS, activation="softmax")(x))


def main():
    """Train, and print the share of digits in the right place."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).integers(0, DIGITS, (EXAMPLES, LENGTH))
    held_out = EXAMPLES // 10
    model = network()
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[held_out:], np.sort(x[held_out:]), BATCH, EPOCHS, verbose=2)
    accuracy = model.evaluate(x[:held_out], np.sort(x[:held_out]), verbose=0, return_dict=True)["accuracy"]
    print(f"Digits in the right place: {100 * accuracy:.1f} %")


if __name__ == "__main__":
    main()
