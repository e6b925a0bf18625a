"""The images that JSON files and tables name, found in the folders where exports put them."""
import itertools
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from multibox.data.layouts.roles import role_in
from multibox.data.listing import Tree, shared, split_path


def exists(path: Path) -> bool:
    """Whether a file is there; a name that the system cannot hold is not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


class Images:
    """The image files under a folder.

    Args:
        folder: the folder of the data set.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._tree: Tree | None = None

    def find(self, names: Iterable[str], file: Path, role: str | None) -> dict[str, Path]:
        """Find images.

        An image that lies where its name says comes first. Else the image with the longest common
        ending is taken, unless another name means it.

        Args:
            names: their names as ``file`` has them: with or without folders, in the style of any
                system.
            file: the file that names them.
            role: the set for which the file is, see :func:`multibox.data.layouts.roles.role_of`.

        Returns:
            The images by name. A name is left out if there is no such image, or if several fit
            equally well.
        """
        names = list(dict.fromkeys(names))
        found = self._in_their_places(names, file, role)
        taken = set(found.values())
        for name in names:
            if name not in found:
                image = self._elsewhere(split_path(name), file, role)
                if image and image not in taken:
                    found[name] = image
        return found

    def _in_their_places(self, names, file, role):
        roles = [role, f'{role}2017', 'valid' if role == 'val' else 'default'] if role else []
        folders = list(dict.fromkeys([file.parent, self.folder, self.folder / 'images', *(
            self.folder / parent / sub for sub in (*roles, 'default')
            for parent in ('', 'images'))]))
        folders = [folder for folder in folders if folder.is_dir()]
        found = {}
        for name in names:
            texts = dict.fromkeys((name, unquote(name)))
            for text, folder in itertools.product(texts, tuple(folders)):
                path = folder.joinpath(*split_path(text))
                if exists(path):
                    found[name] = path
                    folders.remove(folder)  # the next image is probably in the same folder
                    folders.insert(0, folder)
                    break
        return found

    def _elsewhere(self, parts, file, role):
        self._tree = self._tree or Tree(self.folder)
        found = [path for path in self._tree.named(parts[-1] if parts else '')
                 if not role or role_in(path, self.folder) in (None, role)]
        lengths = [shared(path.parts[::-1], parts[::-1]) for path in found]
        longest = max(lengths, default=0)
        best = [path for path, n in zip(found, lengths) if n == longest]
        if len(best) > 1:
            best = self._tree.nearest(best[0].stem, file, best[0].name)
        return best[0] if len(best) == 1 else None
