"""What comes before the first block: strides, a width of its own, spectrograms; and dropout before the classifier."""

import keras
import numpy as np
import pytest

from keras_pdecnn import explain, models, plotting, stability, tuning
from keras_pdecnn.explain.attribution import pooled_by
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.runs.checkpoints import Checkpoint

SMALL = {"classes": 3, "widths": (4, 6), "steps": 1}
OPENING = {"opening_kernel_size": 5, "opening_stride": 2, "opening_width": 3}

every_architecture = pytest.mark.parametrize("architecture", models.NETWORKS)


def small(input_shape, architecture="hamiltonian", **settings):
    return models.NETWORKS[architecture].builder(input_shape, **{**SMALL, **settings})


def gap(a, b):
    return np.max(np.abs(keras.ops.convert_to_numpy(a) - keras.ops.convert_to_numpy(b)))


def shapes(model):
    return {layer.name: tuple(layer.output.shape[1:]) for layer in model.layers}


@every_architecture
def test_the_opening_of_a_signal(rng, architecture):
    x = rng.normal(size=(2, 65, 1)).astype("float32")
    model = small((65, 1), architecture, **OPENING, dropout=0.5)
    found = shapes(model)
    assert (found["opening"], found["connector_0"], found["connector_1"]) == ((33, 3), (16, 4), (8, 6))
    assert model.get_layer("opening").kernel.shape == (5, 1, 3)
    assert model.get_layer("dropout").rate == 0.5
    assert gap(model(x), model(x)) == 0
    assert model(x).shape == (2, 3)


@pytest.mark.parametrize("provable", [False, True])
@pytest.mark.parametrize("shape", [(40, 2), (24, 20, 2), (16, 16, 20, 1)], ids=lambda s: f"{len(s) - 1}D")
def test_the_number_of_weights_is_known_before(shape, provable):
    settings = {"opening_stride": (1,) * (len(shape) - 2) + (2,), "opening_kernel_size": 5, "opening_width": 6}
    recipe = Recipe(widths=(4, 8), steps=1, provable=provable, normalization=None, dropout=0.1, **settings)
    model = small(shape, widths=(4, 8), provable=provable, normalization=None, dropout=0.1, **settings)
    assert tuning.count_weights(recipe, shape, 3) == sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert tuning.sizes.first_space(recipe, shape) == list(shapes(model)["connector_0"][:-1])
    assert tuning.training_memory(recipe, shape, 3) > 0


def test_defaults_add_nothing():
    model = small((16, 1))
    given = small((16, 1), opening_kernel_size=3, opening_stride=1, opening_width=None, dropout=0.0, spectrogram=None)
    assert [layer.name for layer in model.layers] == [layer.name for layer in given.layers]
    assert "dropout" not in shapes(model)
    assert "connector_0" not in shapes(model)


def test_channels_first_is_the_same_network(rng):
    x = rng.normal(size=(2, 40, 24, 3)).astype("float32")
    settings = {**OPENING, "opening_stride": (4, 2)}
    last, first = small((40, 24, 3), **settings), small((3, 40, 24), data_format="channels_first", **settings)
    first.set_weights(last.get_weights())
    assert shapes(last)["opening"] == shapes(first)["opening"] == (10, 12, 3)
    assert gap(last(x), first(x.transpose(0, 3, 1, 2))) < 1e-5


def test_provable_networks_keep_their_bound(rng):
    x = rng.normal(size=(2, 40, 1)).astype("float32")
    model = small(
        (40, 1), "parabolic", provable=True, lipschitz=1.5, include_preprocessing=False, dropout=0.5, **OPENING
    )
    assert stability.lipschitz_bound(model) <= 1.5 * (1 + 1e-5)
    logits = stability.logits(model)
    distance = np.linalg.norm(x[0] - x[1])
    assert np.linalg.norm(np.diff(keras.ops.convert_to_numpy(logits(x)), axis=0)) <= 1.5 * distance
    assert stability.certified_radius(model, x).shape == (2,)


def test_the_bound_of_the_paper_s_networks_counts_the_opening(rng):
    model = small((40, 1), normalization=None, step_size=0.01, **OPENING)
    bounds = {bound.layer: bound.upper for bound in stability.layer_bounds(model)}
    assert bounds["opening"] > 0
    assert bounds["connector_0"] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"opening_stride": 64}, r"2 blocks halve.*1 pixels after the opening: one block fits"),
        ({"opening_width": 3, "widths": (4,) * 6}, r"16 pixels after the opening: at most 5 blocks fit"),
        ({"opening_stride": 64, "opening_width": 3}, r"0 pixels after the opening: no block fits.*opening_width=3"),
        ({"opening_stride": 0}, "opening_stride=0"),
        ({"opening_stride": (2, 2)}, "opening_stride=.2, 2."),
        ({"opening_kernel_size": 4}, "opening_kernel_size=4"),
        ({"opening_kernel_size": (3, 3)}, r"opening_kernel_size=\(3, 3\)"),
        ({"opening_width": 0}, "opening_width=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"spectrogram": 1}, "spectrogram=1"),
        ({"spectrogram": 33}, r"input_shape=\(32, 1\), spectrogram=33"),
        ({"spectrogram": 8, "spectrogram_step": 9}, "spectrogram=8, spectrogram_step=9"),
        ({"spectrogram_step": 4}, "spectrogram=None, spectrogram_step=4"),
        ({"spectrogram": 8, "provable": True}, "provable=True, spectrogram=8"),
        ({"spectrogram": 8, "widths": (4,) * 5}, "5 pixels: at most 3 blocks fit"),
    ],
    ids=str,
)
def test_wrong_openings(settings, message):
    with pytest.raises(ValueError, match=message):
        small((32, 1), **settings)


def test_a_spectrogram_of_images_is_refused():
    with pytest.raises(ValueError, match=r"signals of a known length.*input_shape=\(8, 8, 1\)"):
        small((8, 8, 1), spectrogram=4)
    with pytest.raises(ValueError, match=r"signals of a known length.*input_shape=\(None, 1\)"):
        small((None, 1), spectrogram=4)


def test_a_spectrogram_is_a_part_of_the_network(rng, tmp_path):
    x = rng.normal(size=(3, 200, 2)).astype("float32")
    model = small((200, 2), spectrogram=16, opening_stride=(2, 1))
    assert (shapes(model)["spectrogram"], shapes(model)["opening"]) == ((24, 9, 2), (12, 9, 4))
    # The predictions for a signal do not depend on the others in its batch, nor on its volume.
    assert gap(model(x)[:1], model(x[:1])) < 1e-6
    assert gap(model(x), model(30 * x)) < 1e-4
    model.save(tmp_path / "model.keras")
    assert gap(models.load_model(tmp_path / "model.keras")(x), model(x)) == 0
    recipe = Recipe(widths=(4, 6), steps=1, spectrogram=16, opening_stride=(2, 1))
    assert tuning.count_weights(recipe, (200, 2), 3) == sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    first = small((2, 200), spectrogram=16, opening_stride=(2, 1), data_format="channels_first")
    first.set_weights(model.get_weights())
    assert gap(first(x.transpose(0, 2, 1)), model(x)) < 1e-5
    assert stability.lipschitz_bound(model) is None
    assert "STFTSpectrogram" in stability.layer_bounds(model)[0].reason


def test_a_frame_of_the_spectrogram_is_a_fourier_transform(rng):
    x = rng.normal(size=(1, 64, 1)).astype("float32")
    model = small((64, 1), spectrogram=16, spectrogram_step=8)
    frame = model.get_layer("spectrogram")(x)[0, 2, :, 0]
    expected = np.log(np.abs(np.fft.rfft(x[0, 16:32, 0] * np.hanning(16))))
    # The scale of the window is a constant that the standardisation removes.
    assert gap(frame - np.mean(frame), expected - np.mean(expected)) < 1e-3


def test_dropout_goes_on_after_a_checkpoint(rng):
    x, y = rng.normal(size=(8, 16, 1)).astype("float32"), np.arange(8) % 3

    def compiled():
        model = small((16, 1), dropout=0.5)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
        return model

    first, second = compiled(), compiled()
    first.train_on_batch(x, y)
    Checkpoint.of(first, 1, 0.0).restore(second)
    for model in (first, second):
        model.train_on_batch(x, y)
    assert all(gap(a, b) == 0 for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def test_explanations_know_the_opening(rng):
    x = rng.normal(size=(2, 200, 1)).astype("float32")
    model = small((200, 1), spectrogram=16, opening_stride=(2, 1), dropout=0.5)
    assert pooled_by(model) == (8 * 2 * 2,)
    assert pooled_by(small((40, 24, 3), **{**OPENING, "opening_stride": (4, 2)})) == (16, 8)
    sums = explain.class_activation(model, x, 1).sum(axis=(1, 2)) + float(model.layers[-1].bias[1])
    assert gap(stability.logits(model)(x)[:, 1], sums) < 1e-5


def test_a_map_may_be_coarser_along_one_axis():
    example, gradient = np.zeros((8, 12, 1)), np.ones((8, 12, 1))
    figure = plotting.attribution(example, {"saliency": gradient}, np.ones((2, 6)), pooled_by=(4, 2))
    assert tuple(figure.axes[2].images[-1].get_extent()) == (-0.5, 11.5, 7.5, -0.5)
