"""Which settings of a recipe go together."""

from __future__ import annotations

from keras_pdecnn.networks import NETWORKS
from keras_pdecnn.recipes.checks import MARGIN_LOSSES
from keras_pdecnn.tasks import TASKS
from keras_pdecnn.utils import arguments


def check_network(recipe):
    """Raise ValueError if settings of the network do not fit together."""
    for name in ("steps", "step_size", "max_step_size"):
        arguments.per_entry(name, getattr(recipe, name), len(recipe.widths), "block")
    if recipe.basis_size is not None and recipe.time_basis is None:
        raise ValueError(f"basis_size needs a time_basis. Received: basis_size={recipe.basis_size}, time_basis=None")
    if recipe.spectrogram_step is not None and recipe.spectrogram is None:
        raise ValueError(
            "spectrogram_step needs a spectrogram. "
            f"Received: spectrogram_step={recipe.spectrogram_step}, spectrogram=None"
        )
    if recipe.provable and recipe.spectrogram is not None:
        raise ValueError(
            "No Lipschitz bound of a spectrogram is known, so that a provable network has none. "
            f"Received: provable=True, spectrogram={recipe.spectrogram}"
        )
    if recipe.provable and not NETWORKS[recipe.architecture].has_step_limit:
        raise ValueError(
            "A provable network needs a known limit of its step size, and this one has none. "
            f"Received: provable=True, architecture={recipe.architecture!r}"
        )
    if recipe.provable and recipe.normalization == "tv":
        raise ValueError(
            "A provable network needs the normalization None, 'scale' or 'shrinkage'. "
            "Received: provable=True, normalization='tv'"
        )
    if recipe.provable and recipe.backprop == "reversible" and not NETWORKS[recipe.architecture].is_reversible:
        raise ValueError(
            "Steps that cannot be undone become reversible by a coupling, of which no Lipschitz bound is proved. "
            f"Received: provable=True, architecture={recipe.architecture!r}, backprop='reversible'"
        )


def check_margins(recipe):
    """Raise ValueError if settings of provable networks and of their losses do not fit together."""
    if recipe.orthogonal and not recipe.provable:
        raise ValueError("orthogonal=True needs a provable network. Received: orthogonal=True, provable=False")
    if recipe.loss in MARGIN_LOSSES and not recipe.provable:
        raise ValueError(
            "A loss that asks for margins needs a provable network: others reach any margin by larger weights. "
            f"Received: loss={recipe.loss!r}, provable=False"
        )
    users = {"margin": MARGIN_LOSSES, "temperature": MARGIN_LOSSES[:2]}
    for name, losses in users.items():
        value = getattr(recipe, name)
        if value is not None and recipe.loss not in losses:
            raise ValueError(
                f"{name} belongs to the losses {', '.join(map(repr, losses))}. "
                f"Received: {name}={value}, loss={recipe.loss!r}"
            )


def check_training(recipe):
    """Raise ValueError if settings of the training do not fit together."""
    if len(recipe.learning_rates) != len(recipe.epochs):
        raise ValueError(
            "learning_rates and epochs must have one entry for each phase of the training. "
            f"Received: learning_rates={recipe.learning_rates}, epochs={recipe.epochs}"
        )
    if recipe.schedule == "piecewise" and recipe.warmup:
        raise ValueError(
            "A warm-up needs the schedule 'cosine' or 'one_cycle'. "
            f"Received: warmup={recipe.warmup}, schedule='piecewise'"
        )
    if recipe.schedule != "piecewise" and len(recipe.epochs) > 1:
        raise ValueError(
            "A schedule other than 'piecewise' has one learning rate, the largest, and one number of epochs. "
            f"Received: schedule={recipe.schedule!r}, learning_rates={recipe.learning_rates}, epochs={recipe.epochs}"
        )
    _check_levels(recipe)
    if recipe.nesterov and (recipe.optimizer != "sgd" or not recipe.momentum):
        raise ValueError(
            "Nesterov's momentum is for the optimizer 'sgd' with a momentum above 0. "
            f"Received: nesterov=True, optimizer={recipe.optimizer!r}, momentum={recipe.momentum}"
        )
    if recipe.loss != "classification":
        for name in ("label_smoothing", "mixup", "cutmix"):
            if getattr(recipe, name):
                raise ValueError(
                    f"{name} makes probabilities of labels, which need the loss 'classification'. "
                    f"Received: {name}={getattr(recipe, name)}, loss={recipe.loss!r}"
                )
    if recipe.evaluate_flipped and not recipe.flip:
        raise ValueError(
            "An evaluation with mirrored copies needs a network that was trained with them. "
            "Received: evaluate_flipped=True, flip=False"
        )


def _check_levels(recipe):
    """Raise ValueError if the levels of a multilevel training do not suit the network."""
    for level in recipe.levels:
        try:
            arguments.per_entry("steps", level.steps, len(recipe.widths), "block")
        except ValueError as error:
            raise ValueError(f"A level has a wrong number of steps. {error}") from error
        if level.factor != 1 and recipe.spectrogram is not None:
            raise ValueError(
                "A spectrogram has the frequencies of its signals, which cannot be made smaller. "
                f"Received: refinement={','.join(recipe.refinement)}, spectrogram={recipe.spectrogram}"
            )
        if level.factor != 1 and not TASKS[recipe.task].has_labels:
            raise ValueError(
                "Only a classification is trained on smaller images: they would change what other tasks predict. "
                f"Received: refinement={','.join(recipe.refinement)}, task={recipe.task!r}"
            )
