# %% [markdown]
# # Export and serve
# A trained network becomes a SavedModel, which TensorFlow runs without Keras and without this package, and a LiteRT
# file for phones.

# %%
import importlib.util
import pathlib

import keras_pdecnn as pde

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

EPOCHS = 6

keras.utils.set_random_seed(0)
digits = pde.data.load("digits", batch_size=32)
model = pde.models.HamiltonianCNN(digits.info.input_shape, classes=10, widths=(8, 16))
model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
model.fit(digits.train, epochs=EPOCHS, shuffle=False, verbose=0)

# %%
path = pde.export.savedmodel(model, "exported", digits.info.class_names)
serve = tf.saved_model.load(str(path)).signatures["serving_default"]
x = np.concatenate([x for x, _ in digits.test])[:6].astype("float32")
answer = serve(image=tf.constant(x))
print("SavedModel:", [label.decode() for label in answer["label"].numpy()])
gap = np.abs(answer["probabilities"].numpy() - model.predict(x, verbose=0)).max()
print(f"largest difference to the Keras model: {gap:.0e}")

# %%
file = pathlib.Path("digits.tflite")
if importlib.util.find_spec("ai_edge_litert") and not file.exists():
    from ai_edge_litert.interpreter import Interpreter

    pde.export.litert(model, file, digits.info.class_names)
    outputs = Interpreter(str(file)).get_signature_runner("serving_default")(image=x)
    print("LiteRT:", outputs["class"].tolist(), f"{file.stat().st_size / 1e3:.0f} kB")

# %%
figure, panels = plt.subplots(2, 6, figsize=(9, 3), layout="constrained")
for (above, below), image, row in zip(panels.T, x, answer["probabilities"].numpy(), strict=True):
    above.imshow(image[..., 0], cmap="gray_r")
    above.axis("off")
    below.bar(range(10), row)
    below.set_ylim(0, 1)
    below.set_xticks(range(0, 10, 3))
figure.savefig("export_and_serve.png")
