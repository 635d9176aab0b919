"""Imports point downwards: each part of the package builds on those of lower levels alone."""

import ast
import graphlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent / "keras_pdecnn"
# Parts of one level know nothing of each other.
LEVELS = [
    ["networks", "utils", "version"],
    ["losses", "metrics", "plotting"],
    ["tasks"],
    ["recipes"],
    ["constraints", "data", "distribute", "initializers", "operators", "ops"],
    ["regularizers"],
    ["layers"],
    ["export", "models", "stability"],
    ["callbacks", "explain", "runs"],
    ["benchmarks"],
    ["inference", "training"],
    ["tuning"],
    ["cli"],
    ["__main__", "__init__"],
]


def name_of(path, root):
    """Return the name of a module, as it is imported."""
    parts = [root.name, *path.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(root):
    """Return {module: modules of the package that it imports}, also those imported inside functions."""
    paths = {name_of(path, root): path for path in root.rglob("*.py")}
    found = {}
    for name, path in paths.items():
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names} & set(paths)
            elif isinstance(node, ast.ImportFrom):
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                found[name] |= (inner & set(paths)) or ({node.module} & set(paths))
        found[name].discard(name)
    return found


def part(module):
    return [*module.split("."), "__init__"][1]


def upward(found, levels):
    """Return the imports that do not point to a lower level, as text; a part without a level is one."""
    level = {name: number for number, names in enumerate(levels) for name in names}
    pairs = [(a, b) for a, imported in found.items() for b in imported if part(a) != part(b)]
    missing = {part(module) for module in found} - set(level)
    wrong = [f"{a} -> {b}" for a, b in pairs if not missing and level[part(a)] <= level[part(b)]]
    return sorted(wrong) + sorted(f"{name} has no level" for name in missing)


def test_imports_point_downwards():
    found = imports(ROOT)
    assert len(found) > 100
    assert "keras_pdecnn.ops.fields" in found["keras_pdecnn.ops.propagation"]
    assert upward(found, LEVELS) == []


def test_modules_do_not_import_each_other_in_a_circle():
    # A folder's own file lists what its modules define; it is no module that they build on.
    folders = {name_of(path, ROOT) for path in ROOT.rglob("__init__.py")}
    found = {name: imported - folders for name, imported in imports(ROOT).items() if name not in folders}
    assert len(list(graphlib.TopologicalSorter(found).static_order())) == len(found)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from keras_pdecnn.layers import block", ["keras_pdecnn.ops.new -> keras_pdecnn.layers.block"]),
        ("def f():\n    import keras_pdecnn.models", ["keras_pdecnn.ops.new -> keras_pdecnn.models"]),
        ("from keras_pdecnn.utils import arguments", []),
    ],
)
def test_an_upward_import_is_noticed(tmp_path, source, expected):
    root = tmp_path / "keras_pdecnn"
    for name in (
        "__init__",
        "models",
        "utils/__init__",
        "utils/arguments",
        "layers/__init__",
        "layers/block",
        "ops/__init__",
    ):
        path = root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "ops/new.py").write_text(source)
    assert upward(imports(root), LEVELS) == expected
