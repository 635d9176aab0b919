"""Every example runs at a small setting, and does what it says."""

import collections
import importlib.util
import itertools
import json
import pathlib
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pdecnn as pde
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.tuning.sizes import count_weights

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


def load(name, **constants):
    """Import an example and set its constants."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for constant, value in constants.items():
        assert hasattr(module, constant), constant
        setattr(module, constant, value)
    return module


@pytest.fixture(autouse=True)
def shared(monkeypatch):
    """Let examples import what they share, as they do when they are run."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(EXAMPLES)])


@pytest.fixture
def images(tmp_path):
    """Return the path of 50 random images in the shape of CIFAR's."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (50, 8, 8, 3), dtype=np.uint8), np.arange(50) % 2
    np.savez(tmp_path / "images.npz", x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
    return str(tmp_path / "images.npz")


@pytest.mark.slow
def test_digits(capsys):
    load("digits", NETWORKS=("parabolic",), WIDTHS=(4,), STEPS=1, EPOCHS=1, BATCH=256).main()
    *_, name, weights, accuracy, _, _ = capsys.readouterr().out.split("|")
    assert name.strip() == "parabolic"
    recipe = Recipe(architecture="parabolic", widths=(4,), steps=1)
    assert int(weights.replace(",", "")) == count_weights(recipe, (8, 8, 1), 10)
    assert float(accuracy.split()[0]) >= 0


@pytest.mark.slow
def test_cifar10(images, tmp_path, capsys):
    example = load("cifar10", DATA=images, WIDTHS=(4, 4), PHASES=((0.1, 1), (0.01, 1)), BATCH=10)
    assert [example.schedule(epoch) for epoch in range(3)] == [0.1, 0.01, 0.01]
    example.FILE = tmp_path / "network.keras"
    example.main()
    assert "Test accuracy: " in capsys.readouterr().out
    assert keras.saving.load_model(example.FILE).output_shape == (None, 2)


@pytest.mark.slow
def test_ablation_of_certificates(tmp_path, monkeypatch, capsys, eager):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (80, 28, 28, 1), dtype=np.uint8), np.arange(80) % 10
    np.savez(tmp_path / "images.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    example = load("ablation_certificates", EPOCHS=1, HELD_BACK=0.0, BATCH=40, ATTACK_STEPS=2, RESTARTS=1)
    given = ["", str(tmp_path), "--data", str(tmp_path / "images.npz"), "--networks", "Hamiltonian", "no blocks"]
    monkeypatch.setattr(sys, "argv", [*given, "--examples", "20", "--attacked", "2"])
    example.main()
    out = capsys.readouterr().out
    assert "| no blocks | 13,334 | 1 | 1.000 |" in out
    assert "Hamiltonian_0: 0 of 2 certificates violated" in out
    assert "| Hamiltonian_0 | blocks: all steps together" in out


@pytest.mark.slow
def test_tasks(tmp_path, eager):
    example = load("tasks", TRAIN=24, TEST=12, EPOCHS=1)
    example.SETTINGS |= {"widths": (4,), "steps": 1, "batch_size": 8, "recalibrate": False}
    lines = example.main("parabolic", tmp_path)
    assert [line.partition(" ")[0] for line in lines] == ["regression:", "multi_label:", "binary:"]
    assert {path.name for path in tmp_path.iterdir()} >= {"regression", "regression.npz", "multi_label", "binary"}


@pytest.mark.slow
def test_multilevel(tmp_path, capsys, eager):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (20, 28, 28, 1), dtype=np.uint8), np.arange(20) % 10
    np.savez(tmp_path / "images.npz", x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
    level = pde.training.Level
    ways = {"directly": (level(2, 1),), "two levels": (level(1, 1, factor=1 / 2), level(2, 1))}
    load("multilevel", STEPS=2, WIDTHS=(2,), EPOCHS=1, BATCH=10, WAYS=ways).main(tmp_path / "images.npz", (0,))
    rows = [row.split("|") for row in capsys.readouterr().out.splitlines()[2:]]
    assert [row[2].strip() for row in rows] == list(ways)
    assert rows[0][5].strip() == "1.00"


@pytest.mark.slow
def test_optimal_control(tmp_path, eager):
    """Without penalties, what each layer maximises has the slope of minus the loss."""
    example = load("optimal_control", WIDTH=4, STEPS=1, BATCH=20, INNER=1, EVERY=1)
    model = example.network(0)
    x, y = (np.concatenate(arrays)[:20] for arrays in zip(*pde.data.load("digits").test, strict=True))
    x, control = tf.constant(x, tf.float32), example.Control(model, 0.0)
    states, adjoints = control._states(x, y)
    weights = [layer.trainable_variables for layer in control.layers]
    with tf.GradientTape() as tape:
        loss = model.loss(y, model(x))
    slopes = tape.gradient(loss, weights)
    for index, function in enumerate(control.negatives):
        flat = tf.concat([tf.reshape(weight, [-1]) for weight in weights[index]], 0)
        _, slope = function(flat, states[index], adjoints[index], states[index + 1], adjoints[index + 1])
        expected = np.concatenate([np.ravel(part) for part in slopes[index]])
        np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-6)
    example.main(1, 1.0, tmp_path)
    rows = (tmp_path / "table.md").read_text().splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["optimal control", "SGD", "Adam"]
    assert (tmp_path / "optimal_control.png").exists()


def test_cifar10_has_the_settings_of_the_paper():
    example, recipe = load("cifar10"), pde.recipes.RECIPES["cifar10"]
    rates, epochs = zip(*example.PHASES, strict=True)
    assert (example.WIDTHS, rates, epochs) == (recipe.widths, recipe.learning_rates, recipe.epochs)
    assert (recipe.batch_size, recipe.time_smoothness, recipe.steps) == (example.BATCH, example.ALPHA, example.STEPS)


@pytest.mark.slow
def test_memory_over_depth(capsys):
    load("memory_over_depth", MODES=("reversible",), DEPTHS=(4,), SIZE=16, CHANNELS=4, BATCH=1).main()
    assert " MB, " in capsys.readouterr().out.splitlines()[2]


@pytest.mark.slow
def test_search_mirrored(tmp_path, capsys, two_devices):
    example = load("search_mirrored", FOLDER=str(tmp_path / "search"), TRIALS=1, EPOCHS=1, STEPS=1, WIDTHS=[2])
    example.main()
    assert capsys.readouterr().out.count(" %  {") == 1


@pytest.mark.slow
def test_robustness(tmp_path, capsys, eager):
    networks = {"residual": {"widths": (4,)}, "parabolic": {"widths": (4,), "head_width": 4, "provable": True}}
    small = {"NETWORKS": networks, "STEPS": 1, "EPOCHS": 1, "BATCH": 256, "TEST_IMAGES": 40}
    load("robustness", DISTANCES=(0, 2), IN_TABLE=(2,), ATTACK_STEPS=2, **small).main(str(tmp_path / "figure.png"))
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[-2:]]
    assert [row[0] for row in rows] == ["residual", "parabolic, provable"]
    for _, clean, _, attack, certified in rows:
        assert float(certified) <= float(attack) <= float(clean)
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.slow
def test_export_and_serve(tmp_path, capsys):
    load("export_and_serve", WIDTHS=(4,), EPOCHS=1, IMAGES=2).main(tmp_path)
    exported, *rest = capsys.readouterr().out.splitlines()
    assert exported == f"Exported: {tmp_path / 'digits' / '1'}"
    labels = {line.split(": ")[1].split(",")[0] for line in rest}
    assert len(labels) == 1  # of raw pixels, encoded images, LiteRT and ONNX
    answers = [json.loads((tmp_path / f"{name}_answer.json").read_text()) for name in ("pixels", "encoded")]
    assert answers[0].keys() == {"predictions"}
    assert [row.keys() for row in answers[0]["predictions"]] == [{"probabilities", "class", "label"}] * 2
    for rows in zip(*(answer["predictions"] for answer in answers), strict=True):
        np.testing.assert_allclose(rows[0]["probabilities"], rows[1]["probabilities"], atol=1e-6)


@pytest.mark.slow
def test_own_folder(capsys):
    load("own_folder", IMAGES=40, WIDTHS=(8,), EPOCHS=12).main()
    accuracy, shown = capsys.readouterr().out.splitlines()[-2:]
    assert float(accuracy.split()[-2]) > 80
    assert shown.split(": ")[1] in ("stripes", "rings")


def test_own_pde_solves_its_equation(float64, rng, randomize):
    example = load("own_pde")
    y = rng.normal(size=(2, 5, 5, 6))
    block = example.ExcitableBlock(2, step_size=0.3)
    block.build(y.shape)
    randomize(block)
    assert block.backprop == "stored"  # diffusion cannot be run backwards
    u, v = np.split(y, 2, axis=-1)
    for j in range(2):
        theta = [weight[j, 0] for weight in (block.kernel, block.scale, block.bias)]
        u = u + 0.3 * pde.ops.symmetric_layer(u, *theta, activation=keras.activations.relu).numpy()
        u = u - 0.3 * v
        v = v + 0.3 * example.RECOVERY * u
    np.testing.assert_allclose(block(y), np.concatenate([u, v], axis=-1), rtol=0, atol=1e-13)


def test_own_pde_has_a_step_limit(rng):
    """Kernels of one pixel, whose norm is known exactly: the limit is where the linearised step becomes unstable."""
    settings = {"kernel_size": 1, "activation": "linear", "normalization": None, "padding": "periodic"}
    block = load("own_pde").ExcitableBlock(1, step_size="auto", max_step_size=100.0, **settings)
    model = keras.Sequential([keras.Input((4, 4, 6)), block])
    block.kernel.assign(rng.normal(size=block.kernel.shape))
    limit, x = float(pde.stability.step_limit(block)[0]), rng.normal(size=(1, 4, 4, 6))
    assert 0.7 * limit < float(block.current_step_size()) <= 0.9 * limit
    for factor in (0.99, 1.01):
        block.step_size = factor * limit
        (row,) = pde.stability.report(model, x)
        assert (row.limit, row.claim, row.is_passed) == (limit, "linearisation", factor > 1)
        assert (row.spectral_radius > 1) == (factor > 1)
    assert pde.stability.lipschitz_bound(model) is None  # the block has no bound, and says so
    assert "ExcitableBlock" in pde.stability.layer_bounds(model)[0].reason


@pytest.mark.slow
def test_own_pde(tmp_path, capsys):
    example = load("own_pde", WIDTH=4, STEPS=2, EPOCHS=1)
    example.main()
    assert "Test accuracy: " in capsys.readouterr().out
    model = example.network((8, 8, 1), 10)
    model.save(tmp_path / "own.keras")
    x = np.ones((1, 8, 8, 1))
    np.testing.assert_array_equal(model(x), keras.saving.load_model(tmp_path / "own.keras")(x))


@pytest.mark.slow
def test_revnet38(images, capsys):
    example = load("revnet38", DATA=images, WIDTHS=(4, 8), UNITS=2, PHASES=((0.1, 1), (0.01, 1)), BATCH=10)
    rates = example.schedule(steps=4)
    assert [float(rates(step)) for step in range(5)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.01])
    example.main()
    assert "Test accuracy: " in capsys.readouterr().out


def test_revnet38_has_the_size_of_its_paper():
    assert load("revnet38").network((32, 32, 3), 10).count_params() == pytest.approx(0.46e6, rel=0.02)


@pytest.mark.slow
def test_reversible_transformer(capsys):
    load("reversible_transformer", LENGTH=4, WIDTH=4, HEADS=1, DEPTH=2, EXAMPLES=100, EPOCHS=1).main()
    assert "Digits in the right place: " in capsys.readouterr().out


@pytest.mark.slow
def test_invertible_1d(capsys):
    load("invertible_1d", LENGTH=32, WIDTH=4, DEPTH=2, EXAMPLES=100, EPOCHS=1).main()
    assert float(capsys.readouterr().out.split()[-1]) < 1e-4


def test_figures(images, tmp_path, capsys, eager):
    example = load("figures/accuracy_over_data", SHARES=(0.2, 0.8))
    example.main(images, tmp_path, "epochs=1", "widths=4", "steps=1", "batch_size=8")
    *_, row = capsys.readouterr().out.splitlines()
    assert len([float(cell) for cell in row.split("|")[2:-1]]) == 2
    with np.load(tmp_path / "0.2.npz") as part:
        assert len(part["x_train"]) == 10
    runs = [str(tmp_path / f"{name}-0.8") for name in ("hamiltonian", "parabolic")]
    load("figures/confusion_matrices").main(tmp_path / "confusion.png", *runs)
    histories = {"hamiltonian": [0.5, 0.6], "parabolic": [0.4, 0.7]}
    figure = load("figures/validation_accuracy").draw(histories)
    assert [line.get_label() for line in figure.axes[0].lines] == ["Hamiltonian", "parabolic"]
    assert all((tmp_path / name).exists() for name in ("accuracy_over_data.png", "confusion.png"))


@pytest.mark.slow
def test_fine_tuning(tmp_path, capsys, eager):
    widths = (4, 4)
    pde.models.HamiltonianCNN((32, 32, 3), 10, widths=widths).save(tmp_path / "network.keras")
    example = load("fine_tuning", IMAGES=20, WIDTHS=widths, EPOCHS=1, TEST=20)
    example.main(weights=tmp_path / "network.keras")
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()[1:]] == [
        "trained weights",
        "from scratch",
    ]


@pytest.mark.slow
def test_comparison_with_pytorch_and_jax(capsys):
    """A column of the package, that of JAX, and those of the packages for PyTorch that are installed."""
    installed = [name for name in ("memcnn", "revlib") if importlib.util.find_spec(name)]
    if not all(map(importlib.util.find_spec, ("jax", "torch"))):
        pytest.skip("needs keras-pdecnn[jax,torch]")
    example = load("benchmarks/against_pytorch", torch_python=lambda: sys.executable)
    every = [*example.couplings(2, ["torch"], True), *example.networks(["tensorflow"], True)]
    chosen = [contender for contender in every if contender[0] in ("keras_pdecnn, torch", "JAX", *installed)]
    example.table(example.compare(chosen, rounds=1), 2, "images")
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:-1]]
    assert [row[0] for row in rows] == [name for name, *_ in chosen]
    assert len(rows) == 2 + len(installed)
    assert all(float(row[2]) > 0 for row in rows)


def test_bounds_of_a_network_without_all_but_its_convolutions(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES / "benchmarks"))
    example = load("benchmarks/convolutions")
    monkeypatch.setattr(example, "comparisons", lambda small: [(example.OURS, example.THEIRS)])
    alone = {example.FEATURES: 150, example.KERNELS: 50}
    medians = {example.OURS: {"step": 300}, example.THEIRS: {"step": 450}, example.told(example.OURS): alone}
    assert list(example.bounds(medians, small=True)) == [
        ("keras_pdecnn; PyTorch, compiled", "300", "200", "450", "1.50", "2.25")
    ]


@pytest.mark.slow
def test_times_of_convolutions(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(EXAMPLES / "benchmarks"))
    example = load("benchmarks/convolutions", REPETITIONS=1)
    of_package = {name: value for name, value in example.contenders(True).items() if name.startswith("keras_pdecnn")}
    example.contenders = lambda small: of_package
    example.comparisons = lambda small: [(example.OURS, example.MIXED)]
    example.main(1, small=True)
    bounds, times = (
        [line.strip("| ").split(" | ") for line in table.splitlines()]
        for table in capsys.readouterr().out.strip().split("\n\n")
    )
    assert all(float(cell) > 0 for cell in bounds[2][1:])
    assert times[0][1:] == [name for name in of_package if "block" not in name]
    assert all(float(cell) for cell in times[2][1:])


def test_bounds_where_onednn_tells_nothing(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES / "benchmarks"))
    example = load("benchmarks/convolutions")
    silent = collections.defaultdict(lambda: collections.Counter(step=500))
    assert {row[1:] for row in example.bounds(silent, True)} == {("500", "0", "500", "1.00", "")}


def test_parts_of_a_step_add_up(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES / "benchmarks"))
    example = load("benchmarks/convolutions")
    line = "onednn_verbose,v1,primitive,{},cpu,{},jit,{},src:f32 wei:f32,,alg,mb125_ic16,{}"
    calls = [("exec", "convolution", "forward_training", 4), ("exec", "deconvolution", "forward_training", 6)]
    calls += [("exec", "convolution", "backward_weights", 3), ("create", "convolution", "forward_training", 9)]
    calls += [("exec", "pooling", "forward_training", 2), ("exec", "matmul", "undef", 1)]
    found = example.parts([line.format(*call) for call in calls] + ["something else"], 2)
    assert found == {example.FEATURES: 5, example.KERNELS: 1.5, "pooling": 1, "other calls": 0.5}


@pytest.mark.slow
def test_overheads(capsys):
    example = load("benchmarks/overheads", BATCH=2, BATCHES=2, ROUNDS=1, WIDTHS=(4,), STEPS=1, SIZE=8, DEPTHS=(1, 2))
    example.throughput()
    example.tracing()
    names = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert names[2:5] == ["bare step", "fit, arrays", "fit, tf.data"]
    assert names[-2:] == ["1", "2"]


@pytest.mark.parametrize("program", ["denoising_networks", "extrapolation"])
def test_networks_compared_on_images_have_the_same_size(program):
    example = load(program) if importlib.util.find_spec("skimage") else pytest.skip("needs scikit-image")
    shared = load("networks_compared")
    sizes = [shared.weights_of(example.build(name, 3)) for name in (*shared.STEPS, "plain")]
    assert max(sizes) <= 1.02 * min(sizes)


@pytest.mark.slow
def test_denoising_networks(images, tmp_path, capsys, eager):
    pytest.importorskip("skimage", reason="needs scikit-image")
    small = {"WIDTHS": (2, 2), "PLAIN_WIDTH": 2, "PLAIN_DEPTH": 3, "BATCH": 4}
    example = load("denoising_networks", TEST=3, TUNING=2, TV_WEIGHTS=[0.1], NLM_STRENGTHS=[0.8], SHOWN=2, **small)
    example.main(images, [25], [0], ["residual", "plain"], tmp_path / "run", batches=1)
    rows = [line.split("|")[2:6] for line in capsys.readouterr().out.splitlines()[-5:]]
    assert [row[0].strip() for row in rows] == ["noisy", "total variation", "non-local means", "residual", "plain"]
    assert next(float(row[2]) for row in rows) == pytest.approx(20.2, abs=0.7)
    assert (tmp_path / "run" / "denoising-25.png").stat().st_size > 5_000
    facts = [json.loads((tmp_path / "run" / f"{name}-25-0.json").read_text()) for name in ("residual", "plain")]
    assert [there["rate"] for there in facts] == [0.01, 0.002]


@pytest.mark.slow
def test_extrapolation(tmp_path, capsys, monkeypatch, eager):
    pytest.importorskip("skimage", reason="needs scikit-image")
    x = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    x = np.concatenate([x[:, :, :8], x[:, :, 7::-1]], axis=2)  # the right half mirrors the left one
    np.savez(tmp_path / "images.npz", x_train=x, x_test=x)
    small = {"WIDTHS": (2, 2), "PLAIN_WIDTHS": (2, 2), "BATCH": 4, "TEST": 3, "SHOWN": 2}
    example, folder = load("extrapolation", **small), tmp_path / "run"
    arguments = tmp_path / "images.npz", [0, 1], ["residual", "plain"], folder
    for _ in range(2):
        example.main(*arguments, batches=1)
        rows = [line.split("|")[1:4] for line in capsys.readouterr().out.splitlines()[-6:]]
        names = ["mean of the left half", "last column", "mirrored", "biharmonic", "residual", "plain"]
        assert [row[0].strip() for row in rows] == names
        assert float(rows[2][2]) > 100
        assert all("±" in row[2] for row in rows[4:])
        monkeypatch.setattr("networks_compared.train", None)  # what is in the folder is not trained again
    assert (folder / "extrapolation.png").stat().st_size > 5_000
    for other, message in (({"batches": 2}, "had batches 1"), ({"batches": 1, "rate": 0.02}, "had rate 0.01")):
        with pytest.raises(SystemExit, match=f"{message}: give another --folder"):
            example.main(*arguments, **other)


def test_continued_images_keep_the_left_half_and_do_not_know_the_right_one(rng):
    pytest.importorskip("skimage", reason="needs scikit-image")
    example, images = load("extrapolation", WIDTHS=(2, 2), PLAIN_WIDTHS=(2, 2)), rng.uniform(size=(2, 8, 8, 3))
    x = example.halved(images)
    assert np.array_equal(x, example.halved(np.concatenate([images[:, :, :4], rng.uniform(size=(2, 8, 4, 3))], 2)))
    assert x[:, :, 4:, :3] == pytest.approx(np.broadcast_to(images[:, :, :4].mean((1, 2))[:, None, None], (2, 8, 4, 3)))
    for name in ("parabolic", "plain"):
        y = example.build(name, 3).predict(x, verbose=0)
        assert y[:, :, :4] == pytest.approx(images[:, :, :4])
        assert np.abs(y - x[..., :3])[:, :, 4:].max() > 1e-3


@pytest.mark.parametrize(
    "shape, message", [((4, 16, 16), "must have the shape"), ((4, 20, 16, 3), "at least 16"), (None, "a file .npz")]
)
def test_images_that_cannot_be_continued(shape, message, tmp_path):
    pytest.importorskip("skimage", reason="needs scikit-image")
    path = tmp_path / "images.npz"
    if shape:
        np.savez(path, x_train=np.zeros(shape), x_test=np.zeros(shape))
    with pytest.raises(SystemExit, match=message):
        load("extrapolation").main(path, [0], ["plain"], tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["parabolic", "hamiltonian", "second_order", "residual", "plain"])
def test_networks_see_across_the_missing_half_of_a_photograph(name, rng, eager):
    pytest.importorskip("skimage", reason="needs scikit-image")
    model = load("extrapolation").build(name, 3)
    x = rng.uniform(size=(1, 64, 64, 4)).astype("float32")
    other = x.copy()
    other[:, :, 31] += 1
    change = np.abs(model.predict(x, verbose=0) - model.predict(other, verbose=0))
    assert change[:, :, -1].max() > 1e-4


def test_photographs_are_patches_of_different_images_for_training_and_testing():
    pytest.importorskip("skimage", reason="needs scikit-image")
    name, x_train, x_test = load("images_compared").read(None, 500)
    assert (name, x_train.shape[1:], x_train.dtype) == ("photographs", (64, 64, 3), np.uint8)
    assert x_test.shape == (8 * 8 + 6 * 9 + 4 * 7, 64, 64, 3)
    assert (x_test.min(), x_test.max()) == (0, 1)
    patches = {patch.tobytes() for patch in x_train}
    assert len(patches) > 3000
    assert not patches & {np.uint8(np.rint(255 * patch)).tobytes() for patch in x_test}


def test_the_ends_of_a_swab_tell_its_class(tmp_path):
    example = load("q_tips")
    example.main(tmp_path / "q_tips.npz", train=5, test=2, picture=tmp_path / "q_tips.png")
    with np.load(tmp_path / "q_tips.npz") as file:
        images, classes = np.concatenate([file["x_train"], file["x_test"]]), file["y_train"]
    assert images.shape == (7, 64, 64, 1)
    assert set(np.unique(classes)) == {0, 1, 2, 3}
    for image, of_pixels in zip(images[..., 0], classes, strict=False):
        assert image[of_pixels == 0].mean() == pytest.approx(example.BACKGROUND, abs=1)
        assert not (image[of_pixels == 1] < 60).any()  # no black end
        assert not (image[of_pixels == 2] > 200).any()  # no white end
    assert (tmp_path / "q_tips.png").stat().st_size > 5_000


def test_parts_of_a_brain_for_training_and_test_are_apart(tmp_path, capsys):
    """The stand-in gets brighter from back to front, and has white matter below grey."""
    image, grey, white = np.zeros((3, 9, 130, 12), "float32")
    inside = np.s_[1:8, 5:125, 2:10]  # 120 voxels from back to front
    image[inside] = np.linspace(0.5, 1, 120)[:, None]
    grey[inside], white[1:8, 5:125, 2:6] = 0.6, 0.7
    example = load("brain", template=lambda: (image, grey, white))
    example.main(tmp_path / "brain.npz", tmp_path / "brain.png")
    with np.load(tmp_path / "brain.npz") as file:
        x, y = file["x_train"], file["y_train"]
        x_test = file["x_test"]
    assert x.dtype == y.dtype == np.uint8
    assert x.shape == (3, 16, 8, 8, 1)
    assert x_test.shape == (2, 24, 8, 8, 1)
    assert (y[0, 0, :, :7].T == [1, 1, 1, 1, 2, 2, 2, 2]).all()  # from top to bottom
    assert not y[..., 7].any()  # to fill up, with the pixels
    assert not x[..., 7, 0].any()
    ends = [part[[0, -1], 0, 0, 0] for part in (x[0], x_test[0], x[1], x_test[1], x[2])]
    gaps = [later[0] - earlier[1] for earlier, later in itertools.pairwise(ends)]
    assert (np.array(gaps, int) >= 7).all()  # 6 voxels of about one grey value each
    out = capsys.readouterr().out
    assert "test: 2 volumes of 24x8x8, shares of the classes 0.125, 0.438, 0.438" in out
    assert "on the test volumes" in out
    counts = example.histogram(np.array([0, 10, 20, 30], np.uint8), np.array([0, 1, 2, 2], np.uint8))
    assert example.overlap(counts, 5, 15) == 1
    assert example.overlap(counts, 5, 25) == pytest.approx(2 / 3)  # 1, 1/2 and 1/2
    assert (tmp_path / "brain.png").stat().st_size > 5_000


def test_a_brain_needs_nilearn(monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(SystemExit, match="pip install nilearn"):
        load("brain").template()


def test_the_same_seed_draws_the_patches_it_always_has():
    x = np.arange(48, dtype=np.uint8).reshape(1, 6, 8, 1)
    images, classes, _ = load("membranes", PATCH={2: 2}, BATCH=3).Patches(x, x[..., 0] % 2, np.ones(2), 4, 1)[0]
    assert images[..., 0].astype(int).tolist() == [[[38, 30], [39, 31]], [[22, 23], [30, 31]], [[18, 19], [10, 11]]]
    assert np.array_equal(classes, images[..., 0] % 2)


def test_patches_of_volumes_are_mirrored_along_each_axis():
    x = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(1, 4, 5, 6, 1)
    images, classes, _ = load("membranes", PATCH={3: 2}, BATCH=200).Patches(x, x[..., 0] % 2, np.ones(2), 0, 1)[0]
    images = images[..., 0].astype(int)
    assert images.shape == classes.shape == (200, 2, 2, 2)
    assert np.array_equal(classes, images % 2)
    steps = np.stack([images[:, 1, 0, 0], images[:, 0, 1, 0], images[:, 0, 0, 1]], axis=1) - images[:, :1, 0, 0]
    assert np.array_equal(np.unique(abs(steps), axis=0), [[30, 6, 1]])
    assert len(np.unique(steps, axis=0)) == 8


def test_overlaps_leave_out_absent_classes():
    """Of three classes, the last one is in no pixel and never predicted."""
    found = load("membranes").scores(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 0, 0, 1, 1]), 3)
    assert found["each"] == pytest.approx([3 / 4, 2 / 3, np.nan], nan_ok=True)
    assert found["mean"] == pytest.approx(17 / 24)


@pytest.mark.parametrize("shape", [(2, 4, 6, 1), (2, 4, 6, 8, 1)])
def test_predictions_of_turned_copies_are_turned_back(shape):
    """A prediction that grows along the last axis is constant in the mean over the copies."""
    predict, images = load("membranes").predict, np.random.default_rng(0).uniform(size=shape)
    model = types.SimpleNamespace(predict=lambda x, **_: x + np.arange(x.shape[-2])[:, None])
    assert predict(model, images) == pytest.approx(model.predict(images))
    means = {4: 2.0, 5: 3.5}  # of 0 … 3 and 0 … 5; of 0 … 7
    assert predict(model, images, turned=True) - images == pytest.approx(np.full(shape, means[len(shape)]))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(16, 16), (8, 12, 8)])
def test_membranes(size, tmp_path, capsys, monkeypatch, eager):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (3, *size, 1), dtype=np.uint8), rng.integers(0, 2, (3, *size), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x[:1], y_test=y[:1])
    example = load("membranes", PATCH={2: 8, 3: 4}, BATCH=2)
    names, folder, settings = ["parabolic", "plain"], tmp_path / "run", {"batches": 1, "widths": (2, 2)}
    example.main(tmp_path / "data.npz", names, [0], folder, **settings)
    rows = [line.split("|")[1:6] for line in capsys.readouterr().out.splitlines()[-2:]]
    assert [row[0].strip() for row in rows] == names
    monkeypatch.setattr("networks_compared.train", None)  # what is in the folder is not trained again
    example.main(tmp_path / "data.npz", names, [0], folder, **settings)
    assert capsys.readouterr().out.count("| parabolic") == 1
    assert all(0 <= float(row[2]) <= 1 for row in rows)
    assert (tmp_path / "run" / "membranes.png").exists()


@pytest.mark.parametrize(("axes", "widths"), [(2, (16, 32, 64, 128)), (3, (8, 16, 30))])
def test_membranes_networks_have_the_same_size(axes, widths):
    example = load("membranes")
    names = (*load("networks_compared").STEPS, "plain")
    sizes = [example.weights_of(example.build(name, (*axes * [None], 1), 2, widths)) for name in names]
    assert max(sizes) <= 1.02 * min(sizes)
    if widths == example.WIDTHS:
        assert sizes[-1] == 514_334  # as it has been trained for the documentation
