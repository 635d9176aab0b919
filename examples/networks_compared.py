"""What the programs that compare networks share: options, a plain U-Net, training, the folder of networks, tables."""

import argparse
import json
import time

import keras_pdecnn as pde

import keras
import numpy as np

# A step of each network has another number of weights; so many steps have the same. A step of a Hamiltonian network has
# half as many as one of a parabolic network. With wider blocks in place of more steps, it learns faster.
STEPS = {"parabolic": 2, "hamiltonian": 2, "second_order": 2, "residual": 1}
WIDER = {"hamiltonian": 1.39}


def options(text, batches, folder, rate):
    """Return a parser of the options that the programs share; `text` begins with what the program does."""
    parser = argparse.ArgumentParser(description=text.partition("\n")[0])
    every = [*STEPS, "plain"]
    parser.add_argument("--networks", nargs="+", default=every, choices=every, help="The networks, by default all.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="Seeds of the weights and of all else.")
    parser.add_argument("--batches", type=int, default=batches, help=f"Batches to train on; default {batches}.")
    parser.add_argument("--rate", type=float, default=rate, help=f"Learning rate at the start; default {rate}.")
    parser.add_argument("--folder", default=folder, help="Folder of networks, table and pictures.")
    return parser


def unet(name, input_shape, outputs=None, *, widths, **settings):
    """Return the U-Net of blocks with this name, which has about as many weights as the others of these widths."""
    widths = [2 * round(WIDER[name] * width / 2) for width in widths] if name in WIDER else widths
    return pde.models.UNETS[name](input_shape, outputs, widths=widths, steps=STEPS[name], **settings)


def plain_unet(y, widths):
    """Return the features of the usual U-Net: two convolutions of size 3, batch normalisation and ReLU on each grid.

    `widths` are those of the grids, from the finest to the coarsest; L of them need sizes that 2^(L-1) divides. `y` has
    two space axes or three.
    """
    names = (f"{name}{len(y.shape) - 2}D" for name in ("Conv", "MaxPooling", "UpSampling"))
    convolution, pooling, upsampling = (getattr(keras.layers, name) for name in names)

    def convolve(y, width):
        for _ in range(2):
            y = convolution(width, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(y)
            y = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(y))
        return y

    *finer, coarsest = widths
    skips = []
    for width in finer:
        y = convolve(y, width)
        skips.append(y)
        y = pooling()(y)
    y = convolve(y, coarsest)
    for width, skip in zip(reversed(finer), reversed(skips), strict=True):
        y = keras.layers.Concatenate()([upsampling()(y), skip])
        y = convolve(y, width)
    return y


def weights_of(model):
    """Return the number of trainable weights."""
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def label(name):
    """Return the name of a network as a table shows it."""
    return name if name == "plain" else pde.models.NETWORKS[name].label


def train(build, batches, loss, seed, rate):
    """Return the network of a function `build`, trained on a data set once, and the seconds that this took.

    `rate` is the learning rate at the start.
    """
    keras.utils.set_random_seed(seed)
    model = build()
    rate = keras.optimizers.schedules.CosineDecay(rate, len(batches))
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    start = time.monotonic()
    model.fit(batches, epochs=1, shuffle=False, verbose=2)
    return model, time.monotonic() - start


def trained(path, build, batches, loss, seed, rate, **settings):
    """Return the network of a file and the seconds that its training took; without the file, `train` it and write it.

    A network that had another number of batches or other settings, such as other data, is refused: its row would be
    wrong.
    """
    facts, settings = path.with_suffix(".json"), {"batches": len(batches), "rate": rate, **settings}
    if facts.exists():
        there = json.loads(facts.read_text())
        for key, value in settings.items():
            if there.get(key, value) != value:  # a file without the key is older
                raise SystemExit(f"{path} had {key} {there[key]}: give another --folder. Received: {key} {value}")
        return keras.models.load_model(path, compile=False), there["seconds"]
    model, seconds = train(build, batches, loss, seed, rate)
    model.save(path)
    facts.write_text(json.dumps({"weights": weights_of(model), "seconds": seconds, **settings}))
    return model, seconds


def mean_of(values, digits):
    """Return the mean over seeds as text, with the standard deviation where there are several."""
    spread = f" ± {np.std(values):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def write_table(folder, head, rows):
    """Print a table, and write it to table.md in the folder."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    text = "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
    (folder / "table.md").write_text(text + "\n")
    print(text)
