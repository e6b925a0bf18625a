"""One reader under attack."""
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from multibox.errors import UserError


class Target(NamedTuple):
    """A reader of untrusted files.

    Attributes:
        seeds: function that makes small good files, as bytes.
        read: function from an empty folder and the bytes of a file. It writes the file into the
            folder under the name that the reader expects, with other files around it, calls the
            reader, and asserts that the result is sane.
        clean: the errors that the reader documents.
        strategy: a strategy of Hypothesis for structured files, as bytes; None without one.
    """
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path, bytes], Any]
    clean: tuple[type[BaseException], ...] = (UserError,)
    strategy: Any = None


def put(path: Path, content: bytes | str) -> Path:
    """Write a file, with its folders, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
