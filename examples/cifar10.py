"""The paper's CIFAR-10 network and its training in plain Keras, without the package's own `training`.

python examples/cifar10.py

The data set is read by TensorFlow Datasets, which downloads it once (160 MB). A network takes hours on a processor.
"""

import keras_pdecnn as pde

import keras

DATA = "cifar10"  # or an .npz file with x_train, y_train, x_test, y_test
WIDTHS = (32, 64, 112)
STEPS = 3
PHASES = ((0.1, 60), (0.02, 20), (0.004, 20))  # learning rate, epochs
BATCH = 125
ALPHA = 2e-4  # alpha1 and alpha2 of the regulariser (eq. 13)
FILE = "cifar10.keras"


def schedule(epoch, _=None):
    """Return the learning rate of an epoch."""
    rates = [rate for rate, epochs in PHASES for _ in range(epochs)]
    return rates[min(epoch, len(rates) - 1)]


def main():
    """Train, print the accuracy on the test images, and save the network."""
    keras.utils.set_random_seed(0)
    # 40,000 of the 50,000 images are trained on, mirrored and shifted by up to two pixels at random.
    augmentation = pde.data.Augmentation(flip=True, pad=1 / 16)
    images = pde.data.load(DATA, BATCH, validation=0.2, augmentation=augmentation)
    model = pde.models.HamiltonianCNN(
        images.info.input_shape,
        images.info.classes,
        widths=WIDTHS,
        head_width=WIDTHS[-1],
        steps=STEPS,
        time_smoothness=ALPHA,
        weight_decay=ALPHA,
        box=1.0,
    )
    model.summary()
    model.compile(
        keras.optimizers.SGD(PHASES[0][0], momentum=0.9),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(
        images.train,
        validation_data=images.validation,
        epochs=sum(epochs for _, epochs in PHASES),
        callbacks=[keras.callbacks.LearningRateScheduler(schedule)],
        shuffle=False,
        verbose=2,
    )
    accuracy = model.evaluate(images.test, verbose=0, return_dict=True)["accuracy"]
    model.save(FILE)
    print(f"Test accuracy: {100 * accuracy:.2f} %. The network is in {FILE}.")


if __name__ == "__main__":
    main()
