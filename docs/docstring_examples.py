"""Extension of mkdocstrings: sections ``Example:`` of docstrings are shown as code."""

import griffe


class DocstringExamples(griffe.Extension):
    """Rename ``Example:`` to ``Examples:``, the only name that Griffe parses as a section."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """Rename the section in the docstring of a loaded object."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
