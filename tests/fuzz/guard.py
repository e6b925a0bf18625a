"""A watch over the acts of a reader: no program started, nothing unpickled, no file elsewhere."""
import os
import sys
import tempfile
from pathlib import Path

# Modules whose classes processes of this package may exchange. A class of others is an attack.
EXCHANGED = {'multibox', 'numpy', 'PIL', 'pathlib', 'collections', 'concurrent', 'multiprocessing',
             'copyreg', 'builtins'}
HARMFUL = {'eval', 'exec', 'getattr', 'open', '__import__', 'compile'}  # of builtins
STARTS = {'os.system', 'os.exec', 'os.posix_spawn', 'os.startfile', 'pty.spawn'}
CHANGES = {'os.remove', 'os.rename', 'os.mkdir', 'os.rmdir', 'os.symlink', 'os.link', 'os.truncate',
           'os.chmod', 'shutil.rmtree', 'shutil.move', 'shutil.copyfile'}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Forbidden(BaseException):
    """A forbidden act; no reader catches this class."""


class Guard:
    """Raises :class:`Forbidden` at a forbidden act, and keeps it for :attr:`acts`.

    Args:
        folders: the folders in which files may be written.

    Attributes:
        acts: the forbidden acts, in words.
        on: whether acts are watched.
    """

    def __init__(self, *folders: Path):
        self.acts: list[str] = []
        self.on = False
        self._folders = [os.path.realpath(folder) + os.sep for folder in folders]
        sys.addaudithook(self._hook)

    def _hook(self, event, args):
        if self.on and (act := self._judge(event, args)):
            self.acts.append(act)
            raise Forbidden(act)

    def _judge(self, event, args):
        if event in STARTS:
            return f'{event} {args!r}'
        if event == 'subprocess.Popen' and os.fsdecode(args[0]) != sys.executable:
            return f'{event} {args[:2]!r}'
        if event == 'pickle.find_class':
            module, name = map(str, args)
            if module.partition('.')[0] not in EXCHANGED or (
                    module == 'builtins' and name in HARMFUL):
                return f'{event} {module}.{name}'
        if event == 'open' and not isinstance(args[0], int):
            path, mode, flags = args
            if any(letter in (mode or '') for letter in 'wax+') or (flags or 0) & WRITING:
                return self._elsewhere(event, path)
        if event in CHANGES:
            return next(filter(None, (self._elsewhere(event, path) for path in args[:2]
                                      if isinstance(path, str | bytes | os.PathLike))), None)
        return None

    def _elsewhere(self, event, path):
        found = os.path.realpath(os.fsdecode(path))
        if found == os.devnull or any(f'{found}{os.sep}'.startswith(folder)
                                      for folder in self._folders):
            return None
        return f'{event} {found}'


def isolate(folder: Path) -> None:
    """Move caches, temporary files and relative paths of this process into a folder."""
    for name in ('cache', 'tmp', 'work'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    os.environ['XDG_CACHE_HOME'] = str(folder / 'cache')
    os.environ['TMPDIR'] = str(folder / 'tmp')
    tempfile.tempdir = None  # computed anew
    os.chdir(folder / 'work')
    sys.dont_write_bytecode = True
