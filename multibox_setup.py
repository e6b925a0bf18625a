"""Install Chainer and ChainerCV into the environment of this Python: the command multibox-setup.

Neither has a wheel, and no release will follow. Both build from source without a compiler, but only
outside of pip's build isolation, so no package can name them as plain dependencies. The command
also writes a ``.pth`` file. It loads ``multibox/compat.py`` whenever a Python of this environment
starts, so that Chainer can be imported before multibox.
"""
import importlib.metadata
import importlib.util
import os
import pathlib
import subprocess
import sys

RELEASES = 'chainer==7.8.1', 'chainercv==0.13.1'
# ChainerCV's only extension module is not compiled: multibox/compat.py replaces it.
NO_COMPILER = {'CC': 'true', 'LDSHARED': 'true'}
START_UP = '''import os, importlib.util as util; \
spec = util.spec_from_file_location('multibox_compat', {path!r}); \
os.path.exists(spec.origin) and spec.loader.exec_module(util.module_from_spec(spec))
'''


def main() -> None:
    """Install both packages, then the file that repairs their imports."""
    if importlib.util.find_spec('pip') is None:
        sys.exit(f'multibox-setup: {sys.executable} has no pip; run {sys.executable} -m ensurepip')
    # ChainerCV's metadata asks for a Pillow that has no wheels: pip must not resolve dependencies.
    status = subprocess.call(
        [sys.executable, '-m', 'pip', 'install', '--quiet', '--use-pep517', '--no-build-isolation',
         '--no-deps', *RELEASES], env={**os.environ, **NO_COMPILER})
    if status:
        sys.exit(f'multibox-setup: pip could not install {" and ".join(RELEASES)}; its messages '
                 'are above')
    importlib.invalidate_caches()
    packages = importlib.metadata.distribution('chainer').locate_file('')
    compat = pathlib.Path(importlib.util.find_spec('multibox').origin).with_name('compat.py')
    start_up = pathlib.Path(packages, 'multibox_compat.pth')
    start_up.write_text(START_UP.format(path=str(compat)), encoding='utf-8')
    print(f'multibox-setup: {" and ".join(RELEASES)} are installed in {packages}')


if __name__ == '__main__':
    main()
