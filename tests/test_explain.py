"""Explaining a network: its dynamics, attribution, and the page, also in a real browser."""

import html
import html.parser
import json
import pathlib
import re
import shutil
import subprocess

import click.testing
import keras
import numpy as np
import pytest
from PIL import Image

from keras_pdecnn import cli, explain, layers, models, plotting, stability, training
from keras_pdecnn.explain import sections
from keras_pdecnn.recipes import Recipe
from keras_pdecnn.runs import RunFolder

SHAPE, CLASSES = (8, 8, 1), 3


def network(architecture="hamiltonian", shape=SHAPE, **settings):
    settings = {"widths": (4, 6), "steps": 2, "step_size": 0.5, **settings}
    return models.ARCHITECTURES[architecture](shape, CLASSES, **settings)


@pytest.fixture
def x(rng):
    return rng.integers(0, 17, (3, *SHAPE)).astype("uint8")


# Attribution


@pytest.mark.parametrize("architecture", ["hamiltonian", "residual"])
def test_saliency_against_finite_differences(float64, randomize, rng, x, architecture):
    logits = randomize(network(architecture, classifier_activation=None))
    softmax = network(architecture)
    softmax.set_weights(logits.get_weights())
    classes = np.array([2, 0, 1])
    found = explain.saliency(softmax, x, classes)
    assert found.shape == x.shape
    for _ in range(3):
        direction, step = rng.normal(size=x.shape), 1e-5
        ahead, behind = (logits(x + sign * step * direction).numpy()[range(3), classes] for sign in (1, -1))
        expected = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(np.sum(found * direction, axis=(1, 2, 3)), expected, rtol=1e-6)


def test_smooth_grad_is_the_mean_of_gradients(float64, randomize, x):
    model = randomize(network("parabolic"))
    plain = explain.saliency(model, x, 1)
    np.testing.assert_allclose(explain.smooth_grad(model, x, 1, samples=2, noise=0.0), plain, rtol=1e-12)
    noise = np.random.default_rng(5).normal(size=(4, *SHAPE))
    deviation = 0.2 * (float(x[0].max()) - float(x[0].min()))
    expected = explain.saliency(model, x[0] + deviation * noise, 1).mean(axis=0)
    found = explain.smooth_grad(model, x, 1, samples=4, noise=0.2, seed=5)
    np.testing.assert_allclose(found[0], expected, rtol=1e-12, atol=1e-15)
    assert np.abs(found[0] - plain[0]).max() > 1e-3 * np.abs(plain[0]).max()


@pytest.mark.parametrize("shape", [(9, 1), (9, 8, 2), (4, 4, 4, 1)], ids=["1D", "2D", "3D"])
def test_a_class_activation_map_adds_up_to_the_logit(float64, randomize, rng, shape):
    model = randomize(network("second_order", shape, classifier_activation=None))
    x = rng.normal(size=(3, *shape))
    classes = [0, 2, 1]
    found = explain.class_activation(model, x, classes)
    assert found.shape == (3, *(size // 2 for size in shape[:-1]))
    bias = model.get_layer("classifier").bias.numpy()
    expected = model(x).numpy()[range(3), classes]
    np.testing.assert_allclose(found.reshape(3, -1).sum(axis=1) + bias[classes], expected, rtol=1e-12)


def test_saliency_of_classifiers_with_another_head(float64, randomize, x):
    """A provable network reads every pixel of its last features; it has a gradient, but no class-activation map."""
    model = randomize(network("parabolic", provable=True, step_size=0.1))
    logits = stability.logits(model)
    found = explain.saliency(model, x, 2)
    ahead, behind = (logits(x + sign * 1e-4 * found).numpy()[:, 2] for sign in (1, -1))
    np.testing.assert_allclose(np.sum(found**2, axis=(1, 2, 3)), (ahead - behind) / 2e-4, rtol=1e-6)
    with pytest.raises(ValueError, match=r"average and a dense layer. Received: parabolic_cnn"):
        explain.class_activation(model, x, 2)


def test_attribution_refuses(x):
    model = network("parabolic")
    for classes in (CLASSES, -1, [0, 1], 0.5, [0, 1, 3]):
        with pytest.raises(ValueError, match=f"below 3. Received: classes={re.escape(repr(classes))}"):
            explain.saliency(model, x, classes)
    with pytest.raises(ValueError, match=r"Received: shape=\(8, 8, 1\)"):
        explain.class_activation(model, x[0], 0)
    with pytest.raises(ValueError, match=r"Received: shape=\(3, 8, 7, 1\)"):
        explain.follow(model, x[:, :, :7])
    with pytest.raises(ValueError, match="Received: samples=0"):
        explain.smooth_grad(model, x, 0, samples=0)
    with pytest.raises(ValueError, match=r"x must be finite. Received: NaN or infinite values in example 1"):
        explain.saliency(model, np.where(np.arange(3).reshape(3, 1, 1, 1) == 1, np.nan, x), 0)
    headless = network("parabolic", include_top=False)
    with pytest.raises(ValueError, match=r"model must be a classifier.*Received: model=<PDEModel name=parabolic_cnn"):
        explain.saliency(headless, x, 0)
    with pytest.raises(ValueError, match=r"include_top=True.*Received: parabolic_cnn"):
        explain.class_activation(headless, x, 0)


# Dynamics


def test_following_a_perturbation(float64, randomize, x):
    model = randomize(network("hamiltonian"))
    first, second = explain.follow(model, x, perturbation=0.01, seed=3)
    assert (first.name, first.trajectory.shape, second.distance.shape) == ("block_1", (3, 3, 8, 8, 4), (3, 3))
    np.testing.assert_allclose(first.trajectory[-1], model.blocks[0](first.trajectory[0]), rtol=1e-12, atol=1e-14)
    # The output of the second block is what connector and head make the prediction of.
    rest = model.get_layer("connector_2")(second.trajectory[-1])
    for name in ("average", "classifier"):
        rest = model.get_layer(name)(rest)
    np.testing.assert_allclose(rest, model(x), rtol=1e-12)
    direction = np.random.default_rng(3).normal(size=x.shape)[0]
    size = np.linalg.norm(x[0] - x[0].mean())
    other = x[:1] + 0.01 * size * direction / np.linalg.norm(direction)
    alone = explain.follow(model, other)[1].trajectory[:, 0] - second.trajectory[:, 0]
    distance = [np.linalg.norm(step) for step in alone]
    np.testing.assert_allclose(second.distance[:, 0], distance, rtol=1e-9)
    np.testing.assert_allclose(second.growth[:, 0], np.divide(distance, distance[0]), rtol=1e-9)
    np.testing.assert_allclose(second.relative_norm[0], 1)


def test_the_parabolic_theorem_is_seen(float64, randomize, x):
    """Without normalisation no distance grows below the limit of the step; far above it, distances do."""
    growth = {}
    for factor in (1, 20):
        model = randomize(network("parabolic", normalization=None, activation="tanh", widths=(4,), steps=6))
        block = model.blocks[0]
        block.kernel.assign(np.broadcast_to(block.kernel[:1], block.kernel.shape))
        block.step_size = factor * float(np.min(stability.step_limit(block)))
        growth[factor] = explain.follow(model, x)[0].growth
    assert np.all(np.diff(growth[1], axis=0) <= 1e-9)
    assert np.all(growth[1][-1] < 0.999)
    assert np.all(growth[20].max(axis=0) > 1.5)


def test_an_example_without_contrast_has_no_growth(x):
    flat = np.concatenate([x[:1], np.full_like(x[:1], 7)])
    growth = explain.follow(network("parabolic"), flat)[0].growth
    assert np.isfinite(growth[:, 0]).all()
    assert np.isnan(growth[:, 1]).all()


class WaveBlock(layers.PDEBlock):
    """A block of one's own with an integrator of the package."""

    integrator = layers.SecondOrderBlock.integrator


@pytest.mark.parametrize("block", [layers.HamiltonianBlock, layers.SecondOrderBlock, WaveBlock])
def test_linear_blocks_conserve_their_energy(float64, rng, block):
    layer = block(50, 0.1, activation="linear", normalization=None, use_bias=False)
    y = layer.trajectory(rng.normal(size=(2, 6, 6, 4)))
    energy = explain.conserved_energy(layer, y)
    assert energy.shape == (51, 2)
    assert np.abs(energy / energy[0] - 1).max() < 1e-12
    norm = np.linalg.norm(np.reshape(y, (51, 2, -1)), axis=-1)
    assert np.abs(norm / norm[0] - 1).max() > 0.1
    layer.kernel.assign(layer.kernel * np.linspace(1, 1.1, 50).reshape(-1, 1, 1, 1, 1, 1))
    assert explain.conserved_energy(layer, y) is None


@pytest.mark.parametrize("block", [layers.HamiltonianBlock, layers.SecondOrderBlock])
def test_blocks_with_the_channels_first_have_the_same_dynamics(float64, randomize, rng, block):
    x, followed, values = rng.normal(size=(2, 4, 6, 4)), [], None
    for place, features in (("last", x), ("first", np.moveaxis(x, -1, 1))):
        settings = {"activation": "linear", "normalization": None, "use_bias": False}
        layer = block(3, 0.1, time_basis="constant", basis_size=1, data_format=f"channels_{place}", **settings)
        model = keras.Sequential([keras.Input(features.shape[1:]), layer])
        values = randomize(layer).get_weights() if values is None else values
        layer.set_weights(values)
        followed.append(explain.follow(model, features)[0])
    last, first = followed
    np.testing.assert_allclose(first.trajectory, last.trajectory, rtol=1e-12)
    np.testing.assert_allclose(first.energy, last.energy, rtol=1e-10)


@pytest.mark.parametrize(
    "layer",
    [
        layers.HamiltonianBlock(2, normalization=None, use_bias=False),
        layers.SecondOrderBlock(2, activation="linear"),
        layers.ParabolicBlock(2, activation="linear", normalization=None, use_bias=False),
        layers.ResidualBlock(2, activation="linear", normalization=None, use_bias=False),
    ],
)
def test_other_blocks_have_no_energy(layer, rng):
    y = layer.trajectory(rng.normal(size=(2, 6, 6, 4)))
    assert explain.conserved_energy(layer, y) is None


def test_several_networks_side_by_side(x, tmp_path):
    found = {name: explain.follow(network(name), x) for name in ("parabolic", "residual")}
    figure = plotting.dynamics(found)
    figure.savefig(tmp_path / "dynamics.png")
    norm, _, growth, _ = figure.axes
    drawn = {line.get_label(): line.get_ydata() for line in growth.lines}
    for name, blocks in found.items():
        np.testing.assert_allclose(drawn[name], np.median(blocks[0].growth, axis=1))
    assert norm.get_title() == "block 1"


# The page


class Reader(html.parser.HTMLParser):
    """What a page consists of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def check_page(text, pictures):
    """Check that a page is whole, accessible, and refers to nothing outside itself."""
    page = Reader(text)
    assert page.tags[0] == ("html", {"lang": "en"})
    assert len(page.all("h1")) == len(page.all("title")) == 1
    assert any("width=device-width" in meta.get("content", "") for meta in page.all("meta"))
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                inside = value.startswith("data:image/png;base64,") or value.removeprefix("#") in anchors
                assert inside, f"<{tag} {name}={value[:80]}>"
            assert name not in ("srcset", "background", "action", "poster")
    assert "url(" not in text
    assert "@import" not in text
    images = page.all("img")
    assert len(images) == pictures == len(page.all("figcaption"))
    assert all(len(image["alt"]) > 30 for image in images)
    return page


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    """Return the path of a small data set: lying and standing stripes."""
    stripes = np.repeat((np.arange(8) % 2)[:, None], 8, axis=1)
    y = np.arange(24) % 2
    x = np.where((y == 0)[:, None, None], 200 * stripes, 200 * stripes.T)[..., None].astype("uint8")
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x[:8], y_test=y[:8], class_names=["<lying>", "standing & straight"])
    return path


@pytest.fixture(scope="module")
def run(bars, tmp_path_factory):
    """Return the folder of a small trained network."""
    recipe = Recipe(data=str(bars), widths=(4, 6), steps=2, epochs=1, learning_rates=0.1, batch_size=8, pad=0.0)
    path = tmp_path_factory.mktemp("runs") / "bars"
    training.run(recipe, path, verbose=0)
    return path


def invoke(*arguments):
    return click.testing.CliRunner().invoke(cli.main, list(map(str, ["explain", *arguments])))


@pytest.fixture(scope="module")
def page(run):
    """Return the path of the page on the run."""
    done = invoke(run)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"Page: {run / 'explain.html'}\n"
    return run / "explain.html"


def test_the_page_of_a_run(page):
    text = page.read_text()
    # Six examples; of two blocks the features, the dynamics and the weights; shares, and maps of two fields each.
    found = check_page(text, pictures=6 + 3 * 2 + 1 + 4)
    accuracy = RunFolder(page.parent).read_metrics()["accuracy"]
    said = "".join(found.text)
    assert f"Accuracy on the test part: {100 * accuracy:.2f}\N{NO-BREAK SPACE}%" in said
    assert "A Hamiltonian network" in said
    assert "standing & straight" in said
    assert not any(tag == "lying" for tag, _ in found.tags)


def test_a_page_is_not_overwritten_unasked(page):
    before = page.read_bytes()
    for extra in ([], ["--output", page]):
        done = invoke(page.parent, *extra)
        assert done.exit_code == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert f"--overwrite is given. Received: {str(page)!r}" in done.stderr
    assert page.read_bytes() == before


def test_images_of_the_user(run, tmp_path):
    Image.fromarray(np.eye(20, dtype="uint8") * 250).save(tmp_path / "one.png")
    (tmp_path / "more").mkdir()
    np.savez(tmp_path / "more" / "two.npz", x=np.random.default_rng(0).integers(0, 255, (2, *SHAPE)))
    output = tmp_path / "page.html"
    output.write_text("old")
    done = invoke(run, tmp_path / "one.png", tmp_path / "more", "--output", output, "--overwrite")
    assert done.exit_code == 0, done.output
    said = "".join(check_page(output.read_text(), pictures=3 + 3 * 2 + 1 + 4).text)
    assert all(name in said for name in ("one.png", "two.npz[0]", "two.npz[1]"))
    assert "true class" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["more", "one.png", "page.html"]


def test_wrong_input_is_one_line_and_exit_code_2(run, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    np.savez(tmp_path / "many.npz", x=np.zeros((17, *SHAPE)))
    np.savez(tmp_path / "shape.npz", x=np.zeros((2, 9, 9, 1)))
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    for index in range(17):
        (tmp_path / "full" / f"{index}.png").touch()
    output = ["--output", tmp_path / "page.html"]
    for arguments in (
        [tmp_path / "nowhere"],
        [run, tmp_path / "bad.png", *output],
        [run, tmp_path / "missing.png", *output],
        [run, tmp_path / "shape.npz", *output],
        [run, tmp_path / "many.npz", *output],
        [run, tmp_path / "empty", *output],
        [run, tmp_path / "full", *output],
        [run, "--output", tmp_path / "no" / "page.html"],
        [run, "--output", tmp_path, "--overwrite"],
    ):
        done = invoke(*arguments)
        assert done.exit_code == 2, arguments
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Received" in done.stderr
        assert tmp_path / "full" not in arguments or "at most 16 examples. Received: 17 files" in done.stderr
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_is_a_failure(run, tmp_path, monkeypatch):
    def fail(path, content):
        raise OSError("disk full")

    monkeypatch.setattr("keras_pdecnn.utils.files.replace", fail)
    monkeypatch.setattr("keras_pdecnn.explain.sections.page", lambda *given: "page")
    np.savez(tmp_path / "x.npz", x=np.ones((1, *SHAPE)))
    done = invoke(run, tmp_path / "x.npz", "--output", tmp_path / "page.html")
    assert done.exit_code == 1
    assert "disk full" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("architecture", "shape", "settings", "pictures"),
    [
        (
            "second_order",
            (16, 1),
            {"normalization": None, "activation": "linear", "use_bias": False},
            1 + 3 + 1 + 1 + 1,
        ),
        ("residual", (8, 8, 8, 1), {"steps": 1, "kernel_size": 5}, 1 + 2),
    ],
    ids=["signal, linear", "volume, one step"],
)
def test_pages_of_other_networks(rng, architecture, shape, settings, pictures):
    model = network(architecture, shape, **{"widths": (4,), **settings})
    text = explain.page(model, rng.normal(size=(1, *shape)), ["a", "b", "c"])
    said = "".join(check_page(text, pictures).text)
    assert ("the discrete energy" in said) == (architecture == "second_order")
    assert ("one step, so there is nothing" in said) == (architecture == "residual")
    assert ("these are 5x5x5" in said) == (architecture == "residual")


def test_pictures_of_a_network_with_the_channels_first(rng, monkeypatch):
    shown = []
    monkeypatch.setattr(plotting, "attribution", lambda *given: shown.append(given))
    last, first = network("parabolic", (8, 6, 2)), network("parabolic", (2, 8, 6), data_format="channels_first")
    first.set_weights(last.get_weights())
    x = rng.normal(size=(1, 8, 6, 2)).astype("float32")
    for model, examples in ((last, x), (first, np.moveaxis(x, -1, 1))):
        sections._attribution(model, examples, np.array([1]), ["example"])
    (example, gradients, activation, _), (other, other_gradients, other_activation, _) = shown
    np.testing.assert_array_equal(other, example)
    np.testing.assert_allclose(other_gradients["saliency"], gradients["saliency"], rtol=1e-5, atol=1e-7)
    assert other_gradients["SmoothGrad"].shape == gradients["SmoothGrad"].shape
    np.testing.assert_allclose(other_activation, activation, rtol=1e-5, atol=1e-7)


# In a browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PROBE = """<!DOCTYPE html><meta charset="utf-8"><pre id="found"></pre>
<iframe style="width: 1280px; height: 900px" srcdoc="{page}"></iframe>
<iframe style="width: 400px; height: 900px" srcdoc="{page}"></iframe>
<script>
window.onload = () => {{
  const look = frame => {{
    const page = frame.contentDocument, images = [...page.images];
    return {{
      width: frame.contentWindow.innerWidth,
      scroll: page.documentElement.scrollWidth,
      images: images.map(image => image.complete ? image.naturalWidth : 0),
      shown: images.map(image => image.getBoundingClientRect().width),
      rows: new Set(images.slice(0, 3).map(image => image.getBoundingClientRect().top)).size,
      headings: [...page.querySelectorAll("h1, h2")].map(heading => heading.textContent),
      loaded: frame.contentWindow.performance.getEntriesByType("resource").map(entry => entry.name),
    }};
  }};
  document.getElementById("found").textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(look));
}};
</script>
"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
def test_the_page_in_a_browser(page, tmp_path):
    """A wide and a narrow window: every picture is decoded, nothing is loaded, nothing sticks out."""
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.format(page=html.escape(page.read_text())))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-component-update"]
    command += ["--disable-background-networking", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000", "--timeout=20000", "--dump-dom"]
    done = subprocess.run([*command, probe.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    dumped = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL).group(1)
    wide, narrow = json.loads(html.unescape(dumped))
    assert (wide["width"], narrow["width"]) == (1280, 400)
    for found in (wide, narrow):
        assert len(found["images"]) == 17
        assert min(found["images"]) > 300
        assert found["scroll"] <= found["width"]
        assert found["loaded"] == []
        assert found["headings"][:2] == [f"What the network of {page.parent.name} does", "What speaks for the class"]
    assert (wide["rows"], narrow["rows"]) == (1, 3)
    assert min(narrow["shown"]) > 300
    assert pathlib.Path(tmp_path / "profile").is_dir()
