"""The four search methods, as oracles of Keras Tuner that start with the default values and survive interruptions."""

from __future__ import annotations

import copy
import datetime
import itertools
import json
import math
import pathlib
import re
import shutil
import sys
import time

import keras_tuner as kt
from keras_tuner.engine.hyperparameters import Choice, Float
from keras_tuner.engine.trial import Trial, TrialStatus

from keras_pdecnn.utils import files

_ENDED = (TrialStatus.COMPLETED, TrialStatus.FAILED)
REASON = "failure.txt"
"""File in the folder of a trial with the reason of its failure, which workers cannot send to the chief."""
_TRACEBACK = "Traceback (most recent call last):"
# First lines that tell only where an exception was raised, by TensorFlow and by Keras, and lines that say no more.
_VAGUE = re.compile(r"$|.*Graph execution error:$|Exception encountered when calling ")
_UNINFORMATIVE = ("Detected at node", "Node:", "<stack traces unavailable>", "Hint:", "Arguments received by")


class SearchOracle(kt.Oracle):
    """The base of the oracles of this module, and what they add to Keras Tuner's.

    * The first trial has the default values.
    * The search ends when a number of epochs is used up, or when a number of trials in a row has failed. Keras Tuner
      raises an exception instead, which ends a worker but not the chief.
    * The file of the oracle holds all trials and is replaced as a whole, and a copy of the state before the last change
      lies beside it. After a kill at any moment, finished trials are kept and unfinished ones are tried again. An error
      names a damaged file.
    * With a chief and workers, a trial stays with its worker when the chief is started again. The trial of a worker
      that has been silent for too long goes to the next one that asks. No worker ends before the last trial has ended.

    Args:
        folder: Folder of the search.
        epochs: Number of epochs of a trial, unless the oracle sets it.
        budget: Number of epochs of all trials together; no trial starts once they are used up. Default None, no limit.
        max_failures: Number of failed trials in a row that end the search; default 10.
        patience: Seconds after which a silent worker is given up; default 60.
        **kwargs: Arguments of the oracle.
    """

    def __init__(self, *, folder, epochs, budget=None, max_failures=10, patience=60.0, **kwargs):
        super().__init__(max_consecutive_failed_trials=sys.maxsize, **kwargs)
        self.folder = pathlib.Path(folder)
        self.epochs, self.budget = epochs, budget
        self.max_failures = max_failures
        self.patience = patience
        self._limits_at_end = None
        self._found_none = False
        self._start = time.monotonic()
        self._heard = {}

    # The values that are tried.

    def populate_space(self, trial_id):
        if self.gave_up or (self.budget is not None and self._handed_out() >= self.budget):
            return {"status": TrialStatus.STOPPED, "values": None}
        first = not self.start_order
        response = super().populate_space(trial_id)
        self._found_none = response["status"] == TrialStatus.STOPPED
        if first and response["status"] == TrialStatus.RUNNING:
            defaults = kt.HyperParameters()
            defaults.merge(self.get_space())
            # Hyperband's own entries, such as the number of epochs, stay.
            own = {name: value for name, value in response["values"].items() if name.startswith("tuner/")}
            response["values"] = defaults.values | own
        return response

    @property
    def gave_up(self) -> bool:
        """Whether the search has ended because too many trials in a row have failed."""
        last = self.end_order[-self.max_failures :]
        return len(last) == self.max_failures and all(self.trials[i].status == TrialStatus.FAILED for i in last)

    def exhaustion(self) -> str | None:
        """Return a sentence about a search that has ended because there are no new values to try; otherwise None."""
        if not self._found_none:
            return None
        tried, count = self._counts()
        if count is not None and tried >= count:
            return f"The search space is exhausted: all {count} combinations have been tried."
        return self._end_of_draws(tried, count)

    def _counts(self) -> tuple[int, int | None]:
        """Return the number of combinations that have been tried, and of all; None if there is a continuous range."""
        return len({_values(trial) for trial in self.trials.values()}), _count(self.get_space())

    def _end_of_draws(self, tried: int, count: int | None) -> str | None:
        of_all = "" if count is None else f" of {count}"
        return (
            f"The search has ended after {tried}{of_all} combinations: random draws give no new ones. "
            "--method grid tries all that are left."
        )

    @property
    def finished(self) -> bool:
        """Whether the search has ended, with the present limits."""
        return self._limits_at_end == self._limits()

    def trial_epochs(self, trial: Trial) -> int:
        """Return the number of epochs after which a trial stops, including those of a trial that it continues."""
        return trial.hyperparameters.values.get("tuner/epochs", self.epochs)

    def _handed_out(self) -> int:
        before = [trial.hyperparameters.values.get("tuner/initial_epoch", 0) for trial in self.trials.values()]
        return sum(map(self.trial_epochs, self.trials.values())) - sum(before)

    def _limits(self) -> list:
        return [self.max_trials, self.budget, self.max_failures]

    # The workers.

    @kt.synchronized
    def create_trial(self, tuner_id):
        self._heard[tuner_id] = time.monotonic()
        lost = [other for other in self.ongoing_trials if other != tuner_id and self._is_silent(other)]
        if lost and tuner_id not in self.ongoing_trials:
            self.ongoing_trials[tuner_id] = self.ongoing_trials.pop(lost[0])
            self.tuner_ids.discard(lost[0])
            self.tuner_ids.add(tuner_id)
            self.save()
            if self.verbose:
                trial_id = self.ongoing_trials[tuner_id].trial_id
                print(f"{lost[0]} has not been heard of: {tuner_id} tries its trial {trial_id} again.")
        trial = super().create_trial(tuner_id)
        if trial.status == TrialStatus.STOPPED:
            if self.ongoing_trials:
                # Another worker is busy. If it is lost, this one takes over its trial.
                self.tuner_ids.add(tuner_id)
                trial.status = TrialStatus.IDLE
            elif not self.finished:
                self._limits_at_end = self._limits()
                self.save()
        return trial

    def get_trial(self, trial_id):
        # A worker asks for its trial every few seconds, as a sign of life.
        self._heard[trial_id] = time.monotonic()
        return super().get_trial(trial_id)

    @kt.synchronized
    def update_trial(self, trial_id, metrics, step=0):
        if trial_id in self.end_order:  # by a worker that was given up too early
            return self.trials[trial_id]
        return super().update_trial(trial_id, metrics, step=step)

    @kt.synchronized
    def end_trial(self, trial):
        if trial.trial_id in self.end_order:
            return
        if trial.status != TrialStatus.COMPLETED and not trial.message:
            # Workers cannot send the message.
            path = self.folder / f"trial_{trial.trial_id}" / REASON
            trial.message = path.read_text(encoding="utf-8") if path.exists() else None
        if self.verbose and trial.status != TrialStatus.COMPLETED:
            print(f"\nTrial {trial.trial_id} failed: {reason(trial)}")
        super().end_trial(trial)

    @kt.synchronized
    def forget_silent(self):
        """Forget silent workers that have no trial, so that the chief does not wait for them."""
        self.tuner_ids -= {i for i in self.tuner_ids if i not in self.ongoing_trials and self._is_silent(i)}

    def _is_silent(self, tuner_id) -> bool:
        names = [tuner_id]
        if tuner_id in self.ongoing_trials:
            names.append(self.ongoing_trials[tuner_id].trial_id)
        heard = max(self._heard.get(name, self._start) for name in names)
        return time.monotonic() - heard > self.patience

    # The files.

    def get_state(self):
        trials = {trial_id: trial.get_state() for trial_id, trial in self.trials.items()}
        return {**super().get_state(), "trials": trials, "limits_at_end": self._limits_at_end}

    def set_state(self, state):
        state = copy.deepcopy(state)
        for trial_id, kept in state["trials"].items():
            if trial_id not in self.trials:
                self.trials[trial_id] = Trial.from_state(kept)
                folder = self.folder / f"trial_{trial_id}"
                folder.mkdir(exist_ok=True)
                self.trials[trial_id].save(str(folder / "trial.json"))
        # The files of the trials are written just before that of the oracle, which a kill may prevent.
        for trial_id in sorted(self.trials):
            ended = self.trials[trial_id].status in _ENDED
            if trial_id not in state["start_order"]:
                state["start_order"].append(trial_id)
                if not ended:
                    state["retry_queue"].append(trial_id)
            if ended and trial_id not in state["end_order"]:
                state["end_order"].append(trial_id)
        ongoing = {i: trial for i, trial in state["ongoing_trials"].items() if trial not in state["end_order"]}
        display, now = state["display"], datetime.datetime.now().isoformat()
        display["search_start"] = display["search_start"] or now
        for number, trial_id in enumerate(state["start_order"], start=1):
            display["trial_start"].setdefault(trial_id, now)
            display["trial_number"].setdefault(trial_id, number)
        # Keras Tuner would give these trials to the first worker that asks, while others may still be training them.
        self._interrupted = ongoing
        super().set_state({**state, "ongoing_trials": {}})
        self._limits_at_end = state["limits_at_end"]

    def save(self):
        path, content = self.folder / "oracle.json", json.dumps(self.get_state()).encode()
        if path.exists():
            shutil.copyfile(path, self.folder / "oracle.previous.json")
        files.replace(path, content)

    def reload(self):
        for path in sorted(self.folder.glob("trial_*/trial.json")):
            try:
                Trial.load(str(path))
            except Exception as error:  # a damaged file raises half a dozen types
                raise ValueError(
                    f"Not a readable trial ({_short(error)}). Delete it, and what oracle.json holds of this "
                    f"trial is used instead. Received: {str(path)!r}"
                ) from error
        path = self.folder / "oracle.json"
        try:
            super().reload()
        except Exception as error:
            raise ValueError(
                f"Not a readable state of a search ({_short(error)}). Replace it by oracle.previous.json, the state "
                f"before the last change; the trials have files of their own. Received: {str(path)!r}"
            ) from error
        self.ongoing_trials = {tuner_id: self.trials[trial_id] for tuner_id, trial_id in self._interrupted.items()}


def reason(trial) -> str | None:
    """Return the reason why a trial failed in one line; None if it did not fail."""
    if trial.status == TrialStatus.COMPLETED or not trial.message:
        return None
    if _TRACEBACK not in trial.message:
        return trial.message
    message = re.sub(r"\x1b\[[0-9;]*m", "", trial.message)  # Keras prints some text in bold
    lines = message.rpartition(_TRACEBACK)[2].splitlines()
    # The calls of a traceback are indented. The first line that is not names the exception.
    start = next((i for i, line in enumerate(lines) if _is_flush(line)), len(lines))
    kind, _, text = lines[start].partition(": ") if start < len(lines) else ("Error", "", "unknown")
    if _VAGUE.match(text.strip()):
        rest = [line for line in lines[start + 1 :] if not line.startswith(_UNINFORMATIVE)]
        memory = [line for line in rest if "OOM" in line or "out of memory" in line.lower()]
        details = memory or [line for line in rest if _is_flush(line)]
        text = " ".join([text, *details[:1]])
    return ": ".join(filter(None, [kind.rpartition(".")[2], " ".join(text.split())]))


def _is_flush(line: str) -> bool:
    """Return whether a line holds something and is not indented."""
    return bool(line[:1].strip())


def _values(trial: Trial) -> tuple:
    """Return the values of a trial, without what a method adds to them."""
    values = trial.hyperparameters.values.items()
    return tuple(sorted((name, str(value)) for name, value in values if not name.startswith("tuner/")))


def _count(space: kt.HyperParameters) -> int | None:
    """Return the number of combinations of the values of a space; None if it has a continuous range."""
    if any(isinstance(hp, Float) and hp.step is None for hp in space.space):
        return None
    return math.prod(len(_grid_values(hp)) for hp in space.space)


def _short(error) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class RandomSearch(SearchOracle, kt.oracles.RandomSearchOracle):
    """Random search."""


class BayesianSearch(SearchOracle, kt.oracles.BayesianOptimizationOracle):
    """Bayesian optimisation with a Gaussian process. Where Keras Tuner's would repeat a trial, values are drawn."""

    def populate_space(self, trial_id):
        response = super().populate_space(trial_id)
        # What has been tried, and draws without it, are private in Keras Tuner.
        if response["status"] == TrialStatus.RUNNING and self._duplicate(response["values"]):
            values = self._random_values()
            self._found_none = values is None
            response = {"status": TrialStatus.STOPPED if values is None else TrialStatus.RUNNING, "values": values}
        return response


class HyperbandSearch(SearchOracle, kt.oracles.HyperbandOracle):
    """Hyperband: many networks are trained for a few epochs, and the better ones for more.

    Where draws give fewer new networks than a bracket begins with, the bracket goes on with those that it has. Keras
    Tuner's search ends there, before any network of the bracket has been trained for longer.
    """

    def __init__(self, *, max_trials=None, **kwargs):
        super().__init__(**kwargs)
        self.max_trials = max_trials

    def _end_of_draws(self, tried, count):
        return None  # the end of its schedule

    # No public method of Keras Tuner sees a bracket. Its entries are saved with the state.

    def _random_trial(self, trial_id, bracket):
        response = super()._random_trial(trial_id, bracket)
        if response["status"] == TrialStatus.RUNNING:
            return response
        bracket["drawn"] = len(bracket["rounds"][0])
        return kt.oracles.HyperbandOracle.populate_space(self, trial_id)

    def _get_size(self, bracket_num, round_num):
        drawn = [b["drawn"] for b in self._brackets if b["bracket_num"] == bracket_num and "drawn" in b]
        return min([super()._get_size(bracket_num, round_num), *drawn[-1:]])


class _Grid(kt.Oracle):
    def populate_space(self, trial_id):
        hps = self.get_space()
        tried = [trial.hyperparameters.values for trial in self.trials.values()]
        for combination in itertools.product(*map(_grid_values, hps.space)):
            hps.values = {hp.name: value for hp, value in zip(hps.space, combination, strict=True)}
            hps.ensure_active_values()
            if hps.values not in tried:
                return {"status": TrialStatus.RUNNING, "values": dict(hps.values)}
        return {"status": TrialStatus.STOPPED, "values": None}


def _grid_values(hp) -> list:
    values = hp.values if isinstance(hp, Choice) else sorted(hp.values)
    return [hp.default, *(value for value in values if value != hp.default)]


class GridSearch(SearchOracle, _Grid):
    """All combinations, the default values first and the last hyperparameter varying fastest.

    The grid search of Keras Tuner does not save its place and cannot be continued. As in Keras Tuner, ten values of a
    continuous range are tried.
    """

    def _end_of_draws(self, tried, count):
        return f"The search space is exhausted: all {tried} combinations of the grid have been tried."


METHODS = {
    "random": RandomSearch,
    "bayesian": BayesianSearch,
    "hyperband": HyperbandSearch,
    "grid": GridSearch,
}
"""The oracles by name."""
