"""Evaluating the network of a recipe."""

from __future__ import annotations

import keras
import numpy as np

from keras_pdecnn.training.failures import report_unreadable
from keras_pdecnn.training.fitting import loss_function


def evaluate(
    model: keras.Model,
    dataset,
    verbose: int | str = 0,
    loss: str | keras.losses.Loss = "classification",
    flipped: bool = False,
    labels: np.ndarray | None = None,
) -> dict:
    """Evaluate a model on a dataset of (x, label).

    Args:
        model: The model; it returns one number per class, the largest for the predicted class.
        dataset: A tf.data.Dataset of batches whose order is always the same.
        verbose: Verbosity as in `keras.Model.predict`; default 0.
        loss: "classification" (default), "least_squares", see `recipes.Recipe`, or a loss of Keras for integer labels.
            Labels are not smoothed.
        flipped: Whether the outputs are means of those for each example and for its mirror image along the last space
            axis; default False.
        labels: Labels of all examples in their order; default None, they are taken from another pass over the dataset.

    Returns:
        A dict with `loss` (mean loss plus regularisation, as in `keras.Model.evaluate`), `accuracy`, and
        `confusion_matrix`, a list of rows: entry `[i][j]` counts the examples of class i predicted as class j.

    Example:
        >>> recipe = keras_pdecnn.recipes.Recipe(widths=4, steps=1, epochs=1, learning_rates=0.1)
        >>> digits = keras_pdecnn.training.load_data(recipe)
        >>> model = keras_pdecnn.training.build(recipe, digits.info)
        >>> model = keras_pdecnn.training.compile(model, recipe, digits.steps_per_epoch)
        >>> sum(map(sum, evaluate(model, digits.test)["confusion_matrix"]))
        360
    """
    with report_unreadable():
        outputs = model.predict(dataset, verbose=verbose)
        if flipped:
            mirrored = dataset.map(lambda x, y: (x[..., ::-1, :], y))
            outputs = (outputs + model.predict(mirrored, verbose=verbose)) / 2
    if labels is None:
        labels = np.concatenate([np.asarray(y) for _, y in dataset])
    classes, best = outputs.shape[-1], outputs.argmax(-1)
    confusion = np.bincount(labels * classes + best, minlength=classes**2)
    function = loss if isinstance(loss, keras.losses.Loss) else loss_function(loss)
    terms = [function(labels, outputs), *model.losses]
    return {
        "loss": sum(float(keras.ops.convert_to_numpy(term)) for term in terms),
        "accuracy": float(np.mean(best == labels)),
        "confusion_matrix": confusion.reshape(classes, classes).tolist(),
    }
