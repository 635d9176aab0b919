"""An extension of Python-Markdown: a word of code, such as an option, is not broken at its hyphens."""

from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor

LONGEST = 36  # characters, which fit into a line on a telephone


class _Words(Treeprocessor):
    """Mark the words among the pieces of code in the text; the style sheet keeps them in one line."""

    def run(self, root):
        for code in root.iter("code"):
            text = "".join(code.itertext())
            if " " not in text and len(text) <= LONGEST:
                code.set("class", "word option" if text.startswith("--") else "word")


class InlineCode(Extension):
    """Mark words after the patterns of inline code (20) have been replaced."""

    def extendMarkdown(self, md):
        md.treeprocessors.register(_Words(md), "inline_code", 5)


def makeExtension(**settings):
    """Return the extension, for Python-Markdown."""
    return InlineCode(**settings)
