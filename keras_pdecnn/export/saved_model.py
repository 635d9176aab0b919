"""Export to TensorFlow's SavedModel, in folders as TensorFlow Serving reads them; and loading such folders."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Callable

import keras
import numpy as np

from keras_pdecnn.data.crops import KINDS, Crop
from keras_pdecnn.export import batches, checks, exportable, heads, recognition
from keras_pdecnn.export.decoding import decode
from keras_pdecnn.export.precisions import check_precision
from keras_pdecnn.layers.plain import plain_operations
from keras_pdecnn.tasks import DEFAULT, TASKS, check_task
from keras_pdecnn.utils import arguments, files, optional

_NAMES = "classes.txt"
_NETWORK = pathlib.Path("assets.extra", "network.json")  # the folder of a SavedModel for files of others


def savedmodel(
    model: keras.Model,
    path,
    class_names=None,
    outputs=None,
    precision="float32",
    jit_compile=False,
    crop: str | None = None,
    sampling_rate: int | None = None,
    mask_colors=None,
) -> pathlib.Path:
    """Export a network as a SavedModel, which TensorFlow runs without Keras and without this package.

    It is written under TensorFlow and JAX as Keras's backend; TensorFlow must be installed.

    Signatures, for any number of examples:

    * `serving_default` takes `image` (or `signal`, `video`), raw float32 values of shape (n, *space, channels).
    * `serving_bytes`, for images of 1 or 3 channels, takes `image_bytes`: n strings, the contents of PNG, JPEG, GIF or
      BMP files. They, or with `crop` a window of them, are resized if the network has a fixed size; otherwise they must
      have the same size. A network that restores images gets them with white at its `max_value`.

    Both return the classes of a classifier: `probabilities` of shape (n, classes), `class`, the index of the largest as
    int64, and `label`, its name. If every pixel has a class, `probabilities` has the shape (n, *space, classes) and
    `class` the shape (n, *space), and there is no `label`. Other networks, such as a denoiser, return `values`.

    The weights are constants, and the factors of batch normalisations are multiplied into the kernels before them. Use
    `keras.Model.export`, which keeps variables, if the network is to be trained further.

    Args:
        model: A model of `models`, or another Keras model of one signal, image or video with the channels last, that
            returns one vector per example, or one for each pixel; logits of classes become probabilities.
        path: Folder of all versions. The model is written into path/1, path/2, …, the next free number.
        class_names: One name per class, or per value if outputs="values"; default None, the numbers of the classes, or
            no names of values. Those of classes are written, one per line, into the asset assets/classes.txt, those of
            values into assets.extra/network.json, entry `names`.
        outputs: Kind of the outputs, "classes" or "values", which are left as they are; default None: classes if the
            network returns one vector per example, ends with a softmax, or class names are given; values otherwise,
            and always for a sigmoid, a single output, or a final `keras.layers.Rescaling` of a vector.
        precision: "float32" (default), in which a copy of a model of another policy then computes; or "bfloat16", in
            which the convolutions of blocks and connectors are computed. Sums, normalisations and everything else stay
            in float32. Processors with AVX512-BF16 or AMX, and GPUs, are faster with it; others are slower.
        jit_compile: Whether XLA compiles the network, in float32, for requests of a single example; default False. On
            a CPU they then take two thirds of the time, except the first one, which takes seconds more. What runs the
            SavedModel must contain XLA, as TensorFlow does. It has no effect under JAX, where XLA compiles everything.
        crop: Part of the images that the network was trained on, "center" or "random", see `data.load`: of image files,
            `serving_bytes` and `keras-pdecnn predict` then show the network the same window in the centre as an
            evaluation. Default None, whole images.
        sampling_rate: Samples per second of the sound that the network was trained on, to which `keras-pdecnn predict`
            resamples .wav files; default None, unknown.
        mask_colors: Colours of the classes of pixels, six hexadecimal digits each, in which `keras-pdecnn predict`
            draws; default None, those of `plotting`.

    Returns:
        The path of the new version.

    Raises:
        ValueError: If the model is no such model, class_names does not have one line per class or value, a single
            output should be classes, there is no such precision, jit_compile is not a bool, crop is none of these or
            the network is not one of images of 1 or 3 channels, the sampling rate is no positive integer, the colours
            are none, or the backend of Keras is neither TensorFlow nor JAX, under which networks of several widths need
            a fixed size of the examples.

    Example:
        >>> model = keras_pdecnn.models.ParabolicCNN((8, 8, 1), classes=2, widths=(4,))
        >>> savedmodel(model, "animals", class_names=("cat", "dog"))  # doctest: +SKIP
        PosixPath('animals/1')
    """
    checks.check_backend("A SavedModel", ("tensorflow", "jax"))
    import tensorflow as tf

    name = checks.check_model(model)
    convolution_dtype = {"float32": None, "bfloat16": "bfloat16"}[check_precision(precision, "savedmodel")]
    head = heads.head_of(model, class_names, outputs)
    classes = head if isinstance(head, heads.Classes) else None
    jit_compile = arguments.check_flag("jit_compile", jit_compile)
    takes_files = name == "image" and model.input_shape[-1] in (1, 3)
    examples = _examples(crop, sampling_rate, mask_colors)
    if crop is not None and not takes_files:
        raise ValueError(
            "Only image files of 1 or 3 channels are cropped. "
            f"Received: crop={crop!r}, a model of shape {model.input_shape}"
        )
    path = pathlib.Path(path).expanduser()
    task, max_value = head.task(model), recognition.max_value(model)
    model = exportable.in_float32(model)
    spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name=name)
    call = _with_constants(exportable.named(model, head))
    call = _traced(model, call, spec, convolution_dtype, jit_compile)
    path.mkdir(parents=True, exist_ok=True)
    # A server that watches the folder must not see an incomplete version.
    with tempfile.TemporaryDirectory(prefix=".part-", dir=path) as temporary:
        table = None if classes is None else _table(classes.names, pathlib.Path(temporary, _NAMES))
        labels = None if classes is None or classes.of_pixels else table

        @tf.function(input_signature=[spec], autograph=False)  # both signatures share its weights
        def serve(x):
            outputs = call(x)
            if labels is not None:
                outputs = {**outputs, heads.LABEL: labels.lookup(outputs[heads.CLASS])}
            return outputs

        endpoints = {"serving_default": (serve, spec)}
        if takes_files:
            contents = tf.TensorSpec((None,), tf.string, name="image_bytes")
            window = None if crop is None else Crop(crop)
            # Images that are restored have a white of their own, that of files is 255.
            unit = max_value / 255 if TASKS[task].improves_input else 1.0

            def serve_files(data):
                return serve(unit * decode(data, model.input_shape[1:], window))

            endpoints["serving_bytes"] = serve_files, contents
        part = pathlib.Path(temporary, "model")
        _write(part, endpoints, table)
        facts = {"task": task, "max_value": max_value, **examples}
        facts |= {"names": head.names} if classes is None and head.names else {}
        (part / _NETWORK).parent.mkdir()
        (part / _NETWORK).write_text(json.dumps(facts))
        return _publish(part, path)


def _examples(crop, sampling_rate, mask_colors) -> dict:
    """Return what is known of the examples of a network, as network.json has it; raise ValueError if it is wrong."""
    if sampling_rate is not None:
        sampling_rate = arguments.check_positive_integer("sampling_rate", sampling_rate)
    if mask_colors is not None:
        mask_colors = tuple(arguments.check_color("mask_colors", color) for color in mask_colors)
    crop = arguments.check_choice("crop", crop, (None, *KINDS))
    return {"crop": crop, "sampling_rate": sampling_rate, "mask_colors": mask_colors}


def _traced(model: keras.Model, call: Callable, spec, convolution_dtype: str | None, jit_compile: bool) -> Callable:
    """Return the call of a model, traced in plain operations; under TensorFlow it suits the size of the batch."""
    import tensorflow as tf

    def traced(function, dtype=None, jit_compile=None):
        run = tf.function(function, input_signature=[spec], autograph=False, jit_compile=jit_compile)
        with plain_operations(model, convolution_dtype=dtype):
            return run.get_concrete_function()

    whole = traced(call, convolution_dtype)
    if keras.backend.backend() != "tensorflow":
        return batches.never_empty(whole)
    if not jit_compile:
        return batches.by_size(whole)
    # On a CPU, XLA is slower in bfloat16. In float32 both use the same weights in the file.
    return batches.by_size(whole, traced(whole if convolution_dtype is None else call, jit_compile=True))


def _table(names: tuple[str, ...], asset: pathlib.Path):
    """Return a table of TensorFlow from the numbers of classes to their names, which are written to a file."""
    import tensorflow as tf

    asset.write_text("".join(f"{label}\n" for label in names), encoding="utf-8")
    lines = tf.lookup.TextFileInitializer(
        str(asset), tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE
    )
    return tf.lookup.StaticHashTable(lines, default_value="")


def _write(part: pathlib.Path, endpoints: dict, table):
    """Write functions of TensorFlow, with the specs of their arguments, to a SavedModel; they may use a table."""
    if keras.backend.backend() == "tensorflow":
        archive = keras.export.ExportArchive()
        if table is not None:
            archive.track(table)
        for name, (function, spec) in endpoints.items():
            archive.add_endpoint(name, function, [spec])
        archive.write_out(str(part), verbose=False)
        return
    import tensorflow as tf

    # Under another backend, an archive of Keras takes functions of that backend.
    module = tf.Module()
    module.table = table
    signatures = {
        name: tf.function(function, input_signature=[spec], autograph=False).get_concrete_function()
        for name, (function, spec) in endpoints.items()
    }
    tf.saved_model.save(module, str(part), signatures)


def _with_constants(model: keras.Model) -> Callable:
    """Return the call of a model with its weights as constants, as a function of TensorFlow.

    TensorFlow then computes only once what depends on the weights alone, such as the kernels of the adjoints:
    predictions take a tenth less time.
    """
    weights = [[v.numpy() for v in group] for group in (model.trainable_variables, model.non_trainable_variables)]

    def call(x):
        trainable, others = ([keras.ops.convert_to_tensor(value) for value in group] for group in weights)
        return model.stateless_call(trainable, others, x, training=False)[0]

    if keras.backend.backend() == "tensorflow":
        return call
    import jax
    import tensorflow as tf
    from jax.experimental import jax2tf

    shape = ", ".join(f"n{axis}" if size is None else str(size) for axis, size in enumerate(model.input_shape))
    converted = jax2tf.convert(
        call, polymorphic_shapes=[f"({shape})"], with_gradient=False, native_serialization_platforms=("cpu", "cuda")
    )

    def call_of_tensorflow(x):
        try:
            outputs = converted(x)
        except jax.errors.InconclusiveDimensionOperation as error:
            if None not in model.input_shape[1:]:
                raise
            raise ValueError(
                "Under JAX, this network for examples of any size cannot become a SavedModel. Build it for one size, "
                "or export its .keras file or run folder under KERAS_BACKEND=tensorflow. Received: a model of shape "
                f"{model.input_shape}"
            ) from error
        return {key: tf.cast(y, tf.int64) if key == heads.CLASS else y for key, y in outputs.items()}

    return call_of_tensorflow


def _publish(part: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    """Move a complete model to the next free version of a folder; return its path."""
    number = max((int(child.name) for child in path.iterdir() if child.name.isdecimal()), default=0) + 1
    while True:
        target = path / str(number)
        try:
            return part.rename(target)  # fails where another export has just put its own
        except OSError:
            if not target.exists():
                raise
            number += 1


@dataclasses.dataclass(frozen=True)
class Exported:
    """A network that was exported as a SavedModel.

    Args:
        shape: (*space, channels) of an example; space may be None.
        names: Names of the classes or values.
        run: Function of a float32 array of examples to an array of probabilities or values.
        task: Name of its task.
        max_value: Value of white in restored images.
        crop: Part of images that the network was trained on, or None.
        sampling_rate: Samples per second of the sound that the network was trained on, or None.
        mask_colors: Colours of the classes of pixels, or None.
    """

    shape: tuple[int | None, ...]
    names: tuple[str, ...]
    run: Callable[[np.ndarray], np.ndarray]
    task: str
    max_value: float
    crop: str | None = None
    sampling_rate: int | None = None
    mask_colors: tuple[str, ...] | None = None


def load(path) -> Exported:
    """Load a SavedModel of `savedmodel`.

    A SavedModel is a TensorFlow program, which can read and write files. Load it only from a source that you trust.

    Args:
        path: Folder of one version.

    Returns:
        An `Exported`.

    Raises:
        ValueError: If the folder does not exist, cannot be read, was not written by `savedmodel`, or returns other
            than classes of examples and lacks the name of its task.
        ImportError: If TensorFlow is not installed.
    """
    path = pathlib.Path(path)
    files.check_exists("The SavedModel", path)
    tf = optional.tensorflow("Running a SavedModel")
    try:
        loaded = tf.saved_model.load(str(path))
        serve = loaded.signatures["serving_default"]
        (spec,) = serve.structured_input_signature[1].values()
        outputs = serve.structured_outputs
        key = heads.VALUES if heads.VALUES in outputs else heads.PROBABILITIES
        count = outputs[key].shape[-1]
        facts = json.loads((path / _NETWORK).read_text(encoding="utf-8")) if (path / _NETWORK).exists() else {}
        names = _names_of(path, facts, key, count)
        task, max_value = _task_of(facts, key, outputs)
        # Older versions did not write them.
        examples = _examples(*(facts.get(name) for name in ("crop", "sampling_rate", "mask_colors")))
    except Exception as error:  # a damaged folder raises a dozen types
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(f"Not an exported SavedModel that can be read ({reason}). Received: {str(path)!r}") from error
    if len(names) != count or spec.name not in checks.INPUTS.values():
        raise ValueError(
            f"Not a SavedModel of this package: {len(names)} names for {count} outputs, input {spec.name!r}. "
            f"Received: {str(path)!r}"
        )

    def run(x: np.ndarray) -> np.ndarray:
        # `serve` itself would not keep alive the variables of the loaded model.
        outputs = loaded.signatures["serving_default"](**{spec.name: tf.constant(x)})
        return outputs[key].numpy()

    return Exported(tuple(spec.shape[1:]), names, run, task, max_value, **examples)


def _names_of(path: pathlib.Path, facts: dict, key: str, count: int) -> tuple[str, ...]:
    """Return the names of the outputs of an exported network; values without names have numbers."""
    if key == heads.VALUES:
        return tuple(map(str, facts.get("names", range(count))))
    return tuple((path / "assets" / _NAMES).read_text(encoding="utf-8").splitlines())


def _task_of(facts: dict, key: str, outputs: dict) -> tuple[str, float]:
    """Return the task and the value of white of an exported network, which version 0.1 did not write."""
    if facts:
        return check_task("task", facts["task"]), float(facts["max_value"])
    if key == heads.VALUES or len(outputs[heads.CLASS].shape) > 1:
        raise ValueError("it was written without the task of the network; export it again")
    return DEFAULT, 1.0
