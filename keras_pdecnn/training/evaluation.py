"""Evaluating the network of a recipe."""

from __future__ import annotations

import keras
import numpy as np

from keras_pdecnn import data
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.tasks import TASKS
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


def evaluate_part(
    model: keras.Model,
    dataset: data.Data,
    recipe: Recipe,
    part: str = "test",
    flipped: bool = False,
    verbose: int | str = 0,
) -> dict:
    """Evaluate the network of a recipe on a part of its data, whatever its task is.

    Args:
        model: The network.
        dataset: The data.
        recipe: Recipe of the network.
        part: Name of the part, "test" (default) or "validation".
        flipped: Whether the outputs are averaged with those for mirror images, see `evaluate`; default False.
        verbose: Verbosity as in `keras.Model.predict`; default 0.

    Returns:
        What `evaluate` or `evaluate_task` returns.

    Example:
        >>> recipe = keras_pdecnn.recipes.Recipe(widths=4, steps=1)
        >>> digits = keras_pdecnn.training.load_data(recipe)
        >>> model = keras_pdecnn.training.build(recipe, digits.info)
        >>> list(evaluate_part(model, digits, recipe, "validation"))
        ['loss', 'accuracy', 'confusion_matrix']
    """
    batches = getattr(dataset, part)
    if TASKS[recipe.task].has_labels:
        labels, loss = dataset.evaluation[part].labels(), TASKS[recipe.task].label_loss(recipe)
        return evaluate(model, batches, verbose, loss=loss, flipped=flipped, labels=labels)
    return evaluate_task(model, batches, recipe, dataset.info, verbose)


def evaluate_task(model: keras.Model, dataset, recipe: Recipe, info: data.Info, verbose: int | str = 0) -> dict:
    """Evaluate the network of any task but a classification, for which there is `evaluate`.

    Args:
        model: The network.
        dataset: A tf.data.Dataset of batches (x, y).
        recipe: Recipe of the network.
        info: Properties of the data that the network was trained on.
        verbose: 0 (default) for silence, or else a progress bar of the examples.

    Returns:
        A dict with `loss` (mean loss plus regularisation), the metrics of the task by name, and its details.

    Example:
        >>> settings = {"task": "restoration", "degradation": "noise:25", "widths": 4, "steps": 1}
        >>> recipe = keras_pdecnn.recipes.Recipe().with_settings(**settings)
        >>> digits = keras_pdecnn.training.load_data(recipe)
        >>> model = keras_pdecnn.training.build(recipe, digits.info)
        >>> 15 < evaluate_task(model, digits.test, recipe, digits.info)["psnr"] < 25
        True
    """
    task = TASKS[recipe.task]
    metrics, loss = task.metrics(recipe, info), task.loss(recipe, info)
    before = task.metrics(recipe, info) if task.improves_input else []
    total, count = 0.0, 0
    bar = keras.utils.Progbar(None, verbose=1, unit_name="example") if verbose else None
    with report_unreadable():
        for x, y in dataset:
            x, y = np.asarray(x), np.asarray(y)  # noqa: PLW2901
            outputs = model.predict(x, batch_size=len(x), verbose=0)
            total += len(x) * float(keras.ops.convert_to_numpy(loss(y, outputs)))
            count += len(x)
            if bar is not None:
                bar.update(count)
            for metric, values in [(m, outputs) for m in metrics] + [(m, x) for m in before]:
                metric.update_state(y, values)
    if bar is not None:
        bar.update(count, finalize=True)
    regularization = sum(float(keras.ops.convert_to_numpy(term)) for term in model.losses)
    results = {"loss": total / count + regularization, **_values(metrics)}
    results |= {f"{name}_before": value for name, value in _values(before).items()}
    return {**results, **task.details(metrics, info)}


def _values(metrics: list) -> dict[str, float]:
    return {metric.name: float(keras.ops.convert_to_numpy(metric.result())) for metric in metrics}
