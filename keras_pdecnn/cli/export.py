"""The command `keras-pdecnn export`."""

from __future__ import annotations

import os
import pathlib
import shlex

import click

from keras_pdecnn.cli import progress
from keras_pdecnn.cli.command import Command
from keras_pdecnn.cli.paths import ExistingPath
from keras_pdecnn.cli.settings import WrongInput, import_tensorflow, one_line, suggest
from keras_pdecnn.tasks import TASKS

_DEFAULTS = {"savedmodel": "savedmodel", "litert": "model.tflite", "onnx": "model.onnx"}
_USES = {
    "savedmodel": "tensorflow_model_server --rest_api_port=8501 --model_name=network --model_base_path={folder}",
    "litert": "load {path} with ai_edge_litert.interpreter.Interpreter",
    "onnx": "load {path} with onnxruntime.InferenceSession",
}


@click.command(cls=Command)
@click.argument("run", type=ExistingPath("The run folder"))
@click.option(
    "--format",
    "kind",
    type=click.Choice(tuple(_DEFAULTS)),
    default="savedmodel",
    show_default=True,
    help="savedmodel: TensorFlow and TensorFlow Serving; litert: LiteRT (.tflite), on processors the fastest for few "
    "examples at a time, above all with --precision int8; onnx: ONNX Runtime. For large batches on processors with "
    "AMX, a SavedModel with --precision bfloat16 is as fast.",
)
@click.option(
    "--output",
    type=click.Path(path_type=pathlib.Path),
    help="Folder of the versions of a SavedModel, or path of a file that must not exist yet. "
    f"Default: {', '.join(_DEFAULTS.values())} in the run folder.",
)
@click.option(
    "--precision",
    default="float32",
    show_default=True,
    type=click.Choice(("float32", "bfloat16", "float16", "int8")),
    help="bfloat16: convolutions of a SavedModel; float16, int8: weights of LiteRT. float32: every format.",
)
@click.option(
    "--jit-compile",
    is_flag=True,
    help="Let XLA compile a SavedModel for requests of a single example, which are then half as fast again on a "
    "processor; the first one takes seconds.",
)
def export(run, kind, output, precision, jit_compile):
    """Export the network of the folder RUN for use without this package.

    The exported network takes raw pixel values ("image", or "signal" or "video") and returns "probabilities" and
    "class"; one for a regression, for several labels or for a restoration returns "values". A SavedModel of a
    classifier also returns "label". It has the signature serving_bytes for image files, and is written as the next
    version, NAME/1, NAME/2, ….

    A SavedModel is written under TensorFlow and JAX as Keras's backend, the other formats under TensorFlow alone; the
    network may have been trained under any.
    """
    if jit_compile and kind != "savedmodel":
        raise WrongInput(f"--jit-compile is for --format savedmodel. Received: --format {kind}")
    tf = import_tensorflow("export")
    from keras_pdecnn.export import FORMATS
    from keras_pdecnn.runs import RunFolder

    folder = RunFolder(run)
    recipe, info = folder.read_config()
    if not recipe.has_probabilities:
        raise WrongInput(
            f"A network that was trained for scores has no probabilities to export. Received: loss={recipe.loss!r}"
        )
    progress.announce(f"Exporting {click.format_filename(run)}")
    model = folder.load_model(compile=False)
    try:
        task = TASKS[recipe.task]
        names = None if task.exported == "values" and task.of_pixels else info.class_names
        settings = {"jit_compile": True} if jit_compile else {}
        if kind == "savedmodel":  # which `predict` reads: image files, sounds and masks are then those of the run
            settings |= {"crop": info.crop, "sampling_rate": info.sampling_rate, "mask_colors": recipe.mask_colors}
        target = output or folder.path / _DEFAULTS[kind]
        path = FORMATS[kind](model, target, names, task.exported, precision, **settings)
    except (OSError, tf.errors.OpError) as error:
        reason = one_line(error)
        raise WrongInput(f"The export cannot be written ({reason}). Received: {str(output or run)!r}") from error
    click.echo(f"Exported: {click.format_filename(path)}")
    suggest(_USES[kind].format(path=shlex.quote(os.fspath(path)), folder=shlex.quote(os.fspath(path.resolve().parent))))
