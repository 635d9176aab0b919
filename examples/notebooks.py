"""Write each program of the gallery as a notebook beside it: one source for both.

python examples/notebooks.py [FOLDER]

This needs Jupytext, which comes with `pip install '.[docs]'`. Markdown cells are the comments after "# %% [markdown]".
"""

import pathlib
import sys

import jupytext
import nbformat

GALLERY = pathlib.Path(__file__).parent / "gallery"


def notebook(program):
    """Return the text of the notebook of a program; it depends on the program alone."""
    cells = jupytext.reads(program.read_text(encoding="utf-8"), fmt="py:percent").cells
    for number, cell in enumerate(cells):
        cell.id = f"{program.stem}-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})) + "\n"


def main(folder=GALLERY):
    """Write all notebooks into the folder."""
    for program in sorted(GALLERY.glob("*.py")):
        path = pathlib.Path(folder, f"{program.stem}.ipynb")
        path.write_text(notebook(program), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main(*sys.argv[1:2])
