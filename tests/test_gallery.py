"""Every notebook of the gallery runs from top to bottom at a small setting, and is the one of its program."""

import json
import pathlib
import re

import matplotlib
import pytest

ROOT = pathlib.Path(__file__).parent.parent
GALLERY = ROOT / "examples" / "gallery"

SMALL = {
    "certify": {"EPOCHS": 1, "TEST": 20},
    "denoise": {"EPOCHS": 1, "PIECES": 20},
    "export_and_serve": {"EPOCHS": 1},
    "fine_tune": {"EPOCHS": 1, "IMAGES": 20, "TEST": 20},
    "other_backend": {"EPOCHS": 1},
    "own_layers_reversed": {"DEPTHS": (1, 2)},
    "refine": {"EPOCHS": (1, 1), "STEPS": (1, 2)},
    "reversible_memory": {"DEPTHS": (4,), "SIZE": 16},
    "search": {"EPOCHS": 1, "TRIALS": 1},
    "segment": {"EPOCHS": 1, "IMAGES": 20},
    "speech": {"EPOCHS": 1, "RECORDINGS": 25},
    "train": {"EPOCHS": 1, "WIDTHS": (4,)},
    "video": {"EPOCHS": 1, "VIDEOS": 20},
}
NEEDED = {"denoise": "skimage", "export_and_serve": "ai_edge_litert"}


def cells(name):
    """Return the code cells of a notebook, with the constants of a small setting."""
    notebook = json.loads((GALLERY / f"{name}.ipynb").read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for constant, value in SMALL[name].items():
        code, before = [re.sub(rf"(?m)^{constant} = .*$", f"{constant} = {value!r}", cell) for cell in code], code
        assert code != before, constant
    return code


@pytest.mark.slow
@pytest.mark.pictures
@pytest.mark.parametrize("name", sorted(SMALL))
def test_notebook_runs(name, tmp_path, monkeypatch, capsys):
    if name in NEEDED:
        pytest.importorskip(NEEDED[name])
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    scope = {}
    for cell in cells(name):
        exec(cell, scope)
    assert capsys.readouterr().out
    assert (tmp_path / f"{name}.png").stat().st_size > 5_000
    matplotlib.pyplot.close("all")


def test_every_program_has_its_notebook(tmp_path, monkeypatch, capsys):
    pytest.importorskip("jupytext", reason="needs keras-pdecnn[docs]")
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import notebooks

    notebooks.main(tmp_path)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.ipynb")}
    assert written == {path.name: path.read_text(encoding="utf-8") for path in GALLERY.glob("*.ipynb")}
    assert {name.removesuffix(".ipynb") for name in written} == set(SMALL)


def test_the_page_shows_every_program():
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    for name in SMALL:
        assert f"examples/gallery/{name}.py" in page
        assert f"(gallery/{name}.png)" in page
