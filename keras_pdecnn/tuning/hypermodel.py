"""A hypermodel for Keras Tuner: hyperparameters become a recipe, and the recipe a compiled network that is trained."""

from __future__ import annotations

import dataclasses

import keras_tuner as kt

from keras_pdecnn import data, training
from keras_pdecnn.callbacks import DivergenceGuard
from keras_pdecnn.recipes import Recipe, for_source
from keras_pdecnn.tasks import TASKS
from keras_pdecnn.tuning.sizes import count_weights, training_memory
from keras_pdecnn.tuning.space import Space
from keras_pdecnn.utils import arguments


class PDEHyperModel(kt.HyperModel):
    """Networks around a recipe, for any tuner of Keras Tuner.

    Each hyperparameter is True, searched in its default range; False, as in the recipe; a tuple (low, high); a list of
    choices; or a single value, which is then fixed. A search starts with the recipe's values.

    A trial trains for `epochs` epochs, with the phases of the learning rate shortened in proportion. It is judged by
    its accuracy, or the `monitor` of another task, on a part of the training data, `validation`. A trial whose loss,
    validation loss or weights are no longer finite, or whose network is beyond a limit, fails with
    `keras_tuner.errors.FailedTrialError` and the reason.

    Args:
        recipe: A `recipes.Recipe`, or a source of `data.load`, which stands for its recipe; default "digits".
        architecture: Names of networks; default True, all of `models.NETWORKS`.
        blocks: Number of blocks; default False, its range is 1 to as many as pooling by 2 allows, at most 4.
        width: Width of the first block, the others in proportion; default True, half to twice the recipe's.
        growth: Factor from each width to the next; default False, its range is 1 to 2.5.
        steps: Number of steps of every block; default True, 1 to 8.
        step_size: h, on a logarithmic scale; default True, a tenth to three times the recipe's.
        final_time: T = steps * step_size of every block, held fixed; step_size is then no hyperparameter. Default
            None, T follows from the two.
        activation: Activation of the blocks; default False, its range is relu, tanh, silu.
        time_smoothness, weight_decay: alpha1, alpha2; default False, their range is 0, 1e-5, 1e-4, 1e-3, 1e-2.
        learning_rate: Rate of the first phase, the others in proportion, on a logarithmic scale; default False, its
            range is a tenth to three times the recipe's.
        batch_size: Number of examples per batch; default False, its range is half, once and twice the recipe's.
        validation: Fraction of the training part that trials are judged by; default 0.25.
        epochs: Epochs of a trial; default None, half the recipe's.
        max_weights: Largest number of trainable weights; default None, no limit.
        max_memory: Largest memory of training in bytes, as `tuning.training_memory` estimates it; default None, no
            limit.
        compile: Function (model, recipe, hp) that compiles the model and may declare further hyperparameters; default
            None, `training.compile`.
        input_shape, classes: Shape of an example and number of classes of your own data, which you pass to the `search`
            of the tuner; default None, the recipe's data. With your own data nothing is loaded, the learning rate is
            that of the first phase, and arrays are divided into batches of the recipe's size.
        name, tunable: See `keras_tuner.HyperModel`.

    Raises:
        ValueError: If a setting is outside its range, nothing is left to search, the data cannot be read, or the recipe
            itself is beyond a limit.

    Example:
        >>> hypermodel = PDEHyperModel("digits", steps=(1, 6), step_size=(0.1, 2.0), width=[16, 32])
        >>> tuner = kt.RandomSearch(hypermodel, "val_accuracy", max_trials=12, directory="searches")
        >>> tuner.search()  # doctest: +SKIP
        >>> best = hypermodel.recipe(tuner.get_best_hyperparameters()[0])  # doctest: +SKIP
        >>> training.run(best, "runs/best")  # doctest: +SKIP
    """

    def __init__(
        self,
        recipe="digits",
        *,
        architecture=True,
        blocks=False,
        width=True,
        growth=False,
        steps=True,
        step_size=True,
        final_time=None,
        activation=False,
        time_smoothness=False,
        weight_decay=False,
        learning_rate=False,
        batch_size=False,
        validation=0.25,
        epochs=None,
        max_weights=None,
        max_memory=None,
        compile=None,
        input_shape=None,
        classes=None,
        name=None,
        tunable=True,
    ):
        super().__init__(name=name, tunable=tunable)
        self.start = recipe if isinstance(recipe, Recipe) else for_source(recipe)
        if self.start.refinement is not None:
            raise ValueError(
                "The trials of a search have no levels; train the network that is found with them. "
                f"Received: refinement={arguments.describe(self.start.refinement)}"
            )
        self.validation = arguments.check_fraction("validation", validation)
        whole = sum(self.start.epochs)
        self.epochs = -(-whole // 2) if epochs is None else arguments.check_positive_integer("epochs", epochs)
        self.max_weights, self.max_memory = (
            None if limit is None else arguments.check_positive(limit_name, limit)
            for limit_name, limit in (("max_weights", max_weights), ("max_memory", max_memory))
        )
        self._compile = compile
        if (input_shape is None) != (classes is None):
            raise ValueError(
                "input_shape and classes belong together. "
                f"Received: input_shape={arguments.describe(input_shape)}, classes={arguments.describe(classes)}"
            )
        if input_shape is None:
            if not self.validation:
                raise ValueError(
                    f"Trials are judged by validation examples. Received: validation={arguments.describe(validation)}"
                )
            dataset = training.load_data(dataclasses.replace(self.start, validation=self.validation))
            self.dataset: data.Data | None = dataset
            self.info = dataset.info
        else:
            if not isinstance(input_shape, tuple | list):
                raise ValueError(
                    "input_shape must be the shape of an example, (*space, channels). "
                    f"Received: input_shape={arguments.describe(input_shape)}"
                )
            self.dataset = None
            names = tuple(map(str, range(arguments.check_positive_integer("classes", classes))))
            self.info = data.Info("data", tuple(input_shape), len(names), names, {}, "float32")
        settings = {
            "architecture": architecture,
            "blocks": blocks,
            "width": width,
            "growth": growth,
            "steps": steps,
            "step_size": step_size,
            "activation": activation,
            "time_smoothness": time_smoothness,
            "weight_decay": weight_decay,
            "learning_rate": learning_rate,
            "batch_size": batch_size,
        }
        self.objective = f"val_{TASKS[self.start.task].monitor}"
        self.space = Space(self.start, self.info.input_shape, settings, final_time)
        if reason := self._oversize(self.recipe(kt.HyperParameters())):
            raise ValueError(f"The network that the search starts with is too large. Received: {reason}")

    def declare_hyperparameters(self, hp):
        """Declare all hyperparameters but those that a user-defined `compile` declares."""
        self.space.declare(hp)

    def recipe(self, hp) -> Recipe:
        """Return the recipe that hyperparameters stand for, with the validation part and epochs of the start recipe."""
        return self.space.to_recipe(hp)

    def trial_recipe(self, hp) -> Recipe:
        """Return the recipe of a trial: that of `recipe()`, with the validation part and the epochs of the search."""
        return _shortened(dataclasses.replace(self.recipe(hp), validation=self.validation), self.epochs)

    def build(self, hp):
        """Return the compiled network of a trial.

        Raises:
            keras_tuner.errors.FailedTrialError: If the network is beyond a limit; it is not built then.
        """
        recipe = self.trial_recipe(hp)
        if reason := self._oversize(recipe):
            raise kt.errors.FailedTrialError(f"The network is too large: {reason}")
        model = training.build(recipe, self.info)
        if self._compile is not None:
            self._compile(model, recipe, hp)
        elif self.dataset is None:
            training.compile(model, _first_phase(recipe), 1, self.info)
        else:
            steps = self.dataset.with_batch_size(recipe.batch_size).steps_per_epoch
            training.compile(model, recipe, steps, self.info)
        return model

    def fit(self, hp, model, *args, callbacks=(), epochs=None, initial_epoch=0, verbose=0, **kwargs):
        """Train the network of a trial; Keras Tuner calls it with what `search` was given.

        Args:
            hp: Hyperparameters of the trial.
            model: The network.
            *args: Your own training data as in `keras.Model.fit`; without them, the data of the recipe are used.
            callbacks: Keras callbacks; default none.
            epochs: Number of epochs after which training stops; default None, that of the hypermodel.
            initial_epoch: Number of epochs that the network has been trained for; default 0.
            verbose: As in `keras.Model.fit`; default 0.
            **kwargs: Further arguments of `keras.Model.fit`, with your own data.

        Returns:
            The history.

        Raises:
            keras_tuner.errors.FailedTrialError: If the training diverged.
        """
        recipe = self.trial_recipe(hp)
        guard = DivergenceGuard()
        callbacks = [guard, *callbacks]
        epochs = self.epochs if epochs is None else epochs
        if self.dataset is None:
            if hasattr(args[0] if args else kwargs.get("x"), "shape"):
                kwargs.setdefault("batch_size", recipe.batch_size)
            settings = {"epochs": epochs, "initial_epoch": initial_epoch, "verbose": verbose, **kwargs}
            history = model.fit(*args, callbacks=callbacks, **settings)
        elif args or kwargs:
            raise kt.errors.FatalValueError(
                "This hypermodel has loaded the data of its recipe. For your own data, make it with their input_shape "
                "and classes. "
                f"Received: {len(args)} positional arguments, {', '.join(kwargs) or 'no others'}"
            )
        else:
            dataset = self.dataset.with_batch_size(recipe.batch_size)
            # The learning rate continues where an earlier, shorter trial of the same network ended.
            model.optimizer.iterations.assign(initial_epoch * dataset.steps_per_epoch)
            ends = dataclasses.replace(_first_phase(recipe), epochs=(epochs,))
            history = training.fit(model, dataset, ends, callbacks, first_epoch=initial_epoch, verbose=verbose)
        if guard.divergence:
            raise kt.errors.FailedTrialError(f"The training diverged: {guard.divergence}")
        return history

    def count_weights(self, recipe: Recipe) -> int:
        """Return the number of trainable weights of the network of a recipe on these data."""
        return count_weights(recipe, self.info.input_shape, self.info.classes)

    def _oversize(self, recipe: Recipe) -> str | None:
        weights = self.count_weights(recipe)
        if self.max_weights is not None and weights > self.max_weights:
            return f"{weights:,} weights, the limit is {self.max_weights:,.0f}"
        if self.max_memory is not None:
            memory = training_memory(recipe, self.info.input_shape, self.info.classes)
            if memory > self.max_memory:
                needed, limit = (f"{size / 1e6:,.0f} MB" for size in (memory, self.max_memory))
                return f"an estimated {needed} of memory in training, the limit is {limit}"
        return None


def _first_phase(recipe: Recipe) -> Recipe:
    """Return the recipe with the learning rate of its first phase alone, which is constant."""
    rates, epochs = recipe.learning_rates[:1], recipe.epochs[:1]
    return dataclasses.replace(recipe, learning_rates=rates, epochs=epochs, schedule="piecewise", warmup=None)


def _shortened(recipe: Recipe, epochs: int) -> Recipe:
    """Return the recipe with so many epochs in total, divided over its phases in proportion, without empty phases."""
    whole, ends, end = sum(recipe.epochs), [0], 0
    for count in recipe.epochs:
        end += count
        ends.append(round(end * epochs / whole))
    phases = [
        (rate, after - before)
        for rate, before, after in zip(recipe.learning_rates, ends[:-1], ends[1:], strict=True)
        if after > before
    ]
    rates, counts = zip(*phases, strict=True)
    return dataclasses.replace(recipe, learning_rates=rates, epochs=counts)
