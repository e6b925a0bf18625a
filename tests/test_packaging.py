"""The package as it is installed: the files of the wheel, its commands, and the start-up file."""
import os
import pathlib
import re
import subprocess
import sys
import types
import zipfile

import multibox
import multibox_setup

import chainer
import pytest

ROOT = pathlib.Path(__file__).parents[1]
SITE_PACKAGES = pathlib.Path(chainer.__file__).parents[1]


def python(code, cwd, *flags):
    """Run code in a Python of its own, without the variables that could lead it to a checkout."""
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    return subprocess.run([sys.executable, *flags, '-c', code], cwd=cwd, env=environment,
                          capture_output=True, text=True)


# As at the start of a Python that finds this checkout and its packages.
START_UP = f'import sys; sys.path += {[str(ROOT), str(SITE_PACKAGES)]}\n{multibox_setup.START_UP}'


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    source.mkdir()
    names = ('multibox', 'multibox_setup.py', 'train.py', 'evaluate.py', 'detect.py', 'LICENSE',
             'setup.py', 'MANIFEST.in',
             'pyproject.toml', 'README.md', *(path.name for path in ROOT.glob('requirements-*')))
    subprocess.run(['cp', '-R', *(ROOT / name for name in names), source], check=True)
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps',
                    '--no-build-isolation', '--wheel-dir', folder, source], check=True)
    path, = folder.glob('*.whl')
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_a_wheel_holds_every_file_of_the_package(wheel):
    paths = {str(path.relative_to(ROOT)) for path in (ROOT / 'multibox').rglob('*')
             if path.is_file() and '__pycache__' not in path.parts}
    programs = {f'multibox/programs/{name}.py' for name in ('train', 'evaluate', 'detect')}
    assert {path for path in wheel if path.startswith('multibox/')} == paths | programs
    assert {'.py', '.cu', '.css', '.html', '.typed'} == {
        os.path.splitext(path)[1] or '.typed' for path in paths}


def test_a_wheel_holds_the_programs_as_they_are(wheel):
    for name in 'train.py', 'evaluate.py', 'detect.py':
        assert wheel[f'multibox/programs/{name}'] == (ROOT / name).read_bytes()


def test_a_wheel_has_the_version_the_commands_and_the_extras(wheel):
    info = f'multibox-{multibox.__version__}.dist-info'
    commands = wheel[f'{info}/entry_points.txt'].decode()
    assert re.findall(r'^multibox-(\w+) =', commands, re.MULTILINE) == [
        'detect', 'evaluate', 'setup', 'train', 'weights']
    extras = re.findall(r'^Provides-Extra: (.*)$', wheel[f'{info}/METADATA'].decode(), re.MULTILINE)
    assert set(extras) == {'cuda12', 'cuda13', 'onnx'}


def test_without_chainer_one_line_names_the_command(tmp_path):
    code = f'import sys; sys.path.append({str(ROOT)!r}); import multibox'
    result = python(code, tmp_path, '-S')
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert 'has no chainer and no chainercv: run multibox-setup' in result.stderr


def test_a_program_without_chainer_ends_in_one_line(tmp_path):
    result = subprocess.run([sys.executable, '-S', ROOT / 'train.py', '--help'], cwd=tmp_path,
                            capture_output=True, text=True)
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert 'make setup and then .venv/bin/python' in result.stderr


@pytest.mark.parametrize('imports', ['chainer, multibox', 'chainercv, multibox', 'chainermn'])
def test_with_the_start_up_file_chainer_may_come_first(imports, tmp_path):
    result = python(f'{START_UP}\nimport {imports}', tmp_path, '-S', '-W', 'error')
    assert (result.returncode, result.stderr) == (0, '')


@pytest.mark.parametrize('leave', [[], ['multibox']], ids=['nothing', 'a folder'])
def test_the_start_up_file_of_a_package_that_was_removed_is_silent(leave, tmp_path):
    for name in leave:
        (tmp_path / name).mkdir()
    result = python(multibox_setup.START_UP, tmp_path, '-S')
    assert (result.returncode, result.stderr) == (0, '')


def test_a_start_up_imports_no_numpy(tmp_path):
    result = python(f'{START_UP}\nprint("multibox_compat" in str(sys.meta_path[0].find_spec),'
                    ' "numpy" in sys.modules)', tmp_path, '-S')
    assert result.stdout == 'True False\n'


@pytest.mark.parametrize('failing', ['chainer.training', 'chainercv.visualizations'])
def test_a_half_imported_chainer_is_recovered(failing, tmp_path):
    code = f'''
import sys, warnings
sys.path += [{str(ROOT)!r}, {str(SITE_PACKAGES)!r}]
sys.modules[{failing!r}] = None
try:
    warnings.simplefilter('ignore')
    import chainercv
except (AttributeError, ImportError):
    del sys.modules[{failing!r}]
assert 'chainercv' not in sys.modules
assert any(name.startswith(('chainer.', 'chainercv.')) for name in sys.modules)
import multibox
import chainer, chainercv
print(chainer.training.Trainer, chainercv.links.SSD300, chainercv.visualizations.vis_bbox)
'''
    result = python(code, tmp_path, '-S')
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize('code', [
    'import multibox, chainer; importlib.reload(chainer)',
    '''
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    list(pool.map(importlib.import_module, ['multibox', 'chainer'] * 2))''',
], ids=['reload', 'threads'])
def test_chainer_survives(code, tmp_path):
    result = python(f'''{START_UP}
import concurrent.futures, importlib
{code}
from multibox import make_detector
print(make_detector('slim300', 3).coder.default_bbox.shape)''', tmp_path, '-S')
    assert (result.returncode, result.stdout) == (0, '(8732, 4)\n'), result.stderr


def test_setup_writes_the_start_up_file_beside_chainer(tmp_path, monkeypatch, capsys):
    commands = []
    monkeypatch.setattr(multibox_setup.sysconfig, 'get_path', lambda name: str(tmp_path))
    monkeypatch.setattr(multibox_setup.subprocess, 'call',
                        lambda command, env: commands.append((command, env)))
    monkeypatch.setattr(multibox_setup.importlib.metadata, 'distribution',
                        lambda name: types.SimpleNamespace(locate_file=lambda path: tmp_path))
    multibox_setup.main()
    (command, environment), = commands
    assert command[-2:] == ['chainer==7.8.1', 'chainercv==0.13.1'] and environment['CC'] == 'true'
    start_up = (tmp_path / 'multibox_compat.pth').read_text()
    assert len(start_up.splitlines()) == 1 and start_up.startswith('import ')


def test_setup_names_the_failure_of_pip(monkeypatch):
    monkeypatch.setattr(multibox_setup.subprocess, 'call', lambda command, env: 1)
    with pytest.raises(SystemExit, match='pip could not install chainer'):
        multibox_setup.main()


def test_the_citation_and_the_changelog_name_this_version():
    citation = (ROOT / 'CITATION.cff').read_text(encoding='utf-8')
    changes = (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8')
    assert f'\nversion: {multibox.__version__}\n' in citation
    assert re.search(r'^## (\S+)', changes, re.MULTILINE)[1] == multibox.__version__
