"""Fine-tune a network that was trained on CIFAR-10, with few images, and compare it with one that starts from scratch.

python examples/fine_tuning.py [FILE.npz]

Without FILE.npz (arrays x_train, y_train, x_test, y_test) the images are the handwritten digits that come with
scikit-learn. Grey images become coloured ones of 32x32 pixels, which is what the trained weights know.
"""

import sys

import keras_pdecnn as pde

import keras
import numpy as np

IMAGES = 100  # number of training images
WIDTHS = (32, 64, 112)
EPOCHS = 30
BATCH = 20
RATE = 0.02
TEST = 1000  # number of test images at most


def images(source):
    """Return the number of classes, training images and labels, and those for the test.

    The images are coloured ones of 32x32 pixels with values from 0 to 255.
    """
    data = pde.data.load(source, batch_size=256, validation=0)
    x, y = (np.concatenate(arrays) for arrays in zip(*data.epochs().take(data.steps_per_epoch), strict=True))
    x_test, y_test = (np.concatenate(arrays) for arrays in zip(*data.test, strict=True))
    chosen = np.random.default_rng(0).permutation(len(x))[:IMAGES]

    def coloured(x):
        x = np.broadcast_to(255 * (x / x.max()), (*x.shape[:-1], 3))
        return keras.ops.convert_to_numpy(keras.ops.image.resize(x.astype("float32"), (32, 32)))

    return data.info.classes, coloured(x[chosen]), y[chosen], coloured(x_test[:TEST]), y_test[:TEST]


def train(weights, classes, x, y, x_test, y_test):
    """Return the accuracy on the test images of a network that starts from these weights."""
    keras.utils.set_random_seed(0)
    settings = {} if weights is None else {"weights": weights}
    features = pde.models.HamiltonianCNN((32, 32, 3), widths=WIDTHS, include_top=False, pooling="avg", **settings)
    model = keras.Sequential([features, keras.layers.Dense(classes, activation="softmax")])
    rate = keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * -(-len(x) // BATCH))
    optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]


def main(source="digits", weights="cifar10"):
    """Train both networks on the same few images and print their accuracy."""
    data = images(source)
    print(f"{len(data[1])} training images, {len(data[3])} test images")
    for name, start in (("trained weights", weights), ("from scratch", None)):
        print(f"{name}: {100 * train(start, *data):.1f} %")


if __name__ == "__main__":
    main(*sys.argv[1:2])
