"""Train the four networks on real handwritten digits, and print what each needs and how often it is right.

python examples/digits.py
"""

import time

import keras_pdecnn as pde

import keras

NETWORKS = tuple(pde.models.ARCHITECTURES)
WIDTHS = (16, 32)
STEPS = 3
EPOCHS = 12
RATE = 0.05
BATCH = 32


def train(build, digits):
    """Return the network and its accuracy on the test images."""
    model = build(digits.info.input_shape, digits.info.classes, widths=WIDTHS, steps=STEPS, weight_decay=5e-4)
    rate = keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * digits.steps_per_epoch)
    model.compile(
        keras.optimizers.SGD(rate, momentum=0.9),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    # The data shuffle themselves, another order in each epoch.
    model.fit(digits.train, validation_data=digits.validation, epochs=EPOCHS, shuffle=False, verbose=0)
    return model, model.evaluate(digits.test, verbose=0, return_dict=True)["accuracy"]


def main():
    """Train and print a table."""
    keras.utils.set_random_seed(0)
    augmentation = pde.data.Augmentation(pad=1 / 8, rotate=12, zoom=0.1)
    digits = pde.data.load("digits", batch_size=BATCH, augmentation=augmentation)
    print("| network | weights | test accuracy | seconds |\n|---|---|---|---|")
    for name in NETWORKS:
        start = time.perf_counter()
        model, accuracy = train(pde.models.ARCHITECTURES[name], digits)
        weights = sum(weight.shape.num_elements() for weight in model.trainable_weights)
        print(f"| {name} | {weights:,} | {100 * accuracy:.2f} % | {time.perf_counter() - start:.0f} |", flush=True)


if __name__ == "__main__":
    main()
