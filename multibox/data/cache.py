"""A cache of facts about files, valid as long as their size and time of change stay."""
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from multibox.files import open_whole

VERSION = 2  # raise it with every change of the facts


def cache_folder() -> Path:
    """The folder for files that can be made anew: ``~/.cache/multibox``, or in XDG_CACHE_HOME."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'multibox'


class Cache:
    """Facts about files, kept between runs; a cache that cannot be read or written is empty.

    Args:
        name: a text that names the set of files, such as their folder.
    """

    def __init__(self, name: str):
        digest = hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:16]
        self.path = cache_folder() / f'images-{VERSION}-{digest}.json'
        self.changed = False
        try:
            self.facts = json.loads(self.path.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            self.facts = {}
        if not isinstance(self.facts, dict):
            self.facts = {}

    def get(self, path: Path) -> Any:
        """The fact about a file, or None if it is not known or the file has changed."""
        entry = self.facts.get(str(path))
        try:
            return entry[3] if entry[:3] == _state(path) else None
        except (OSError, TypeError, IndexError, KeyError):
            return None

    def set(self, path: Path, fact: Any) -> None:
        """Remember a fact, which JSON has to be able to hold."""
        try:
            self.facts[str(path)] = [*_state(path), fact]
            self.changed = True
        except OSError:
            pass

    def save(self) -> None:
        """Write the facts, if there are new ones."""
        if not self.changed:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open_whole(self.path) as file:
                file.write(json.dumps(self.facts).encode())
        except Exception:
            return  # the cache saves time only
        self.changed = False


def _state(path):
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]  # ctime: permissions
