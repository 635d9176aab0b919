"""Pictures: what is drawn, for every kind of data."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from keras_pdecnn import plotting
from keras_pdecnn.plotting import style


def save(figure, tmp_path):
    figure.savefig(tmp_path / "figure.png")
    return figure


def test_training_curves(tmp_path):
    history = {"epoch": [0, 1, 2], "loss": [2.0, np.nan, 1.0], "accuracy": [0.1, 0.2, 0.3], "val_loss": [3, 2, 1]}
    loss, accuracy = save(plotting.training_curves(history), tmp_path).axes
    assert [line.get_label() for line in loss.lines] == ["training", "validation"]
    assert loss.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert [line.get_label() for line in accuracy.lines] == ["training"]


@pytest.mark.parametrize("history", [{}, {"loss": [1.0], "accuracy": [0.5]}, {"loss": [np.inf], "accuracy": [0.0]}])
def test_short_histories(tmp_path, history):
    save(plotting.training_curves(history), tmp_path)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_confusion_matrix(tmp_path, classes):
    matrix = 5 * np.eye(classes, dtype=int)
    matrix[0, 1] = 3
    names = [f"class {i}" for i in range(classes)]
    axes = save(plotting.confusion_matrix(matrix, names), tmp_path).axes[0]
    assert axes.get_ylabel() == "true class"
    assert len(axes.texts) == (classes + 1 if classes <= 20 else 0)


@pytest.mark.parametrize(("networks", "classes"), [(1, 2), (3, 3), (2, 21)])
def test_confusion_matrices(tmp_path, networks, classes):
    matrix = 9 * np.eye(classes, dtype=int)
    matrix[0, 1] = 1
    names = ["hamiltonian", "parabolic", "of_a_user"][:networks]
    figure = plotting.confusion_matrices(dict.fromkeys(names, matrix), "abcdefghijklmnopqrstuvwxyz"[:classes])
    axes = save(figure, tmp_path).axes
    assert len(axes) == networks + networks % 2 * (networks > 1)
    assert axes[0].get_title() == f"Hamiltonian: {100 * 9 * classes / (9 * classes + 1):.1f} %"
    assert [text.get_text() for text in axes[0].texts[:2]] == (["90", "10"] if classes <= 20 else [])


def test_a_class_without_examples(tmp_path):
    save(plotting.confusion_matrix([[0, 0], [1, 2]], "ab"), tmp_path)


@pytest.mark.parametrize("shape", [(50, 1), (50, 2), (8, 8, 1), (8, 6, 3), (8, 6, 2), (5, 8, 8, 1), (4, 6, 6, 3)])
@pytest.mark.parametrize("count", [1, 5])
def test_predictions(tmp_path, rng, shape, count):
    x = rng.normal(size=(count, *shape))
    figure = plotting.predictions(x, np.zeros(count, int), np.tile([0.1, 0.7, 0.2], (count, 1)), "abc")
    save(figure, tmp_path)
    assert len(figure.axes) == 2 * count
    assert len(figure.axes[0].lines) == (shape[-1] if len(shape) == 2 else 0)


def test_names_are_drawn_as_they_are(tmp_path, rng):
    """Matplotlib takes what stands between two dollar signs for a formula."""
    names = ["$5_$10", "$\\frac", "10 %", "_a", "é"]
    x, y = rng.uniform(0, 255, (4, 6, 6, 1)), rng.uniform(0, 1, (4, 5))
    y /= y.sum(axis=1, keepdims=True)
    figures = [
        plotting.confusion_matrix(np.eye(5, dtype=int), names),
        plotting.predictions(x, np.arange(4), y, names),
        plotting.segmentation(x, np.arange(4)[:, None, None] + np.zeros((4, 6, 6), int), np.zeros((4, 6, 6)), names),
        plotting.regression(y, y, names),
        plotting.label_predictions(x, y > 0.2, y, names),
    ]
    for figure in figures:
        figure.savefig(tmp_path / "picture.png")
    ticks = [label.get_text() for label in figures[0].axes[0].get_yticklabels()]
    assert ticks[0] == r"\$5_\$10"


def test_four_slices_are_shown_row_by_row():
    x = np.arange(8.0)[None, :, None, None, None] * np.ones((1, 8, 3, 2, 1))
    shown = plotting.predictions(x, [0], [[1.0, 0.0]], "ab").axes[0].images[0].get_array()
    assert shown.shape == (7, 5)
    assert [shown[row, column] for row in (0, 6) for column in (0, 4)] == [1, 3, 5, 7]
    assert shown.mask[3].all() and shown.mask[:, 2].all() and shown.mask.sum() == 11


def test_slices_of_short_and_of_coloured_video():
    assert [style.tiles(np.ones((depth, 3, 2))).shape for depth in (1, 2, 3, 9)] == [(3, 2), (3, 5), (7, 5), (7, 5)]
    shown = style.tiles(np.zeros((2, 3, 2, 3), np.uint8), 255)
    assert shown.dtype == np.uint8 and shown[:, 2].min() == 255 and np.delete(shown, 2, axis=1).max() == 0


def test_bars_of_many_classes_contain_the_true_one():
    probabilities = np.linspace(1, 0, 100)[None] / 50
    figure = plotting.predictions(np.zeros((1, 8, 8, 1)), [99], probabilities, [f"c{i}" for i in range(100)])
    axes = figure.axes[1]
    assert [label.get_text() for label in axes.get_yticklabels()] == [*(f"c{i}" for i in range(9)), "c99"]
    colors = [to_hex(bar.get_facecolor()) for bar in axes.patches]
    assert colors[0] == style.ORANGE
    assert colors[-1] == style.BLUE


def test_probabilities_that_are_not_finite(tmp_path):
    save(plotting.predictions(np.zeros((1, 8, 8, 3)), [0], [[np.nan, np.nan]], "ab"), tmp_path)


def trial(accuracy, architecture="parabolic", weights=100):
    return {
        "accuracy": accuracy,
        "architecture": architecture,
        "steps": 3,
        "width": 16,
        "step_size": 0.5,
        "weights": weights,
    }


def test_search(tmp_path):
    trials = [trial(0.8), trial(None), trial(0.7, weights=50), trial(0.9, "residual", 400), trial(0.6, weights=200)]
    over_trials, *_, over_weights, legend = save(plotting.search(trials), tmp_path).axes
    so_far = next(line for line in over_trials.lines if line.get_label() == "best so far")
    assert so_far.get_ydata().tolist() == [0.8, 0.8, 0.8, 0.9, 0.9]
    crosses = [line for line in over_trials.lines if line.get_marker() == "x"]
    assert [x for line in crosses for x in line.get_xdata()] == [2]
    front = next(line for line in over_weights.lines if line.get_label() == "Pareto front")
    assert front.get_xdata().tolist() == [50, 100, 400]
    labels = [text.get_text() for text in legend.get_legend().get_texts()]
    assert labels == ["parabolic", "residual", "best so far", "Pareto front", "failed"]


@pytest.mark.parametrize("accuracies", [[], [None], [0.5], [0.5, 0.5]])
def test_small_searches(tmp_path, accuracies):
    save(plotting.search([trial(accuracy) for accuracy in accuracies]), tmp_path)


def test_pareto_front():
    points = [(3, 0.5), (1, 0.2), (1, 0.3), (2, 0.3), (4, 0.9), (5, 0.9)]
    assert plotting.pareto_front(points) == [(1, 0.3), (3, 0.5), (4, 0.9)]


@pytest.mark.parametrize("shape", [(9, 2), (9, 7, 1), (8, 6, 3), (5, 8, 8, 1)], ids=str)
def test_attribution(tmp_path, rng, shape):
    x, gradient = rng.integers(0, 255, shape).astype("uint8"), rng.normal(size=shape)
    activation = rng.normal(size=[size // 2 for size in shape[:-1]])
    figure = save(plotting.attribution(x, {"saliency": gradient}, activation, pooled_by=2), tmp_path)
    titles = ["example", "saliency", "class-activation map"]
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert [title for title in panels if title] == titles
    size = np.abs(gradient).max(axis=-1)
    if len(shape) == 2:
        coloured = panels["saliency"].collections[0]
        np.testing.assert_array_equal(coloured.get_array(), size[:-1])
        return
    shown = panels["saliency"].images[0].get_array()
    if len(shape) == 4:
        np.testing.assert_array_equal(shown[-8:, -8:], size[4])  # the last of four slices
        maps = panels["class-activation map"].images[1].get_array()
        np.testing.assert_array_equal(maps[:8, :8], activation[0].repeat(2, 0).repeat(2, 1))
        assert maps.mask[-8:, -8:].all()  # the fifth frame is dropped by the pooling
        return
    np.testing.assert_array_equal(shown, size)
    # The map covers the pixels that it stands for: of an odd number the last one is dropped by the pooling.
    rows, columns = (length // 2 * 2 for length in shape[-3:-1])
    assert panels["class-activation map"].images[1].get_extent() == [-0.5, columns - 0.5, rows - 0.5, -0.5]
    assert panels["class-activation map"].get_xlim() == (-0.5, shape[-2] - 0.5)


def test_the_entries_that_vary_most_are_in_colour(tmp_path):
    kernel = np.zeros((4, 1, 3, 3, 2, 2))
    kernel[:, 0, 1, 1, 0, 1] = [0, 1, 0, 1]
    kernel[:, 0, 0, 0, 0, 0] = [0, 0.1, 0, 0]
    axes = save(plotting.kernel_entries(kernel, "Block 1", count=1), tmp_path).axes[0]
    coloured = [line for line in axes.lines if line.get_color() != style.GREY]
    assert [line.get_ydata().tolist() for line in coloured] == [[0, 1, 0, 1]]


@pytest.mark.parametrize("space", [(9,), (6, 5), (4, 6, 6)], ids=str)
def test_trajectory_shows_the_channels_that_change_most(tmp_path, space):
    features = np.zeros((9, *space, 4))
    features[-1, ..., 2], features[-1, ..., 0] = 5, 1
    figure = save(plotting.trajectory(features, channels=2), tmp_path)
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["channel 0", "channel 2"]
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == [f"step {j}" for j in (0, 2, 4, 6, 8)]


def test_operator_pictures(tmp_path, rng):
    rows = [("step 0", {"reaction": 0.5, "convection": 0.25, "diffusion": 0.25})]
    axes = save(plotting.operator_shares(rows), tmp_path).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["step 0", "random kernel"]
    assert [bar.get_width() for bar in axes.patches[::2]] == [0.5, 0.25, 0.25]
    shares = {"reaction": rng.random((3, 4, 5)), "diffusion": rng.random((3, 4, 5))}
    maps = save(plotting.operator_maps(shares, "Block 1"), tmp_path).axes
    np.testing.assert_array_equal(maps[4].images[0].get_array(), shares["diffusion"][1])


def test_large_growth_is_drawn_on_a_logarithmic_scale(tmp_path):
    class Block:
        name, relative_norm, growth = "block_1", np.ones((3, 2)), np.array([[1.0, 1.0], [10.0, 20.0], [100.0, 400.0]])

    norm, growth = save(plotting.dynamics({"parabolic": [Block]}), tmp_path).axes
    assert (norm.get_yscale(), growth.get_yscale()) == ("linear", "log")
    assert growth.lines[-1].get_ydata().tolist() == [1, 15, 250]
    save(plotting.energy(np.ones((4, 2)), "Block 1"), tmp_path)


def test_scores_have_their_own_axis(tmp_path):
    x, scores = np.zeros((2, 8, 8, 1)), [[1.2, -0.3], [0.1, 0.8]]
    figure = save(plotting.predictions(x, [0, 1], scores, "ab", probabilities=False), tmp_path)
    assert figure.axes[1].get_xlim() == figure.axes[3].get_xlim() == (-0.3, 1.2)
    assert "probabilities" not in figure.get_suptitle()


def test_theta_over_time(tmp_path, rng):
    kernel = rng.normal(size=(5, 2, 3, 3, 2, 4))
    axes = save(plotting.theta(kernel, 0.5, entries=7), tmp_path).axes
    assert len(axes) == 1
    assert len(axes[0].lines) == 7
    first, last = axes[0].lines[0], axes[0].lines[-1]
    np.testing.assert_allclose(first.get_xdata(), 0.5 * np.arange(6))
    np.testing.assert_array_equal(first.get_ydata(), [*kernel[:, 0, 0, 0, 0, 0], kernel[-1, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(last.get_ydata()[:5], kernel[:, -1, -1, -1, -1, -1])
    panels = save(plotting.theta({"one": kernel, "half": kernel / 2}, 0.5), tmp_path).axes
    assert [panel.get_title() for panel in panels] == ["one", "half"]
    assert panels[0].get_ylim() == panels[1].get_ylim()


def test_theta_of_a_single_weight(tmp_path):
    assert len(save(plotting.theta(np.zeros((1, 1, 1, 1, 1)), 1.0), tmp_path).axes[0].lines) == 1
