"""A differential equation of your own: an integrator, a block, and a network with it.

python examples/own_pde.py
"""

import keras_pdecnn as pde
from keras_pdecnn.ops import Integrator, Update

import keras

WIDTH = 16
STEPS = 4
EPOCHS = 8

RECOVERY = 0.25


def largest_step(lipschitz, norms):
    """Return the largest h for which all eigenvalues of a linearised step have a modulus of at most 1."""
    a = lipschitz * norms[:, 0] ** 2
    return 4 / (a + (a**2 + 4 * RECOVERY) ** 0.5)


excitable_euler = Integrator(
    # y += h F(theta, y), y -= h z, z += h RECOVERY y: the first half of the channels is y, the second z.
    name="excitable Euler",
    fields=1,
    updates=(
        Update(target=0, source=0, field=0),
        Update(target=0, source=1, factor=lambda h: -h),
        Update(target=1, source=0, factor=lambda h: RECOVERY * h),
    ),
    start=lambda y: tuple(keras.ops.split(y, 2, axis=-1)),
    finish=lambda state: keras.ops.concatenate(state, axis=-1),
    parts=2,
    limit=largest_step,
)


@keras.saving.register_keras_serializable(package="my_package")
class ExcitableBlock(pde.layers.PDEBlock):
    """N steps of y' = F_sym(theta, y) - z, z' = RECOVERY y: diffusion, and a second quantity that pulls y back."""

    integrator = excitable_euler


def network(input_shape, classes):
    """Return a network of one block between two connectors."""
    return keras.Sequential(
        [
            keras.Input(input_shape),
            pde.layers.Standardization(),
            pde.layers.Connector(WIDTH, kernel_size=3, pool_size=1),
            ExcitableBlock(STEPS, step_size=0.5, kernel_regularizer=pde.regularizers.TimeSmoothness(2e-4, 2e-4, 0.5)),
            pde.layers.Connector(WIDTH),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )


def main():
    """Train on the digits and print the accuracy on the test images."""
    keras.utils.set_random_seed(0)
    digits = pde.data.load("digits", batch_size=32)
    model = network(digits.info.input_shape, digits.info.classes)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(digits.train, validation_data=digits.validation, epochs=EPOCHS, shuffle=False, verbose=2)
    accuracy = model.evaluate(digits.test, verbose=0, return_dict=True)["accuracy"]
    print(f"Test accuracy: {100 * accuracy:.2f} %")


if __name__ == "__main__":
    main()
