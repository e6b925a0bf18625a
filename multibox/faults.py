"""Parts of a result that fail alone: all others are written, and the end names each failure."""
import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multibox.errors import UserError
from multibox.terminal import printable

LONGEST = 1000  # characters of a line


class Incomplete(UserError):
    """Some parts failed, one line per part. Everything else is written."""


class Faults:
    """Collect the errors of the parts of a result.

    ``with Faults() as faults:`` surrounds the whole, and ``with faults.of(name):`` each part. The
    end of the whole raises :class:`Incomplete` if a part failed.

    Attributes:
        found: list of str, one line per part that failed.
    """

    def __init__(self) -> None:
        self.found: list[str] = []

    @contextlib.contextmanager
    def of(self, part: Any) -> Iterator[None]:
        """Collect the error of a part, whatever it is. Ctrl-C and the end of a program pass.

        Args:
            part: the name of the part, or its path, for the line.
        """
        try:
            yield
        except Incomplete as error:
            self.found += str(error).splitlines()
        except Exception as error:
            line = str(error)
            if not isinstance(error, UserError):  # an error of the code: the place helps to mend it
                frame = traceback.extract_tb(error.__traceback__)[-1]
                line = f'{part}: failed ({type(error).__name__}: {line}, ' \
                       f'{Path(frame.filename).name}, line {frame.lineno})'
            elif not line.startswith(f'{part}: '):
                line = f'{part}: failed ({line})'
            self.found.append(printable(' '.join(line.split()), LONGEST))

    def __enter__(self) -> 'Faults':
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None and self.found:
            raise Incomplete('\n'.join(self.found))
