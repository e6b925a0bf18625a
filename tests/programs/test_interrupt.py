"""Ctrl-C ends a program with one line, also while it is importing its modules."""
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
# Python loads this file at its start; the signal comes when the import of a module begins.
SITECUSTOMIZE = '''
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {!r} and 'multibox' in sys.modules:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
'''


@pytest.mark.parametrize('command, module', [
    (['detect.py'], 'chainer'), (['-m', 'multibox.data'], 'matplotlib')])
def test_ctrl_c_during_imports_ends_in_one_line(command, module, tmp_path):
    (tmp_path / 'sitecustomize.py').write_text(SITECUSTOMIZE.format(module))
    done = subprocess.run([sys.executable, *command, '--help'], cwd=ROOT, text=True,
                          capture_output=True, env={'PYTHONPATH': f'{tmp_path}:{ROOT}'})
    assert (done.returncode, done.stderr) == (130, 'interrupted\n')
