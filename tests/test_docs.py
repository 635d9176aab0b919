"""What the documentation shows: its blocks of code run, its commands parse, its examples are right, the site builds."""

import ast
import contextlib
import doctest
import http.server
import importlib
import importlib.util
import inspect
import io
import pathlib
import pkgutil
import re
import shlex
import subprocess
import sys
import textwrap
import threading

import click.testing
import keras
import keras_tuner as kt
import numpy as np
import pytest
import tensorflow as tf

import keras_pdecnn
from keras_pdecnn import cli, recipes, tuning

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)(.*)\n([\s\S]*?)^```$", re.MULTILINE)
MARK = 'title="Not run in the tests'  # shown above the block, with the reason

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def blocks(page, *languages):
    """Return the code of the blocks in these languages, without what is included from files or marked."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [code for language, options, code in found if language in languages and MARK not in options]


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Work in an empty folder, train for two batches of one epoch and search one trial."""
    monkeypatch.chdir(tmp_path)
    fit, search = keras.Model.fit, tuning.search

    def short_fit(self, *args, **kwargs):
        limits = {"epochs": kwargs.get("initial_epoch", 0) + 1, "steps_per_epoch": 2, "verbose": 0}
        return fit(self, *args, **{**kwargs, **limits})

    def short_search(hypermodel, folder, method="random", **others):
        return search(hypermodel, folder, method, **{**others, "trials": 1, "verbose": 0})

    class ShortRandomSearch(kt.RandomSearch):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **{**kwargs, "max_trials": 1})

    monkeypatch.setattr(kt, "RandomSearch", ShortRandomSearch)
    monkeypatch.setattr(keras.Model, "fit", short_fit)
    monkeypatch.setattr(tuning, "search", short_search)
    monkeypatch.setitem(recipes.RECIPES, "digits", recipes.Recipe(epochs=1, learning_rates=0.1, widths=(4, 8)))


SERVING = ROOT / "docs" / "serving.md"
PAGES_WITH_CODE = [page for page in PAGES if any("--8<--" not in code for code in blocks(page, "python"))]
PAGES_WITH_CODE.remove(SERVING)  # whose commands run too


# Pages that train networks of the package alone for two batches: without graphs in a third of the time.
EAGER = [ROOT / "docs" / f"{name}.md" for name in ("certificates", "search", "tasks", "training")]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_python_of_a_page_runs(page, small, request):
    if page in EAGER:
        request.getfixturevalue("eager")
    namespace = {"__name__": "page"}
    for code in blocks(page, "python"):
        if "--8<--" not in code:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(code, str(page), "exec"), namespace)


@every_page
def test_code_imports_the_package_before_tensorflow(page):
    for code in blocks(page, "python"):
        first = [name.split(".")[0] for name in re.findall(r"^(?:import|from) (\S+)", code, re.MULTILINE)]
        if "keras_pdecnn" in first:
            assert not {"keras", "tensorflow"} & set(first[: first.index("keras_pdecnn")]), code


@contextlib.contextmanager
def rest_server(models):
    """Answer as TensorFlow Serving does for the SavedModels in a dict of folders by name; yield host:port."""
    spec = importlib.util.spec_from_file_location("export_and_serve", ROOT / "examples" / "export_and_serve.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            name = self.path.removeprefix("/v1/models/").removesuffix(":predict")
            version = max(models[name].iterdir(), key=lambda path: int(path.name))
            body = self.rfile.read(int(self.headers["Content-Length"]))
            content = example.answer(tf.saved_model.load(str(version)), body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("localhost", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
def test_commands_and_clients_of_the_serving_page_run(small, capsys):
    for needed in ("ai_edge_litert", "tf2onnx", "onnxruntime"):
        pytest.importorskip(needed, reason="needs keras-pdecnn[litert,onnx]")
    for arguments in commands_in(blocks(SERVING, "bash")):
        done = click.testing.CliRunner().invoke(cli.main, arguments)
        assert done.exit_code == 0, (arguments, done.output)
    namespace = {"__name__": "page"}
    with rest_server({"digits": pathlib.Path("runs/digits/savedmodel")}) as address:
        for code in blocks(SERVING, "python"):
            exec(compile(code.replace("localhost:8501", address), str(SERVING), "exec"), namespace)
    # By every way the same.
    lines = capsys.readouterr().out.splitlines()
    classes, probabilities = (namespace["outputs"][name].numpy() for name in ("class", "probabilities"))
    answers = [line.split() for line in lines if line.count(" ") == 2 and line[0].isdigit()]
    assert [answer[:2] for answer in answers] == [[str(index)] * 2 for index in classes]
    np.testing.assert_allclose([float(answer[2]) for answer in answers], probabilities.max(axis=1), atol=1e-6)
    assert lines.count(str(classes)) == 2  # LiteRT and ONNX
    np.testing.assert_allclose(namespace["probabilities"], probabilities, atol=1e-5)


def commands(page):
    """Return the arguments of every `keras-pdecnn …` in the shell blocks of a page."""
    return commands_in(blocks(page, "bash", "console"))


def commands_in(codes):
    for code in codes:
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True) if line.count("'") % 2 == 0 else line.split()
            for index, word in enumerate(words):
                if pathlib.PurePath(word).name == "keras-pdecnn":
                    rest = words[index + 1 :]
                    ends = [rest.index(end) for end in ("&&", "||", "|", ";", "'", "&", ">") if end in rest]
                    yield rest[: min(ends, default=None)]


@every_page
def test_commands_of_a_page_parse(page):
    for arguments in commands(page):
        group = cli.main.make_context("keras-pdecnn", list(arguments), resilient_parsing=False)
        name, command, rest = cli.main.resolve_command(group, [*group._protected_args, *group.args])
        if rest not in (["--help"], ["-h"]):
            command.make_context(name, rest, parent=group)


def test_every_command_has_examples_that_parse():
    assert sorted(cli.main.commands) == sorted(set(sum(cli.help.COMMANDS.values(), ())) & set(cli.main.commands))
    for name in cli.main.commands:
        for arguments in commands_in(cli.help.EXAMPLES[name]):
            assert arguments[0] == name
            cli.main.commands[name].make_context(name, arguments[1:], parent=click.Context(cli.main))


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("examples/own_pde.py", {"RECOVERY", "largest_step", "excitable_euler", "ExcitableBlock", "network"}),
        ("tests/test_networks.py", {"wave", "WaveBlock", "WaveCNN"}),
    ],
)
def test_code_of_the_page_on_equations_is_that_of_the_programs(file, names):
    source = (ROOT / file).read_text(encoding="utf-8")
    page = (ROOT / "docs" / "own_pde.md").read_text(encoding="utf-8")
    shown = set()
    for node in ast.parse(source).body:
        name = node.targets[0].id if isinstance(node, ast.Assign) else getattr(node, "name", None)
        if name in names and ast.get_source_segment(source, node) in page:
            shown.add(name)
    assert shown == names


def test_every_picture_of_the_docs_names_what_draws_it():
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [path.name for path in (ROOT / "docs").glob("*.png") if f"`{path.name}`" not in table] == []


@every_page
def test_scripts_that_a_page_names_exist(page):
    for name in re.findall(r"(?:examples|tests|keras_pdecnn)/[\w/.]+\.py", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name


def modules():
    """Return all modules of the package."""
    for found in pkgutil.walk_packages(keras_pdecnn.__path__, "keras_pdecnn."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


GRAPHS = tuple(f"keras_pdecnn.{name}" for name in ("benchmarks", "distribute", "export", "layers", "ops"))


@pytest.mark.slow
def test_examples_in_docstrings(monkeypatch, tmp_path):
    """Without graphs, whose tracing takes most of the time, except where functions write or run them."""
    monkeypatch.chdir(tmp_path)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    report = io.StringIO()
    for module in modules():
        tf.config.run_functions_eagerly(not module.__name__.startswith(GRAPHS))
        names = {"keras": keras, "np": np, "keras_pdecnn": keras_pdecnn, **vars(module)}
        for test in finder.find(module, globs=names):
            runner.run(test, out=report.write)
    tf.config.run_functions_eagerly(False)
    results = runner.summarize(verbose=False)
    assert results.attempted > 100
    assert results.failed == 0, report.getvalue()


def public_names(module=keras_pdecnn, prefix=""):
    """Return (name, object) for everything that `import keras_pdecnn` offers."""
    own = [n for n, o in vars(module).items() if getattr(o, "__module__", None) == module.__name__]
    for entry in getattr(module, "__all__", own):
        found = getattr(module, entry)
        if inspect.ismodule(found):
            yield from public_names(found, f"{prefix}{entry}.")
        elif not entry.startswith("_") and callable(found):
            yield f"{prefix}{entry}", found


# What functions return or raise; their examples show it.
RESULTS = ("training.Result", "tuning.Search")


def test_every_public_name_has_a_docstring_with_an_example():
    without = []
    for name, found in public_names():
        is_error = inspect.isclass(found) and issubclass(found, Exception)
        if not found.__doc__ or (">>> " not in found.__doc__ and not is_error and name not in RESULTS):
            without.append(name)
    assert without == []


HEAD = re.compile(r"^(\w+):$", re.MULTILINE)
ENTRY = re.compile(r"^    (?=\S)", re.MULTILINE)


def sections(found):
    """Return the sections of a docstring by their names, and those of its arguments as texts by theirs."""
    parts = HEAD.split(inspect.getdoc(found))
    texts = dict(zip(parts[1::2], parts[2::2], strict=True))
    entries = {}
    for entry in ENTRY.split(texts.get("Args", "") + texts.get("Attributes", "")):
        names, _, text = entry.partition(":")
        entries |= {name.strip().lstrip("*"): text for name in names.split(",")}
    return texts, entries


def own_nodes(function):
    """Return the nodes of the code of a function, without those of functions in it."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def refuses(function):
    """Return whether a function raises something, or calls what checks arguments."""
    for node in own_nodes(function):
        called = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Raise) or re.match("_?check_|look_up$", called):
            return True
    return False


def lacks(found):
    """Return what the docstring of a function or class does not say."""
    texts, entries = sections(found)
    is_class = inspect.isclass(found)
    # Settings that a class inherits are described there.
    inherits = is_class and "__init__" not in vars(found) and "settings" in entries
    for name, parameter in {} if inherits else inspect.signature(found).parameters.items():
        if name not in entries:
            yield f"argument {name}"
        elif parameter.default is not parameter.empty and not re.search("default|See `", entries[name], re.IGNORECASE):
            yield f"default of {name}"
    code = [vars(found).get(name) for name in ("__init__", "__post_init__", "build", "call")] if is_class else [found]
    written = [part for part in code if inspect.isfunction(part) and part.__code__.co_filename != "<string>"]
    if "Raises" not in texts and any(map(refuses, written)):
        yield "Raises"
    if is_class or "Returns" in texts or found.__doc__.startswith(("Return ", "Yield ")):
        return
    if any(isinstance(node, ast.Return) and node.value for node in own_nodes(found)):
        yield "Returns"


def test_docstrings_are_complete():
    missing = {}
    for name, found in public_names():
        if not (inspect.isclass(found) and issubclass(found, Exception)) and inspect.getmodule(found) is not None:
            missing |= {name: list(lacks(found))} if any(lacks(found)) else {}
    assert missing == {}


def test_every_public_name_is_in_the_reference():
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    named = set(re.findall(r"^::: keras_pdecnn\.(\S+)$", pages, re.MULTILINE))
    assert [name for name, _ in public_names() if name not in named] == []


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path):
    for needed in ("mkdocs", "material", "mkdocstrings"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: pip install '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    start = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    formulas = (tmp_path / "site" / "glossary.html").read_text(encoding="utf-8")
    assert "<math" in formulas
    assert "$" not in formulas.partition("<article")[2].partition("</article>")[0]
    # Whatever it needs comes along.
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="https?://', start)
