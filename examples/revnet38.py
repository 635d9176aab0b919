"""RevNet-38 for CIFAR-10 in plain Keras, its couplings run backwards in training.

python examples/revnet38.py [DATA [EPOCHS]]

DATA is a name of TensorFlow Datasets or an .npz file with x_train, y_train, x_test and y_test; default cifar10. EPOCHS
may be a fraction for a short run; default 160.

The network of Gomez et al., The Reversible Residual Network, 2017: 0.46 million weights. The two couplings that halve
the images cannot be run backwards; all others are `Reversible`. The data set is read by TensorFlow Datasets, which
downloads it once (160 MB). Training takes many hours on a processor.
"""

import itertools
import math
import sys

import keras_pdecnn as pde

import keras
from keras import layers, ops

DATA = "cifar10"
WIDTHS = (32, 64, 112)
UNITS = 3  # couplings for each width
PHASES = ((0.1, 80), (0.01, 40), (0.001, 40))  # learning rate, epochs; a run of another length scales them
BATCH = 100
WEIGHT_DECAY = 2e-4


def branch(width, strides=1):
    """Return two convolutions with batch normalisation and ReLU before each."""
    parts = []
    for step in (strides, 1):
        parts += [
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2D(
                width,
                3,
                step,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
                kernel_regularizer=keras.regularizers.L2(WEIGHT_DECAY / 2),
            ),
        ]
    return keras.Sequential(parts)


def halve(x, width):
    """Return a coupling to half the height and width of the images and more channels."""

    def smaller(y):
        y = layers.AveragePooling2D(2)(y)
        extra = width // 2 - y.shape[-1]
        return ops.pad(y, ((0, 0), (0, 0), (0, 0), (extra // 2, extra - extra // 2)))

    y, z = ops.split(x, 2, axis=-1)
    y = smaller(y) + branch(width // 2, strides=2)(z)
    z = smaller(z) + branch(width // 2)(y)
    return ops.concatenate([y, z], axis=-1)


def network(input_shape, classes):
    """Return the network as a Keras model."""
    x = inputs = keras.Input(input_shape)
    x = layers.Rescaling(1 / 255)(x)
    regularizer = keras.regularizers.L2(WEIGHT_DECAY / 2)
    x = layers.Conv2D(WIDTHS[0], 3, padding="same", use_bias=False, kernel_regularizer=regularizer)(x)
    for index, width in enumerate(WIDTHS):
        couplings = UNITS
        if index:
            x, couplings = halve(x, width), UNITS - 1
        units = [pde.layers.Reversible(branch(width // 2), branch(width // 2)) for _ in range(couplings)]
        x = pde.layers.ReversibleSequence(units)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def schedule(steps):
    """Return the learning rates over a number of steps, in the proportions of the phases."""
    rates, epochs = zip(*PHASES, strict=True)
    ends = [round(steps * end / sum(epochs)) - 1 for end in itertools.accumulate(epochs)]
    return keras.optimizers.schedules.PiecewiseConstantDecay(ends[:-1], rates)


def main(data=None, epochs=None):
    """Train, and print the accuracy on the test images."""
    keras.utils.set_random_seed(0)
    epochs = float(epochs or sum(epochs for _, epochs in PHASES))
    augmentation = pde.data.Augmentation(flip=True, pad=1 / 8)
    images = pde.data.load(data or DATA, BATCH, validation=0.1, augmentation=augmentation)
    steps = max(1, round(epochs * images.steps_per_epoch))
    model = network(images.info.input_shape, images.info.classes)
    model.compile(
        keras.optimizers.SGD(schedule(steps), momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    print(f"{model.count_params():,} weights, {steps} steps")
    model.fit(
        images.epochs(),
        validation_data=images.validation,
        epochs=math.ceil(epochs),
        steps_per_epoch=min(steps, images.steps_per_epoch),
        shuffle=False,
        verbose=2,
    )
    accuracy = model.evaluate(images.test, verbose=0, return_dict=True)["accuracy"]
    print(f"Test accuracy: {100 * accuracy:.2f} %")


if __name__ == "__main__":
    main(*sys.argv[1:])
