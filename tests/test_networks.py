"""The table of the networks: one from outside takes part in everything, and nothing else in the package lists them."""

import ast
import pathlib

import click.testing
import keras
import keras_tuner as kt
import numpy as np
import pytest

import keras_pdecnn as pde
from keras_pdecnn import cli, explain, networks, plotting, stability, training, tuning
from keras_pdecnn.benchmarks import block, network, suite
from keras_pdecnn.plotting import style
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.tuning.space import Space

PACKAGE = pathlib.Path(pde.__file__).parent

# A network from outside

wave = pde.ops.Integrator(
    # z += h F(theta, y), y += h z: the first half of the channels is y, the second half z.
    name="symplectic Euler",
    fields=1,
    parts=2,
    updates=(pde.ops.Update(target=1, source=0, field=0), pde.ops.Update(target=0, source=1)),
    start=pde.ops.verlet.start,
    finish=pde.ops.verlet.finish,
    limit=lambda lipschitz, norms: 2 / (lipschitz**0.5 * norms[:, 0]),
)


@keras.saving.register_keras_serializable(package="my_package")
class WaveBlock(pde.layers.PDEBlock):
    """N steps of y' = z, z' = F_sym(theta, y), a wave equation."""

    integrator = wave


def WaveCNN(input_shape, classes, widths, steps, step_size, head_width, classifier_activation, **settings):
    """Build a network of wave blocks from the settings of a recipe."""
    shared = ("activation", "backprop", "kernel_size", "normalization", "padding")
    inputs = keras.Input(input_shape)
    y = pde.layers.Connector(widths[0], kernel_size=3, pool_size=1)(pde.layers.Standardization()(inputs))
    for i, width in enumerate((*widths[1:], head_width or widths[-1]), start=1):
        block_settings = {name: settings[name] for name in shared}
        y = WaveBlock(steps, step_size, name=f"block_{i}", **block_settings)(y)
        y = pde.layers.Connector(width, pool_size=2 if i < len(widths) else 1)(y)
    y = keras.layers.GlobalAveragePooling2D()(y)
    return pde.models.PDEModel(inputs, keras.layers.Dense(classes, activation=classifier_activation)(y))


@pytest.fixture(autouse=True)
def record():
    record = pde.models.Network(label="wave", block=WaveBlock, builder=WaveCNN, equation="z += h F(y), then y += h z")
    pde.models.NETWORKS["wave"] = record
    yield record
    del pde.models.NETWORKS["wave"]


# What it takes part in


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Return the path of a small data set: 8 x 8 images with stripes, lying (class 0) or standing (class 1)."""
    y = np.arange(64) % 2
    x = np.random.default_rng(0).integers(0, 60, (64, 8, 8, 1))
    x[y == 0, ::2] += 120
    x[y == 1, :, ::2] += 120
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    np.savez(path, x_train=x.astype(np.uint8), y_train=y, x_test=x[:10].astype(np.uint8), y_test=y[:10])
    return str(path)


def small(**settings):
    settings = {"widths": (4, 6), "steps": 2, "step_size": 0.5, "batch_size": 12, "pad": 0.0, **settings}
    return Recipe(architecture="wave", epochs=1, learning_rates=0.1, **settings)


SETTINGS = ("--widths", 4, "--epochs", 1, "--learning-rates", 0.1, "--pad", 0)


def invoke(*arguments):
    """Return what a command prints."""
    done = click.testing.CliRunner().invoke(cli.main, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.stdout


def build(recipe):
    return training.build(recipe, pde.data.Info("stripes", (8, 8, 1), 2, ("lying", "standing"), {}, "uint8"))


def test_its_weights_are_counted():
    for recipe in (small(), small(normalization=None, head_width=5, kernel_size=5)):
        count = sum(np.prod(weight.shape) for weight in build(recipe).trainable_weights)
        assert tuning.count_weights(recipe, (8, 8, 1), 2) == count


def test_the_estimate_of_its_memory_knows_that_it_is_reversible():
    def memory(steps, backprop=None):
        recipe = small(steps=steps, backprop=backprop, widths=(16,), batch_size=32)
        return tuning.training_memory(recipe, (32, 32, 3), 10) - 12 * tuning.count_weights(recipe, (32, 32, 3), 10)

    features = 4 * 32 * 32 * 32 * 16
    assert memory(64) == memory(4) == memory(64, "reversible")
    # F is evaluated on half of the channels: input, K y and activation of each step are kept.
    assert memory(64, "stored") - memory(4, "stored") == 60 * 3 * features // 2
    # Other modes keep the input and K y of the last steps, and only the inputs of opening and connector.
    assert memory(3, "stored") - memory(3, "reversible") == (3 * (3 - 2) + 2 * 2 * (3 - 1)) * features // 2


def test_a_search_finds_it(archive, tmp_path, eager):
    space = Space(Recipe(backprop="reversible", step_size="auto"), (8, 8, 1), {"architecture": True})
    assert space.ranges["architecture"] == [*list(pde.models.NETWORKS)[:4], "wave"]
    hp = tuning.PDEHyperModel(small(data=archive), steps=[2], step_size=False, width=False)
    values = kt.HyperParameters()
    hp.declare_hyperparameters(values)
    assert values.values["architecture"] == "wave"
    assert type(hp.build(values).blocks[0]) is WaveBlock
    changed = space._apply({"architecture": "wave"})
    assert (changed.backprop, changed.step_size) == ("reversible", "auto")
    searched = ("--search", "architecture=wave", "--search", "steps=1,2", "--step-size", 0.5, "--trials", 1)
    output = invoke("tune", archive, *searched, *SETTINGS, "--verbose", 0, "--output", tmp_path / "search")
    assert "| wave" in output
    assert (tmp_path / "search" / "search.png").exists()


def trial(architecture):
    return {"accuracy": 0.5, "architecture": architecture, "steps": 3, "width": 16, "step_size": 0.5, "weights": 100}


def test_plots_draw_it_and_networks_without_a_record():
    names = ["some_other", "wave", "hamiltonian", "yet_another"]
    figure = plotting.search(list(map(trial, names)))
    over_trials = figure.axes[0]
    labels = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert labels[:4] == ["Hamiltonian", "wave", "some-other", "yet-another"]
    drawn = {line.get_label(): line for line in over_trials.lines}
    for number, label in enumerate(["some-other", "wave", "Hamiltonian", "yet-another"], start=1):
        assert drawn[label].get_xdata().tolist() == [number]
    assert len({drawn[label].get_color() for label in labels[:4]}) == 4
    styles = style.network_styles(["residual", "wave"])
    assert (styles["residual"].marker, styles["residual"].color) == ("D", "#cc79a7")
    pde.models.NETWORKS["wave"] = pde.models.Network(
        label="a wave", block=WaveBlock, builder=WaveCNN, marker="*", color="red"
    )
    assert style.network_styles(["wave"])["wave"] == style.Style("*", "red", "a wave")


def test_the_command_line_trains_and_explains_it(archive, tmp_path, eager):
    run = tmp_path / "run"
    trained = invoke("train", archive, "--architecture", "wave", *SETTINGS, "--verbose", 0, "--output", run)
    assert invoke("evaluate", run).splitlines()[-1] in trained
    invoke("explain", run)
    page = (run / "explain.html").read_text()
    assert "A wave network" in page
    assert "A step is z += h F(y), then y += h z." in page
    assert "Below the limit of its integrator" in page
    assert "round trip" in invoke("stability", run, "--examples", 1)


def test_stability_knows_its_limit_and_claims_nothing(rng):
    model = build(small())
    rows = stability.report(model, rng.normal(size=(1, 8, 8, 1)))
    assert {(row.kind, row.claim) for row in rows} == {("WaveBlock", "comparison")}
    assert all(row.limit is not None and row.round_trip < 1e-4 for row in rows)
    assert stability.lipschitz_bound(model) is None


def test_benchmarks_measure_it():
    for extent in ("quick", "full"):
        wanted = suite.measurements(extent)
        assert {m.settings.get("block") for m in wanted if m.table == "depth"} == {
            "HamiltonianBlock",
            "SecondOrderBlock",
            f"{__name__}:WaveBlock",
        }
        assert f"{__name__}:WaveCNN" in {m.settings["architecture"] for m in wanted if m.table == "network"}
    row = block.measure(1, block=f"{__name__}:WaveBlock", backprop="reversible", steps=2, size=8, batch=1)
    assert row["step_s"] > 0
    row = network.measure(f"{__name__}:WaveCNN", batch=2, size=8, repetitions=1, warmup=0, widths=(4,))
    assert row["weights"] == tuning.count_weights(small(widths=(4,), steps=3), (8, 8, 3), 10)


def test_a_benchmark_cannot_measure_what_a_fresh_process_cannot_import():
    class Inner(WaveBlock):
        pass

    pde.models.NETWORKS["wave"] = pde.models.Network(label="inner", block=Inner, builder=WaveCNN)
    with pytest.raises(ValueError, match=r"can be imported. Received: <class .*Inner"):
        suite.measurements("quick")


@pytest.mark.parametrize("base", [WaveBlock, pde.layers.ParabolicBlock, pde.layers.ResidualBlock])
def test_a_block_without_a_record_is_explained_in_general_words(base, rng):
    class Unknown(base):
        integrator = pde.ops.Integrator("other", 1, base.integrator.updates, wave.start, wave.finish, parts=2)

    inputs = keras.Input((8, 8, 1))
    y = pde.layers.Connector(4, kernel_size=3, pool_size=1)(inputs)
    y = keras.layers.GlobalAveragePooling2D()(Unknown(2)(y))
    model = pde.models.PDEModel(inputs, keras.layers.Dense(2, activation="softmax")(y))
    assert networks.record_of(model.blocks[0]) is None
    page = explain.page(model, rng.normal(size=(1, 8, 8, 1)), ["a", "b"])
    assert "Nothing is known that makes the steps of this network stable" in page
    assert "A step is" not in page


def test_a_subclass_has_the_record_of_its_base():
    class Small(pde.layers.HamiltonianBlock):
        pass

    assert networks.record_of(Small(2)) is networks.NETWORKS["hamiltonian"]


@pytest.mark.parametrize("wrong", [{"label": ""}, {"label": None}, {"block": keras.layers.Dense}, {"builder": None}])
def test_wrong_records(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"Received: {name}="):
        pde.models.Network(**{"label": "wave", "block": WaveBlock, "builder": WaveCNN, **wrong})


# What the package itself has


def test_the_table_is_that_of_the_builders_and_blocks(record):
    del pde.models.NETWORKS["wave"]
    try:
        assert list(pde.models.NETWORKS) == ["hamiltonian", "parabolic", "second_order", "residual"]
        assert {name: n.builder for name, n in pde.models.NETWORKS.items()} == pde.models.ARCHITECTURES
        for own in pde.models.NETWORKS.values():
            model = own.builder((8, 8, 1), classes=2, widths=(4,))
            assert type(model.blocks[0]) is own.block
            assert networks.record_of(model.blocks[0]) is own
            assert all((own.equation, own.stability, own.marker, own.color))
        assert [name for name, n in pde.models.NETWORKS.items() if n.is_reversible] == ["hamiltonian", "second_order"]
        assert [name for name, n in pde.models.NETWORKS.items() if not n.has_step_limit] == ["residual"]
        assert [n.relative_size for n in pde.models.NETWORKS.values()] == [0.5, 1, 1, 2]
    finally:
        pde.models.NETWORKS["wave"] = record


def listed(source, names):
    """Return the line and the name of each identifier and text of a program, docstrings excepted, that is a name."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        values = [getattr(node, key, None) for key in ("id", "attr", "name")]
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            values.append(node.value)
        yield from ((node.lineno, value) for value in values if isinstance(value, str) and value in names)


def names_of_the_networks():
    own = {name: record for name, record in pde.models.NETWORKS.items() if name != "wave"}
    objects = [part for record in own.values() for part in (record.block, record.builder)]
    return {*own, *(name.replace("_", "-") for name in own), *(part.__name__ for part in objects)}


def test_nothing_else_lists_networks():
    names = names_of_the_networks()
    places = []
    for path in sorted(PACKAGE.rglob("*.py")):
        inner = path.relative_to(PACKAGE)
        if inner.parts[0] not in ("layers", "models", "networks"):
            source = path.read_text(encoding="utf-8")
            places += [f"{inner}:{line} {name}" for line, name in listed(source, names)]
    assert places == []


@pytest.mark.parametrize(
    "source",
    ['NAMES = ("second_order",)', "isinstance(block, layers.HamiltonianBlock)", "from layers import ParabolicBlock"],
)
def test_a_list_of_networks_would_be_noticed(source):
    assert list(listed(source, names_of_the_networks()))
    assert not list(listed('"""HamiltonianBlock"""\n\n\ndef f():\n    """residual"""\n', names_of_the_networks()))
