"""An extension of griffe: how the package's docstrings are read for the reference."""

import griffe


class Docstrings(griffe.Extension):
    """Read the section `Example` as code, and leave out that an attribute repeats the docstring of its class."""

    def on_object(self, *, obj, **others):
        """Change a docstring before it is parsed."""
        if obj.is_attribute:
            obj.docstring = None
        elif obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
