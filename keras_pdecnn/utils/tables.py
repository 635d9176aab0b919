"""Tables of text."""

from __future__ import annotations


def markdown(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table with aligned columns: one line for the heads, and one line for each row."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )
