"""A hook of mkdocs: blocks of the language `math` become MathML, which browsers draw without a script."""

from latex2mathml.converter import convert


def _draw(source, language, css_class, options, md, **others):
    """Return the HTML of a block, as `pymdownx.superfences` asks for it."""
    return f'<div class="{css_class}">{convert(source, display="block")}</div>'


def on_config(config):
    """Tell the Markdown extension of fenced blocks about the language."""
    fences = {"custom_fences": [{"name": "math", "class": "math", "format": _draw}]}
    config.mdx_configs["pymdownx.superfences"] = fences
    return config
