"""Export a network and ask it as a client of TensorFlow Serving does: with raw pixels and with encoded images.

python examples/export_and_serve.py FOLDER [RUN]

RUN is the folder of a training by `keras-pdecnn train digits`; without it a small network is trained first. FOLDER gets
the SavedModel digits/1, and the bodies of two requests and of their answers in TensorFlow Serving's format, which
http://HOST:8501/v1/models/digits:predict takes and gives once a server runs. LiteRT and ONNX follow if installed.
"""

import base64
import importlib.util
import io
import json
import pathlib
import sys

import keras_pdecnn as pde
from keras_pdecnn.models.loading import load_model

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

WIDTHS = (8, 16)
EPOCHS = 8
IMAGES = 5  # of a request


def train(digits):
    """Return a network that was trained briefly."""
    keras.utils.set_random_seed(0)
    model = pde.models.HamiltonianCNN(digits.info.input_shape, digits.info.classes, widths=WIDTHS)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
    model.fit(digits.train, epochs=EPOCHS, shuffle=False, verbose=0)
    return model


def encode(image):
    """Return a gray image as the content of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "PNG")
    return file.getvalue()


def answer(loaded, body):
    """Return what TensorFlow Serving answers: objects of named outputs to objects of named inputs; binary is base64."""
    request = json.loads(body)
    signature = loaded.signatures[request.get("signature_name", "serving_default")]
    (spec,) = signature.structured_input_signature[1].values()
    values = [instance[spec.name] for instance in request["instances"]]
    if spec.dtype == tf.string:
        values = [base64.b64decode(value["b64"], validate=True) for value in values]
    outputs = signature(**{spec.name: tf.constant(values, spec.dtype)})
    columns = {name: value.numpy().tolist() for name, value in outputs.items()}
    columns = {name: [v.decode() if isinstance(v, bytes) else v for v in column] for name, column in columns.items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return json.dumps({"predictions": rows}, indent=1)


def main(folder, run=None):
    """Export, ask in every way, and compare with the Keras model."""
    folder = pathlib.Path(folder)
    digits = pde.data.load("digits", batch_size=32)
    model = load_model(pathlib.Path(run, "model.keras")) if run else train(digits)
    path = pde.export.savedmodel(model, folder / "digits", digits.info.class_names)
    print(f"Exported: {path}")

    loaded = tf.saved_model.load(str(path))  # needs neither Keras nor keras_pdecnn
    x = np.concatenate([x for x, _ in digits.test])[:IMAGES]
    probabilities = model.predict(x, verbose=0)
    pixels = {"instances": [{"image": image.tolist()} for image in x]}
    contents = [{"image_bytes": {"b64": base64.b64encode(encode(image)).decode()}} for image in x]
    encoded = {"signature_name": "serving_bytes", "instances": contents}
    for name, request in (("pixels", pixels), ("encoded", encoded)):
        body = json.dumps(request)
        (folder / f"{name}.json").write_text(body)
        (folder / f"{name}_answer.json").write_text(answer(loaded, body))
        rows = json.loads((folder / f"{name}_answer.json").read_text())["predictions"]
        gap = np.abs([row["probabilities"] for row in rows] - probabilities).max()
        assert [row["class"] for row in rows] == probabilities.argmax(axis=-1).tolist()
        print(f"{name}: {' '.join(row['label'] for row in rows)}, largest difference of a probability {gap:.0e}")

    raw = x.astype("float32")
    if importlib.util.find_spec("ai_edge_litert"):
        from ai_edge_litert.interpreter import Interpreter

        file = pde.export.litert(model, folder / "digits.tflite", digits.info.class_names)
        outputs = Interpreter(str(file)).get_signature_runner("serving_default")(image=raw)
        print(f"LiteRT: {' '.join(map(str, outputs['class']))}")
    if all(map(importlib.util.find_spec, ("tf2onnx", "onnxruntime"))):
        import onnxruntime

        file = pde.export.onnx(model, folder / "digits.onnx", digits.info.class_names)
        (classes,) = onnxruntime.InferenceSession(str(file)).run(["class"], {"image": raw})
        print(f"ONNX Runtime: {' '.join(map(str, classes))}")


if __name__ == "__main__":
    main(*sys.argv[1:])
