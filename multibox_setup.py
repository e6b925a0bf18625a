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
import site
import subprocess
import sys
import sysconfig

RELEASES = 'chainer==7.8.1', 'chainercv==0.13.1'
# ChainerCV's only extension module is not compiled: multibox/compat.py replaces it.
NO_COMPILER = {'CC': 'true', 'LDSHARED': 'true'}
# One line, as Python wants it. It does nothing where multibox was uninstalled.
START_UP = '''import os, importlib.util as util; found = util.find_spec('multibox'); \
path = os.path.join(found.submodule_search_locations[0], 'compat.py') if found else ''; \
spec = os.path.exists(path) and util.spec_from_file_location('multibox_compat', path); \
spec and spec.loader.exec_module(util.module_from_spec(spec))
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
    packages = str(importlib.metadata.distribution('chainer').locate_file(''))
    # Python reads .pth files in these folders, as pip chooses between them; not in PYTHONPATH.
    folder = sysconfig.get_path('purelib')
    folder = folder if os.access(folder, os.W_OK) else site.getusersitepackages()
    pathlib.Path(folder, 'multibox_compat.pth').write_text(START_UP, encoding='utf-8')
    print(f'multibox-setup: {" and ".join(RELEASES)} are installed in {packages}')


if __name__ == '__main__':
    main()
