"""The recipes by name: the paper's settings and our own."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_pdecnn.recipes.recipe import Recipe

# The paper trains on 4/5 of the official training part: 40,000 images of CIFAR and 4,000 of STL-10.
_CIFAR10 = Recipe(
    data="cifar10",
    validation=0.2,
    batch_size=125,
    flip=True,
    pad=1 / 16,
    rotate=0.0,
    zoom=0.0,
    widths=(32, 64, 112),
    head_width=112,
    time_smoothness=2e-4,
    weight_decay=2e-4,
    box=1.0,
    learning_rates=(0.1, 0.02, 0.004),
    epochs=(60, 20, 20),
)
_CIFAR100 = dataclasses.replace(
    _CIFAR10,
    data="cifar100",
    widths=(32, 64, 128),
    head_width=256,
    learning_rates=(0.1, 0.02, 0.004, 0.0008, 0.00016),
    epochs=(60, 40, 40, 40, 20),
)
_STL10 = dataclasses.replace(
    _CIFAR10,
    data="stl10",
    widths=(16, 32, 64, 128),
    head_width=128,
    time_smoothness=4e-4,
    weight_decay=1e-4,
)

# What our own recipes for the paper's data sets change. The networks stay the paper's.
_OWN: dict[str, Any] = {
    "batch_size": 128,
    "pad": 1 / 8,
    "time_smoothness": 0.0,
    "weight_decay": 5e-4,
    "box": None,
    "label_smoothing": 0.1,
    "nesterov": True,
    "schedule": "cosine",
    "warmup": 0.1,
    "learning_rates": (0.2,),
    "epochs": (80,),
}

# Photographs of natural size: an opening whose stride leaves 32 or 56 pixels a side to the first block.
_PHOTOS = Recipe(
    data="photos",
    crop="random",
    batch_size=128,
    validation=0.1,
    flip=True,
    pad=0.0,
    rotate=0.0,
    zoom=0.0,
    opening_kernel_size=7,
    opening_stride=2,
    weight_decay=1e-4,
    label_smoothing=0.1,
    nesterov=True,
    schedule="cosine",
    warmup=0.1,
    learning_rates=(0.1,),
    epochs=(60,),
)

# Networks with outputs for every pixel, which learn fast with the step sizes of Adam.
_OF_PIXELS: dict[str, Any] = {
    "patch": 128,
    "patches": 8,
    "batch_size": 8,
    "validation": 0.1,
    "flip": True,
    "pad": 0.0,
    "rotate": 0.0,
    "zoom": 0.0,
    "widths": (16, 32, 64),
    "steps": 2,
    "weight_decay": 1e-4,
    "optimizer": "adamw",
    "schedule": "cosine",
    "warmup": 0.1,
    "learning_rates": (2e-3,),
    "epochs": (30,),
}

RECIPES = {
    "digits": Recipe(),
    "cifar10": _CIFAR10,
    "cifar10-own": dataclasses.replace(_CIFAR10, **_OWN),
    "cifar100": _CIFAR100,
    "cifar100-own": dataclasses.replace(_CIFAR100, **_OWN),
    "stl10": _STL10,
    "stl10-own": dataclasses.replace(_STL10, **_OWN),
    "gray": Recipe(
        data="fashion_mnist",
        validation=0.1,
        batch_size=128,
        pad=1 / 14,
        rotate=0.0,
        zoom=0.0,
        widths=(16, 32, 64),
        steps=2,
        opening_width=16,
        label_smoothing=0.1,
        nesterov=True,
        schedule="cosine",
        warmup=0.2,
        learning_rates=(0.2,),
        epochs=(10,),
    ),
    "speech": Recipe(
        data="spoken_digit",
        validation=0.1,
        pad=0.0,
        rotate=0.0,
        zoom=0.0,
        time_shift=0.1,
        noise=0.02,
        widths=(32, 32, 48, 64),
        steps=2,
        kernel_size=9,
        opening_kernel_size=31,
        opening_stride=8,
        opening_width=16,
        dropout=0.2,
        label_smoothing=0.1,
        nesterov=True,
        schedule="cosine",
        warmup=0.15,
        learning_rates=(0.1,),
        epochs=(24,),
    ),
    "moving_digits": Recipe(
        data="moving_digits",
        validation=0.1,
        pad=0.0,
        rotate=0.0,
        zoom=0.0,
        widths=(8, 16),
        steps=2,
        opening_width=8,
        nesterov=True,
        schedule="cosine",
        warmup=0.2,
        learning_rates=(0.1,),
        epochs=(6,),
    ),
    "segmentation": Recipe(task="segmentation", data="masks", **_OF_PIXELS),
    "restoration": Recipe(task="restoration", data="photos", **_OF_PIXELS),
    "photos64": dataclasses.replace(_PHOTOS, size=64, opening_kernel_size=5, widths=(32, 64, 128)),
    "photos128": dataclasses.replace(_PHOTOS, size=128, opening_width=32, widths=(64, 96, 128)),
    "photos224": dataclasses.replace(_PHOTOS, size=224, opening_width=32, widths=(64, 128, 192, 256), batch_size=64),
}
"""The recipes by name: as published for `cifar10`, `cifar100` and `stl10`, and our own for the others.

A name of a data set followed by "-own" is our recipe where the name alone is the published one. `gray` is for small
gray images such as those of Fashion-MNIST, `speech` for sound of some thousand samples, `moving_digits` for small
video, `segmentation` and `restoration` are for these tasks, whatever the data, and `photos64`, `photos128` and
`photos224` are for photographs of natural size.
"""

SIZES: dict[str, dict[float, dict[str, Any]]] = {
    "gray": {1: {"widths": (16, 32, 56)}, 2: {"widths": (16, 32, 56), "steps": 1}},
    "speech": {1: {"widths": (24, 24, 32, 48)}, 2: {"widths": (24, 24, 32, 48), "steps": 1}},
}
"""Settings of a recipe for networks with more weights than the Hamiltonian one, by `Network.relative_size`.

A network has the settings of the largest size that is not above its own; below the first it has those of the recipe.
"""
