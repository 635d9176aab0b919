"""A noisy photograph under the parabolic block: the heat equation against total-variation flow.

    python examples/denoising.py [FOLDER]

With K = gradient (forward differences, two filters), periodic padding, the identity as activation and no bias, a
ParabolicBlock is the explicit heat equation; with the TV normalisation it is gradient descent on the total variation
of the image. Both run from the same noisy image, and each is shown at the time at which it is closest to the clean one.
"""

import pathlib
import sys

from keras_pdecnn import layers

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image

NOISE, EPSILON = 0.12, 1e-3
ROWS, COLUMNS = slice(60, 300), slice(80, 400)
PART = slice(45, 117), slice(180, 276)


def block(steps, h, normalization):
    """Return a parabolic block whose convolution is the gradient on a grid of mesh width 1."""
    settings = {"filters": 2, "activation": "linear", "use_bias": False, "padding": "periodic", "epsilon": EPSILON}
    diffusion = layers.ParabolicBlock(steps, h, normalization=normalization, **settings)
    diffusion.build((None, None, None, 1))
    kernel = np.zeros((3, 3, 1, 2))
    kernel[1, 1, 0] = -1
    kernel[2, 1, 0, 0] = kernel[1, 2, 0, 1] = 1
    diffusion.kernel.assign(np.broadcast_to(kernel, diffusion.kernel.shape))
    return diffusion


def psnr(image):
    """Return the peak signal-to-noise ratio to the clean image in decibels, over the last two axes."""
    return -10 * np.log10(np.mean((image - clean) ** 2, axis=(-2, -1)))


folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
clean = load_sample_image("china.jpg")[ROWS, COLUMNS].mean(axis=-1) / 255
noisy = clean + NOISE * np.random.default_rng(0).normal(size=clean.shape)
# ||K||^2 <= 8. The heat equation is stable up to h = 2 / 8. N_tv is the gradient of the convex function
# sqrt(|u|^2 + epsilon), with a derivative of at most 1 / sqrt(epsilon): up to h = 2 sqrt(epsilon) / 8.
equations = {"heat equation": block(40, 0.05, None), "TV flow": block(60, 0.9 * np.sqrt(EPSILON) / 4, "tv")}
shown, curves = {"clean": clean, "noisy": noisy}, {}
for name, diffusion in equations.items():
    states = np.asarray(diffusion.trajectory(noisy[None, ..., None]))[:, 0, ..., 0]
    curves[name] = psnr(states)
    shown[name] = states[curves[name].argmax()]

figure = Figure(figsize=(12, 7), dpi=100, layout="constrained")
pictures, curve = figure.subfigures(2, 1, height_ratios=(2.2, 1))
panels = pictures.subplots(2, 4)
for (above, below), (name, image) in zip(panels.T, shown.items(), strict=True):
    above.imshow(image, cmap="gray", vmin=0, vmax=1)
    below.imshow(image[PART], cmap="gray", vmin=0, vmax=1)
    above.set_title(name if name == "clean" else f"{name}, {psnr(image):.1f} dB")
    above.set_axis_off()
    below.set_axis_off()
axes = curve.subplots()
for name, values in curves.items():
    axes.plot(np.arange(len(values)) / values.argmax(), values, ".-", label=name)
axes.set_xlabel("time, in units of the best time of each")
axes.set_ylabel("decibels")
axes.set_xlim(0, 5)
axes.grid(alpha=0.3)
axes.legend(frameon=False)
figure.savefig(folder / "denoising.png")
print("| equation | step size | steps to the best | decibels |\n|---|---|---|---|")
print(f"| noisy image | - | 0 | {psnr(noisy):.1f} |")
for name, values in curves.items():
    print(f"| {name} | {equations[name].step_size:.4f} | {values.argmax()} of {len(values) - 1} | {values.max():.1f} |")
