"""The space of a search: hyperparameters of a network and its training, and the recipe that their values stand for."""

from __future__ import annotations

import dataclasses
import math
import statistics

import keras_tuner as kt

from keras_pdecnn.networks import NETWORKS
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.tuning.sizes import first_space
from keras_pdecnn.utils import arguments

_WHOLE = ("blocks", "width", "steps", "batch_size")
_LINEAR = (*_WHOLE, "growth")  # the others are searched on a logarithmic scale
_TEXT = ("architecture", "activation")


class Space:
    """Hyperparameters around a recipe. A setting that is not searched has the value of the recipe.

    The width of block i is that of the recipe, w_i, changed in proportion and rounded to an even number:
    w_i * (width / w_0) * (growth / g)^i, where g is the growth of the recipe. Beyond the last block of the recipe,
    w_i grows on by the factor g. With the recipe's own values the result is exactly the recipe.

    Args:
        recipe: The recipe to start from.
        input_shape: (*space, channels) of an example.
        settings: One entry for each of `searches.NAMES`: True, its default range; False, the recipe's value; a tuple
            (low, high); a list of choices; or any other value, which is then fixed.
        final_time: T = steps * step_size of every block, held fixed; None, step_size is a setting like the others.

    Raises:
        ValueError: If a range is malformed, a value in it is not possible, or nothing is left to search.
    """

    def __init__(self, recipe: Recipe, input_shape, settings: dict, final_time: float | None = None):
        self.recipe = recipe
        self.final_time = None if final_time is None else arguments.check_positive("final_time", final_time)
        self._own = _own_values(recipe)
        self.fixed, self.ranges = {}, {}
        for name, setting in settings.items():
            if name == "step_size" and self.final_time is not None:
                if not isinstance(setting, bool):
                    raise ValueError(
                        "step_size is final_time / steps and has no range of its own. "
                        f"Received: step_size={arguments.describe(setting)}, "
                        f"final_time={arguments.describe(final_time)}"
                    )
            elif setting is True:
                self.ranges[name] = _default_range(name, recipe, input_shape)
            elif isinstance(setting, tuple | list):
                self.ranges[name] = _check_range(name, setting)
            elif arguments.is_array(setting):
                raise ValueError(
                    f"{name} must be True, False, a range, a list of choices or one value. "
                    f"Received: {name}={arguments.describe(setting)}"
                )
            elif setting is not False:
                self.fixed[name] = setting
        if not self.ranges:
            raise ValueError(
                f"There is nothing to search: every setting is fixed. Received: {arguments.describe(settings)}"
            )
        for name, values in self.ranges.items():
            for value in values:  # the ends of a range, or all choices
                self._apply({**self.fixed, name: value})

    def declare(self, hp: kt.HyperParameters) -> dict:
        """Declare the hyperparameters and return their values; the default is the recipe's value or the nearest one."""
        return {name: self._declare(hp, name, values) for name, values in self.ranges.items()}

    def to_recipe(self, hp: kt.HyperParameters) -> Recipe:
        """Return the recipe that the values of the hyperparameters stand for."""
        return self._apply({**self.fixed, **self.declare(hp)})

    def _declare(self, hp, name, values):
        start = self._own[name]
        if isinstance(values, list):
            if start not in values:
                start = values[0] if name in _TEXT else min(values, key=lambda value: abs(value - start))
            return hp.Choice(name, values, default=start)
        low, high = values
        start = min(max(start, low), high)
        if name in _WHOLE:
            return hp.Int(name, low, high, step=2 if name == "width" else 1, default=start)
        sampling = "linear" if name in _LINEAR or low <= 0 else "log"
        return hp.Float(name, low, high, sampling=sampling, default=start)

    def _apply(self, values: dict) -> Recipe:
        """Return the recipe with these values; a value that is the recipe's own changes nothing."""
        recipe = self.recipe
        values = {name: value for name, value in values.items() if value != self._own[name]}
        changes = {name: values[name] for name in values if name not in ("blocks", "width", "growth", "learning_rate")}
        if not values.keys().isdisjoint(("blocks", "width", "growth")):
            changes |= self._widths(values)
        if "learning_rate" in values:
            factor = values["learning_rate"] / recipe.learning_rates[0]
            changes["learning_rates"] = tuple(factor * rate for rate in recipe.learning_rates)
        name = str(values.get("architecture"))
        network = NETWORKS.get(name) or NETWORKS.get(name.replace("-", "_"))
        if network is not None:  # another one than the recipe's; an unknown name is reported by the new recipe
            if recipe.backprop == "reversible" and not network.is_reversible:
                changes["backprop"] = None
            if _has_rule(recipe) and not network.has_step_limit:
                changes.setdefault("step_size", self._own["step_size"])
        if self.final_time is not None:
            steps = changes.get("steps", recipe.steps)
            several = isinstance(steps, tuple)
            changes["step_size"] = tuple(self.final_time / n for n in steps) if several else self.final_time / steps
        return dataclasses.replace(recipe, **changes)

    def _widths(self, values: dict) -> dict:
        recipe, own = self.recipe, self._own
        count = arguments.check_positive_integer("blocks", values.get("blocks", own["blocks"]))
        factor = arguments.check_positive("width", values.get("width", own["width"])) / own["width"]
        growth = arguments.check_positive("growth", values.get("growth", own["growth"])) / own["growth"]
        widths = []
        for i in range(count):
            beyond = max(0, i + 1 - len(recipe.widths))
            width = recipe.widths[i - beyond] * own["growth"] ** beyond * factor * growth**i
            widths.append(2 * max(1, round(width / 2)))
        changes: dict = {"widths": tuple(widths)}
        if recipe.head_width is not None:
            changes["head_width"] = max(1, round(recipe.head_width * widths[-1] / recipe.widths[-1]))
        if count != own["blocks"]:
            # What the recipe says block by block cannot be continued.
            names = [name for name in ("steps", "step_size", "max_step_size") if name not in values]
            changes |= {name: own[name] for name in names if isinstance(getattr(recipe, name), tuple)}
        return changes


def mean_step_size(recipe: Recipe) -> float:
    """Return the mean step size of the blocks; an automatic one counts as its upper bound."""
    sizes = zip(_per_block(recipe, "step_size"), _per_block(recipe, "max_step_size"), strict=True)
    return statistics.mean(largest if isinstance(h, str) else h for h, largest in sizes)


def _has_rule(recipe: Recipe) -> bool:
    """Return whether some step size is computed from the weights instead of being a number."""
    return any(isinstance(h, str) for h in _per_block(recipe, "step_size"))


def _per_block(recipe: Recipe, name: str) -> tuple:
    return arguments.per_entry(name, getattr(recipe, name), len(recipe.widths), "block")


def _own_values(recipe: Recipe) -> dict:
    """Return the recipe's value of each hyperparameter, one number for what it says block by block."""
    widths, count = recipe.widths, len(recipe.widths)
    steps = recipe.steps if isinstance(recipe.steps, int) else round(statistics.mean(recipe.steps))
    return {
        "architecture": recipe.architecture,
        "blocks": count,
        "width": widths[0],
        "growth": (widths[-1] / widths[0]) ** (1 / (count - 1)) if count > 1 else 2.0,
        "steps": steps,
        "step_size": mean_step_size(recipe),
        "max_step_size": statistics.mean(_per_block(recipe, "max_step_size")),
        "activation": recipe.activation,
        "time_smoothness": recipe.time_smoothness,
        "weight_decay": recipe.weight_decay,
        "learning_rate": recipe.learning_rates[0],
        "batch_size": recipe.batch_size,
    }


def _default_range(name: str, recipe: Recipe, input_shape) -> tuple | list:
    own = _own_values(recipe)
    # Every connector but the last halves each axis.
    sides = [side for side in first_space(recipe, input_shape) if side]
    ranges: dict = {
        "architecture": [name for name in NETWORKS if not recipe.provable or NETWORKS[name].has_step_limit],
        "blocks": (1, min(4, int(math.log2(min(sides, default=8))) + 1)),
        "width": (2 * max(1, own["width"] // 4), 2 * own["width"]),
        "growth": (1.0, 2.5),
        "steps": (1, 8),
        "activation": list(dict.fromkeys([*_activations(recipe), own["activation"]])),
        "batch_size": sorted({max(1, own["batch_size"] // 2), own["batch_size"], 2 * own["batch_size"]}),
    }
    ranges |= {key: (own[key] / 10, 3 * own[key]) for key in ("step_size", "learning_rate")}
    ranges |= {key: sorted({0.0, 1e-5, 1e-4, 1e-3, 1e-2, own[key]}) for key in ("time_smoothness", "weight_decay")}
    return ranges[name]


def _activations(recipe: Recipe) -> list[str]:
    """Return the activations that suit the normalisation and the step size: with "silu" no automatic one is known."""
    if recipe.normalization == "shrinkage":
        return ["relu", "linear"]
    return ["relu", "tanh"] if recipe.provable or _has_rule(recipe) else ["relu", "tanh", "silu"]


def _check_range(name: str, values) -> tuple | list:
    kind = str if name in _TEXT else int if name in _WHOLE else float

    def suits(value) -> bool:
        if kind is str:
            return isinstance(value, str)
        # int() of an infinite number or of nan would be an error of its own.
        finite = arguments.is_number(value) and abs(value) <= arguments.LARGEST
        return finite and (kind is float or value == int(value))

    fits = len(values) > 0 and all(map(suits, values))
    if isinstance(values, tuple):
        fits = fits and kind is not str and len(values) == 2 and values[0] <= values[1]
    if not fits:
        what = "a list of names"
        if kind is not str:
            what = f"(low, high) or a list of {'integers' if kind is int else 'finite numbers'}"
        raise ValueError(f"The range of {name} must be {what}. Received: {name}={arguments.describe(values)}")
    values = type(values)(kind(value) for value in values)
    return values if isinstance(values, tuple) else list(dict.fromkeys(values))
