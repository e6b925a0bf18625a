"""An extension of griffe, which reads the docstrings: links, and entries for several arguments."""
import re

import griffe

ROLE = re.compile(r':\w+:`([\w.]+)`')  # :func:`multibox.x`
SHARED = re.compile(r'^    (\w+(?:, \w+)+): (.+(?:\n {5,}.+)*)', re.MULTILINE)  # x, y: text


class Docstrings(griffe.Extension):
    """Turns roles into links, and one entry for several arguments into one per argument."""

    def on_object(self, *, obj, **_):
        """Rewrite the docstring of an object."""
        if obj.docstring:
            text = ROLE.sub(r'<autoref optional identifier="\1"><code>\1</code></autoref>',
                            obj.docstring.value)
            obj.docstring.value = SHARED.sub(split, text)


def split(entry):
    """One entry per name."""
    return '\n'.join(f'    {name}: {entry[2]}' for name in entry[1].split(', '))
