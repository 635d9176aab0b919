"""A page of text and pictures as one HTML file that needs no other file."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import re

from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 74rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a;
  background: #fff; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 0.5rem; padding-top: 0.75rem; border-top: 1px solid #ccc; }
p, ul { max-width: 46rem; margin: 0.5rem 0; overflow-wrap: break-word; }
a { color: #204a87; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)); gap: 1rem 1.5rem;
  align-items: start; margin: 1rem 0; }
figure { margin: 0; }
figcaption { font-size: 0.9rem; color: #444; overflow-wrap: anywhere; }
img { display: block; max-width: 100%; height: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
caption { text-align: left; color: #444; font-size: 0.9rem; }
th, td { text-align: left; padding: 0.25rem 1rem 0.25rem 0; border-bottom: 1px solid #ddd; overflow-wrap: anywhere; }
@media print { .pictures { display: block; } figure { break-inside: avoid; margin-bottom: 1rem; } }
"""
_PIXELS_PER_INCH = 100  # of the page; the pictures have a higher resolution
# The browser loads nothing, whatever a class name or a file name contains.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure with its caption, and a description in words for those who do not see it."""

    figure: Figure
    caption: str
    alternative: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text: its caption, the heads of its columns, and its rows."""

    caption: str
    heads: list[str]
    rows: list[tuple[str, ...]]


Item = str | list[str] | Table | Picture
"""A paragraph, a list, a table or a picture."""


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of the page: its title and its content, in order."""

    title: str
    content: list[Item]


def render(title: str, lead: list[Item], sections: list[Section]) -> str:
    """Return the page: a title, the lead, a table of contents and the sections.

    Pictures are embedded, and a content security policy forbids a browser to load anything.

    Args:
        title: Title of the page.
        lead: Content above the table of contents.
        sections: Sections of the page.
    """
    contents = "".join(f'<li><a href="#{_anchor(s.title)}">{_text(s.title)}</a></li>\n' for s in sections)
    body = "".join(
        f'<section aria-labelledby="{_anchor(s.title)}">\n<h2 id="{_anchor(s.title)}">{_text(s.title)}</h2>\n'
        f"{_content(s.content)}</section>\n"
        for s in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{_text(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{_text(title)}</h1>
{_content(lead)}<nav aria-label="Contents">
<ul>
{contents}</ul>
</nav>
{body}</main>
</body>
</html>
"""


def _text(text: str) -> str:
    return html.escape(text).replace(" %", "&nbsp;%")


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _content(items: list[Item]) -> str:
    """Return the items as HTML; pictures that follow each other stand side by side where there is room."""
    parts: list[str] = []
    pictures: list[str] = []
    for item in [*items, None]:
        if isinstance(item, Picture):
            pictures.append(_picture(item))
            continue
        if pictures:
            parts.append('<div class="pictures">\n' + "".join(pictures) + "</div>\n")
            pictures = []
        if isinstance(item, Table):
            parts.append(_table(item))
        elif isinstance(item, list):
            parts.append("<ul>\n" + "".join(f"<li>{_text(entry)}</li>\n" for entry in item) + "</ul>\n")
        elif item is not None:
            parts.append(f"<p>{_text(item)}</p>\n")
    return "".join(parts)


def _picture(picture: Picture) -> str:
    buffer = io.BytesIO()
    picture.figure.savefig(buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    width, height = (round(_PIXELS_PER_INCH * size) for size in picture.figure.get_size_inches())
    return (
        f'<figure>\n<img src="data:image/png;base64,{data}" alt="{_text(picture.alternative)}" width="{width}" '
        f'height="{height}">\n<figcaption>{_text(picture.caption)}</figcaption>\n</figure>\n'
    )


def _table(table: Table) -> str:
    heads = "".join(f'<th scope="col">{_text(head)}</th>' for head in table.heads)
    rows = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>\n" for row in table.rows)
    caption = _text(table.caption)
    return (
        f"<table>\n<caption>{caption}</caption>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"
    )
