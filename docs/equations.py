"""An extension of Python-Markdown: `math` blocks and `$…$` become MathML, drawn without a script."""

import re

from latex2mathml.converter import convert
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from markdown.preprocessors import Preprocessor

# A pair of dollar signs in one line, without a space inside them and without a digit behind them, as in prices.
_INLINE = r"(?<![\\\w$])\$(?![\s$])([^$\n]+?)(?<!\s)\$(?![\d$])"
_BLOCK = re.compile(r"^```math\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class _Blocks(Preprocessor):
    """Replace fenced blocks of the language `math`."""

    def run(self, lines):
        return _BLOCK.sub(self._draw, "\n".join(lines)).split("\n")

    def _draw(self, match):
        return self.md.htmlStash.store(f'<div class="math">{convert(match.group(1), display="block")}</div>')


class _Text(InlineProcessor):
    """Replace a formula in the text."""

    def handleMatch(self, match, text):
        return self.md.htmlStash.store(convert(match.group(1))), match.start(0), match.end(0)


class Equations(Extension):
    """Draw formulas: blocks before other fences (25), text after code (190) and before escaped characters (180)."""

    def extendMarkdown(self, md):
        md.preprocessors.register(_Blocks(md), "equations", 27)
        md.inlinePatterns.register(_Text(_INLINE, md), "equation", 185)


def makeExtension(**settings):
    """Return the extension, for Python-Markdown."""
    return Equations(**settings)
