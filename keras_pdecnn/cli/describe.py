"""The command `keras-pdecnn describe`."""

from __future__ import annotations

import dataclasses

import click

from keras_pdecnn.cli import progress
from keras_pdecnn.cli.command import Command
from keras_pdecnn.cli.settings import (
    WrongInput,
    chosen_recipe,
    given_options,
    import_tensorflow,
    one_line,
    recipe_options,
    suggest,
)
from keras_pdecnn.networks import NETWORKS
from keras_pdecnn.recipes import RECIPES, Recipe
from keras_pdecnn.tasks import DEFAULT
from keras_pdecnn.utils import arguments, tables

_CHANNELS = 3
_TIMED = 3  # steps of training


@click.command(cls=Command)
@click.option(
    "--recipe",
    metavar="NAME",
    default="cifar10",
    show_default=True,
    help=f"Recipe of the networks: {', '.join(RECIPES)}.",
)
@click.option(
    "--sizes",
    default="32,96,224,512",
    show_default=True,
    help="Sides of the images in pixels, with commas between them; they have three channels.",
)
@click.option(
    "--classes", type=click.IntRange(1), default=10, show_default=True, help="Number of classes or other outputs."
)
@click.option(
    "--measure",
    is_flag=True,
    help="Measure time and memory of training on this machine, too, each network in a process of its own.",
)
@recipe_options
@click.pass_context
def describe(ctx, recipe, sizes, classes, measure, **settings):
    """Print how large networks are, before anything is trained: weights, multiply-adds and memory.

    There is a line for each of the networks, or for --architecture alone, and each size of images. Multiply-adds are
    those of the prediction of one image. Memory is an estimate of what training takes for a batch of --batch-size
    images, with the way to take the gradient that --backprop names, and with stored activations.
    """
    changes = {name: settings[name] for name in given_options(ctx, settings)}
    chosen = chosen_recipe(None, arguments.check_choice("recipe", recipe, tuple(RECIPES)), changes)
    names = [chosen.architecture] if "architecture" in changes else list(NETWORKS)
    recipes = [_of(chosen, name) for name in names]
    pixels = _check_sizes(sizes)
    if measure and chosen.task != DEFAULT:
        raise WrongInput(f"Only classifiers are measured. Received: --measure, task={chosen.task!r}")
    import_tensorflow("describe")
    wanted = [(recipe, size) for size in pixels for recipe in recipes if recipe is not None]
    shown = progress.bar(wanted, lambda item: f"{NETWORKS[item[0].architecture].label}, {item[1]} x {item[1]}")
    rows = [_row(recipe, size, classes, measure) for recipe, size in shown]
    heads = ["network", "pixels", "weights", "multiply-adds", "memory, GB", "stored, GB"]
    heads += ["images/s", "measured, GB"] * measure
    click.echo(tables.markdown(heads, rows), nl=False)
    click.echo(
        f"Batches of {chosen.batch_size} images, {classes} {'classes' if chosen.task == DEFAULT else 'outputs'}."
    )
    if len(chosen.levels) > 1:
        for number, level in enumerate(chosen.levels, start=1):
            click.echo(f"Level {number} of {len(chosen.levels)}: {level.words}.")
    suggest("keras-pdecnn train DATASET with the same options")


def _of(recipe: Recipe, architecture: str) -> Recipe | None:
    """Return the recipe with another network; None if it does not go with the other settings."""
    try:
        return dataclasses.replace(recipe, architecture=architecture)
    except ValueError:
        if architecture == recipe.architecture:
            raise
        return None


def _check_sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise WrongInput(f"sizes must be integers with commas between them. Received: sizes={text!r}")
    return sizes


def _row(recipe: Recipe, size: int, classes: int, measure: bool) -> list[str]:
    from keras_pdecnn.tuning.sizes import count_multiply_adds, count_weights, training_memory

    shape = (size, size, _CHANNELS)
    stored = dataclasses.replace(recipe, backprop="stored")
    row = [
        NETWORKS[recipe.architecture].label,
        f"{size} x {size}",
        f"{count_weights(recipe, shape, classes):,}",
        f"{count_multiply_adds(recipe, shape, classes) / 1e6:,.1f} M",
        f"{training_memory(recipe, shape, classes) / 1e9:.2f}",
        f"{training_memory(stored, shape, classes) / 1e9:.2f}",
    ]
    return row + _measured(recipe, size, classes) if measure else row


def _measured(recipe: Recipe, size: int, classes: int) -> list[str]:
    """Return the images per second and the memory of a step of training, as text."""
    from keras_pdecnn import models
    from keras_pdecnn.benchmarks import suite
    from keras_pdecnn.benchmarks.references import reference

    settings = {**recipe.network_settings(), "architecture": reference(NETWORKS[recipe.architecture].builder, models)}
    settings |= {"batch": recipe.batch_size, "size": size, "classes": classes, "repetitions": _TIMED, "warmup": 1}
    try:
        result = suite.run([suite.Measurement("network", "network", settings)])["rows"]["network"][0]
    except RuntimeError as error:
        raise click.ClickException(one_line(error)) from error
    return [f"{recipe.batch_size / result['step_s']:.1f}", f"{result['peak_bytes'] / 1e9:.2f}"]
