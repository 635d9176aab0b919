"""The command `keras-pdecnn explain`: a page that shows what the network of a run does."""

from __future__ import annotations

import os
import pathlib

import click

from keras_pdecnn.cli import progress
from keras_pdecnn.cli.command import Command
from keras_pdecnn.cli.paths import ExistingPath
from keras_pdecnn.cli.settings import WrongInput, import_tensorflow, one_line, suggest
from keras_pdecnn.networks import label
from keras_pdecnn.tasks import TASKS

_SHOWN = 6  # number of test examples on the page if no image is given


@click.command(cls=Command)
@click.argument("run", type=ExistingPath("The run folder"))
@click.argument("images", nargs=-1, type=ExistingPath("The image or folder"), metavar="[IMAGE]...")
@click.option("--output", type=click.Path(path_type=pathlib.Path), help="File to write.  [default: RUN/explain.html]")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists; without it, that is an error.")
def explain(run, images, output, overwrite):
    """Write a page that shows what the network of the folder RUN does, as one HTML file.

    An IMAGE is an image, a .wav file for a network of signals, a video for a network of video, an .npz file with
    examples under x or x_test, or a folder of such files; a page shows up to 16 examples. Without one, the page shows
    some test examples of the data set of the run. It opens in any browser, also offline, and shows what speaks for the
    predicted class (saliency, SmoothGrad, class-activation maps), features, energy and the growth of a small change
    over time, the weights over time, and the kernels as differential operators.
    """
    from keras_pdecnn.runs import RunFolder

    folder = RunFolder(run)
    output = folder.path / "explain.html" if output is None else output.expanduser()
    recipe, info = folder.read_config()
    if not TASKS[recipe.task].has_labels:
        raise WrongInput(
            "A page explains which class an example has; `stability` and the pictures of the run show networks for "
            f"other tasks. Received: task={recipe.task!r}"
        )
    if os.path.lexists(output) and (output.is_dir() or not overwrite):
        raise WrongInput(f"The page must not exist yet, unless --overwrite is given. Received: {str(output)!r}")
    if not output.parent.is_dir():
        raise WrongInput(f"The folder of the page does not exist. Received: {str(output)!r}")

    import numpy as np

    from keras_pdecnn import inference, training
    from keras_pdecnn.explain.sections import MOST_EXAMPLES, page
    from keras_pdecnn.training.failures import report_unreadable
    from keras_pdecnn.utils import files

    found = list(inference.find(images, videos=len(info.input_shape) == 4))
    if len(found) > MOST_EXAMPLES:  # before all of them are read
        raise WrongInput(f"A page shows at most {MOST_EXAMPLES} examples. Received: {len(found)} files")
    progress.announce("Explaining the examples")
    model = folder.load_model()
    if found:
        shape, rate = info.input_shape, info.sampling_rate
        read = [inference.read_examples(file, shape, rate, info.crop) for file in found]
        names = [name for file, x in zip(found, read, strict=True) for name in inference.example_names(file, len(x))]
        x, labels = np.concatenate(read), None
    else:
        import_tensorflow("explain")
        dataset = training.load_like(recipe, info)
        with report_unreadable():
            x, labels = dataset.evaluation["test"].spread(_SHOWN)
        names = [f"test example {i}" for i in range(1, len(x) + 1)]
    weights = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    kind = label(recipe.architecture)
    article = "An" if kind[0].lower() in "aeiou" else "A"
    facts = [f"{article} {kind} network, trained on {info.name} ({info.classes} classes)."]
    facts.append(
        f"{len(model.blocks)} blocks of widths {', '.join(map(str, recipe.widths))}; steps: {_text(recipe.steps)}; "
        f"step size: {_text(recipe.step_size)}; {weights:,} weights."
    )
    if folder.metrics.is_file():
        facts.append(f"Accuracy on the test part: {100 * folder.read_metrics()['accuracy']:.2f} %.")
    text = page(model, x, info.class_names, labels, names, f"What the network of {folder.path.name} does", facts)
    try:
        files.replace(output, text.encode())
    except OSError as error:
        raise click.ClickException(
            f"The page cannot be written ({one_line(error)}). Received: {str(output)!r}"
        ) from error
    click.echo(f"Page: {output}")
    suggest("open the page in a browser; it needs no other file")


def _text(value) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
