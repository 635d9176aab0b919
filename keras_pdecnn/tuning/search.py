"""A search, from its start or from where it was interrupted, in one process or with a chief and workers."""

from __future__ import annotations

import contextlib
import functools
import json
import pathlib
import time

import keras_tuner as kt
from keras_tuner.engine.trial import TrialStatus

from keras_pdecnn.distribute.strategies import check_backend
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.tuning.hypermodel import PDEHyperModel
from keras_pdecnn.tuning.oracles import METHODS, REASON, SearchOracle, reason
from keras_pdecnn.tuning.roles import PatientClient, is_chief, is_worker, pulse, serve, tuner_id, work
from keras_pdecnn.utils import arguments, files

_ASK = 1.0  # least number of seconds between two requests for a trial; idle workers of Keras Tuner ask without a pause


class SearchFailedError(RuntimeError):
    """No trial of a search succeeded."""


class Search(kt.Hyperband):
    """The tuner of every method. It runs trials as Keras Tuner's Hyperband does, which suits the other methods as well.

    Args:
        oracle: An oracle of this package.
        hypermodel: The hypermodel to search.
        **kwargs: Further arguments of `keras_tuner.Tuner`.
    """

    oracle: SearchOracle | PatientClient

    def __init__(self, oracle, hypermodel, **kwargs):
        # Not the constructor of Hyperband, which would make another oracle.
        kt.Tuner.__init__(self, oracle, hypermodel, **kwargs)
        if is_worker():
            self.oracle = PatientClient(self.oracle)
        self._asked = -_ASK
        self._failure = None

    def pre_create_trial(self):
        time.sleep(max(0.0, self._asked + _ASK - time.monotonic()))
        self._asked = time.monotonic()

    def run_trial(self, trial, *args, **kwargs):
        with pulse(self.oracle, trial.trial_id) if is_worker() else contextlib.nullcontext():
            try:
                return super().run_trial(trial, *args, **kwargs)
            except kt.errors.FailedTrialError as error:
                # Keras Tuner would print the traceback, which an expected failure does not need.
                self._failure = str(error)
                return {self.oracle.objective.name: 0.0}

    def on_trial_end(self, trial):
        if self._failure is not None:
            trial.status, trial.message, self._failure = TrialStatus.FAILED, self._failure, None
        if trial.message:
            pathlib.Path(self.get_trial_dir(trial.trial_id), REASON).write_text(trial.message, encoding="utf-8")
        super().on_trial_end(trial)


def search(
    hypermodel: PDEHyperModel,
    folder,
    method="random",
    trials=12,
    budget=None,
    seed=0,
    max_failures=10,
    patience=60.0,
    strategy=None,
    verbose=1,
) -> Search:
    """Search for the hyperparameters with the highest validation accuracy; the recipe's own values are tried first.

    If the folder already holds this search, the search continues: finished trials are kept, unfinished ones are tried
    again. `trials`, `budget`, `max_failures` and `patience` may have changed.

    With the environment variables of Keras Tuner (see `tuning.roles`), this process is the chief, which returns when
    all trials have ended, or one of its workers. All processes must see the same folder.

    Args:
        hypermodel: The hypermodel to search.
        folder: Folder of the search.
        method: "random" (default), "bayesian", "hyperband" or "grid".
        trials: Number of trials; default 12, None for as many as the method has.
        budget: Number of epochs of all trials together; no trial starts once they are used up. Default None, no limit.
        seed: Seed of the values that are tried; default 0.
        max_failures: Number of failed trials in a row that end the search; default 10.
        patience: Seconds without a sign of a worker after which its trial goes to another one; default 60.
        strategy: A `tf.distribute.Strategy` for every trial; default None.
        verbose: 0, silent; 1 (default), Keras Tuner's progress; 2, also a line for every epoch.

    Returns:
        The tuner, a `Search`.

    Raises:
        ValueError: If an argument is outside its range, the recipe describes no possible network, the folder holds
            another search, or a file in it is damaged. A folder that was new is removed then.
        SearchFailedError: If no trial succeeded.
        roles.ChiefError: If the chief of a distributed search cannot listen, does not answer, or has failed.

    Example:
        >>> recipe = keras_pdecnn.recipes.Recipe(widths=4, steps=1, epochs=1, learning_rates=0.1, batch_size=256)
        >>> hypermodel = PDEHyperModel(recipe, architecture=False, width=False, steps=(1, 2), step_size=False)
        >>> tuner = search(hypermodel, "searches/digits", trials=1, verbose=0)
        >>> tuner.get_best_hyperparameters()[0].values["steps"]
        1
    """
    if strategy is not None:
        check_backend(strategy)
    folder = pathlib.Path(folder).expanduser().absolute()
    oracle = _make_oracle(hypermodel, folder, method, trials, budget, seed, max_failures, patience)
    settings = _describe(hypermodel, method, seed)
    with _entered(folder, settings):
        tuner = Search(
            oracle,
            hypermodel,
            distribution_strategy=strategy,
            directory=folder.parent,
            project_name=folder.name,
        )
    oracle.verbose = verbose
    run = functools.partial(tuner.search, **({} if verbose == 1 else {"verbose": verbose}))
    if is_worker():
        work(run)
        return tuner
    if not is_chief():
        run()
    elif not oracle.finished:
        serve(run, oracle)
    if not any(trial.status == TrialStatus.COMPLETED for trial in oracle.trials.values()):
        last = oracle.trials[oracle.end_order[-1]] if oracle.end_order else None
        raise SearchFailedError(
            f"No trial succeeded: {len(oracle.end_order)} failed"
            + (f", the last one because: {reason(last)}" if last else "")
            + f". The search is in {str(folder)!r}."
        )
    return tuner


def _make_oracle(hypermodel, folder, method, trials, budget, seed, max_failures, patience) -> SearchOracle:
    arguments.check_choice("method", method, tuple(METHODS))
    kwargs = {
        "folder": folder,
        "objective": kt.Objective(hypermodel.objective, "max"),
        "epochs": hypermodel.epochs,
        "max_trials": None if trials is None else arguments.check_positive_integer("trials", trials),
        "budget": None if budget is None else arguments.check_positive_integer("budget", budget),
        "seed": seed + 1,  # 0 would be none
        "max_failures": arguments.check_positive_integer("max_failures", max_failures),
        "patience": arguments.check_positive("patience", patience),
    }
    if method == "hyperband":
        kwargs["max_epochs"] = hypermodel.epochs
    if method == "bayesian":
        # Keras Tuner starts with three random trials for each hyperparameter: a short search would have no others.
        dimensions = len(hypermodel.space.ranges)
        expected = trials or (budget or 0) // hypermodel.epochs or 3 * dimensions
        kwargs["num_initial_points"] = max(3, min(3 * dimensions, expected // 3))
    return METHODS[method](**kwargs)


def _describe(hypermodel: PDEHyperModel, method: str, seed: int) -> dict:
    space = hypermodel.space
    return {
        "method": method,
        "seed": seed,
        "ranges": {name: list(values) for name, values in space.ranges.items()},
        "fixed": space.fixed,
        "final_time": space.final_time,
        "validation": hypermodel.validation,
        "epochs": hypermodel.epochs,
        "max_weights": hypermodel.max_weights,
        "max_memory": hypermodel.max_memory,
        "recipe": hypermodel.start.to_dict(),
    }


@contextlib.contextmanager
def _entered(folder: pathlib.Path, settings: dict):
    """Enter the folder of a search. If the search cannot begin, nothing new is left there."""
    path, is_made = folder / "search.json", not folder.exists()
    is_new = not is_worker() and not path.exists()
    _enter(folder, settings)
    try:
        yield
    except BaseException:
        # The settings of a search that has not begun would refuse the corrected ones.
        if is_new:
            path.unlink(missing_ok=True)
            if is_made:
                with contextlib.suppress(OSError):  # another process has written there
                    folder.rmdir()
        raise


def _enter(folder: pathlib.Path, settings: dict):
    """Make the folder of a new search, or check that the folder holds this one."""
    path = folder / "search.json"
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            # A file of an earlier version may name a setting otherwise.
            before["recipe"] = Recipe.from_dict(before["recipe"]).to_dict()
            other = [name for name, value in settings.items() if before[name] != value]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"Not readable settings of a search ({error}). Received: {str(path)!r}") from error
        if other:
            raise ValueError(
                f"The folder holds a search with another {', '.join(other)}; choose another folder. "
                f"Received: {str(folder)!r}"
            )
    elif folder.exists() and any(folder.iterdir()) and not is_worker():
        raise ValueError(f"The folder of a new search must be empty. Received: {str(folder)!r}")
    else:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"The folder cannot be made ({error}). Received: {str(folder)!r}") from error
        if not is_worker():
            files.replace(path, json.dumps(settings, indent=2).encode())
    if not is_worker() and (folder / "oracle.json").exists():
        # Keras Tuner continues a search if the (empty) file of the tuner exists, which it writes after a trial.
        (folder / f"{tuner_id()}.json").write_text("{}")
