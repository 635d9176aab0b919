"""An extension of griffe: how the package's docstrings, which are plain text, become Markdown for the reference."""

import html
import re

import griffe

_SECTION = re.compile(r"^(\w+):$", re.MULTILINE)
# What stays (code between backticks), and the characters that Markdown or HTML would take for markup.
_MARKUP = re.compile(r"`[^`]*`|(?<=[\s(,])\*(?=[a-z])(?!\w+:)|(?<!\w)_(?=\w)|<(?=[a-zA-Z/!?])")


class Docstrings(griffe.Extension):
    """Keep the formulas of docstrings as they are, and shorten what mkdocstrings would show at length."""

    def on_object(self, *, obj, **others):
        """Change a docstring before it is parsed; that of an attribute only repeats its class."""
        if obj.is_attribute:
            obj.docstring = None
        elif obj.docstring:
            obj.docstring.value = _markdown(obj.docstring.value)

    def on_attribute_instance(self, *, attr, **others):
        """Let the setting of a recipe have its default value, without its check and its help."""
        if isinstance(attr.value, griffe.ExprCall) and str(attr.value.function) == "checks.setting":
            attr.value = attr.value.arguments[0]


def _markdown(text):
    """Return a docstring with its formulas as code, its characters escaped, and the section `Examples`."""
    description, *sections = _SECTION.split(text)
    parts = ["\n\n".join(map(_paragraph, description.split("\n\n")))]
    for name, content in zip(sections[::2], sections[1::2], strict=True):
        is_code = name in ("Example", "Examples")
        parts.append(f"{'Examples' if is_code else name}:{content if is_code else _escape(content)}")
    return "".join(parts)


def _paragraph(text):
    """Return a paragraph: sentences end with a point, formulas do not, and what is indented is code already."""
    if text.startswith("    "):
        return text
    is_prose = text.rstrip()[-1:] in ".:,;" or re.match(r"\s*- ", text) or re.search(r"[\w)]\. [A-Z(]", text)
    if is_prose or not re.search("[=<]", text):
        return _escape(text)
    formula = text.strip("\n")
    return text.replace(formula, f'<pre class="formula">{html.escape(formula)}</pre>')


def _escape(text):
    def escaped(match):
        return match[0] if match[0][0] == "`" else "&lt;" if match[0] == "<" else "\\" + match[0]

    return _MARKUP.sub(escaped, text)
