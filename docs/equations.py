"""A hook of mkdocs: `math` blocks and `$…$` in the text become MathML, which browsers draw without a script."""

from latex2mathml.converter import convert
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor

# A pair of dollar signs in one line, without a space inside them and without a digit behind them, as in prices.
_INLINE = r"(?<![\\\w$])\$(?![\s$])([^$\n]+?)(?<!\s)\$(?![\d$])"
_PRIORITY = 185  # after code in backticks (190), before escaped characters (180)


def _draw(source, language, css_class, options, md, **others):
    """Return the HTML of a block, as `pymdownx.superfences` asks for it."""
    return f'<div class="{css_class}">{convert(source, display="block")}</div>'


class _Formula(InlineProcessor):
    """Replace a formula in the text by MathML."""

    def handleMatch(self, match, text):
        return self.md.htmlStash.store(convert(match.group(1))), match.start(0), match.end(0)


class _Formulas(Extension):
    def extendMarkdown(self, md):
        md.inlinePatterns.register(_Formula(_INLINE, md), "formula", _PRIORITY)


def on_config(config):
    """Tell the Markdown extension of fenced blocks about the language, and Markdown about the formulas in the text."""
    fences = {"custom_fences": [{"name": "math", "class": "math", "format": _draw}]}
    config.mdx_configs["pymdownx.superfences"] = fences
    config.markdown_extensions.append(_Formulas())
    return config
