"""Readers of the files of a run."""
import argparse
import functools
import json
import pathlib
import tempfile

import train
from multibox.data import SPLITS, split
from multibox.errors import UserError
from multibox.networks import MODELS
from multibox.processes import ONE
from multibox.report.compare import compare_runs
from multibox.training import settings
from multibox.training.origin import Origin, find_origin
from multibox.weights.snapshot import read_settings
from tests.fuzz import strategies
from tests.fuzz.targets.target import Target, put
from tests.support.runs import write_run

DATA = {'classes': ['cat', 'dog'], 'images': 9, 'annotations': 123, 'processes': 1}
SPLIT = {'data': 'x', 'train': ['a.jpg', 'b.jpg'], 'test': ['c.jpg']}
FLAGS = ['--resume', '--iteration', '3', '--out']


@functools.cache
def _run():
    """The files of a run, {name: bytes}."""
    with tempfile.TemporaryDirectory() as folder:
        out = write_run(pathlib.Path(folder, 'run'), metrics={
            'best': {'map': .6, 'iteration': 300}, 'threshold': .4,
            'coco': {'map': .3}, 'running': False})
        return {path.name: path.read_bytes() for path in out.iterdir()}


@functools.cache
def _settings():
    """The settings.json of train.py with the defaults of all flags."""
    args = settings.parse_args(['--out', 'x'], None, train.PAPER, train.SLIM, train.LITE)
    known = {name: value for name, value in vars(args).items() if name != 'remarks'}
    return {**json.loads(json.dumps(known, default=str)), **DATA}


def _resume(folder, content):
    """The flags of ``train.py --resume``, as far as before the data are read."""
    put(folder / 'settings.json', content)
    put(folder / 'snapshot_iter_2', b'')
    args = settings.parse_args([*FLAGS, str(folder)], None, train.PAPER, train.SLIM, train.LITE)
    settings.check_and_lock(args, ONE).release()
    settings.count_iterations(args, 9)
    settings.check_settings(folder, {**vars(args), **DATA}, settings.FIXED)
    assert args.model in MODELS and isinstance(args, argparse.Namespace)
    for name in 'batchsize', 'iteration', 'log_interval', 'snapshot_interval', 'seed':
        assert type(getattr(args, name)) is int, (name, getattr(args, name))
    for name in 'lr', 'k', 'alpha', 'momentum', 'weight_decay':
        assert type(getattr(args, name)) in (int, float), (name, getattr(args, name))
    return args


def _origin(folder, content, name):
    put(folder / name, content)
    origin = find_origin(folder / 'model.npz')
    if origin is not None:
        assert isinstance(origin, Origin) and origin.split in SPLITS, origin
        origin.check()
    return origin


def _split(folder, content):
    put(folder / split.FILE, content)
    names = split.load(folder, folder)
    assert names is None or names.keys() == {'train', 'test'}
    return names


def _described(folder, content):
    found = read_settings(put(folder / 'settings.json', content).with_name('snapshot_iter_2'))
    assert isinstance(found, dict)
    return found


def _compare(folder, content, name):
    for out in 'good', 'bad':
        for file, good in _run().items():
            put(folder / out / file, good)
    put(folder / 'bad' / name, content)
    text = compare_runs([folder / 'good', folder / 'bad'], folder / 'comparison.html')
    page = (folder / 'comparison.html').read_text(encoding='utf-8')
    assert '<script>' not in text and page.rstrip().endswith('</html>')
    return text


def _fields(name):
    return json.loads(_run()[name])


def _report(name, strategy):
    return Target(lambda: [_run()[name]], functools.partial(_compare, name=name),
                  strategy=strategy)


TARGETS = {
    'settings-resume': Target(lambda: [json.dumps(_settings()).encode()], _resume,
                              (UserError, SystemExit), strategies.any_json(**_settings())),
    'settings-origin': Target(lambda: [json.dumps(_settings()).encode()],
                              functools.partial(_origin, name='settings.json'),
                              strategy=strategies.any_json(data='x', split='07+12')),
    'metrics-origin': Target(lambda: [_run()['metrics.json']],
                             functools.partial(_origin, name='metrics.json'),
                             strategy=strategies.any_json(settings={'data': 'x', 'split': '07'})),
    'settings-snapshot': Target(lambda: [json.dumps(_settings()).encode()], _described),
    'split': Target(lambda: [json.dumps(SPLIT).encode()], _split,
                    strategy=strategies.mutated_json(SPLIT)),
    'metrics': _report('metrics.json', strategies.any_json(**_fields('metrics.json'))),
    'settings-report': _report('settings.json', strategies.any_json(**_fields('settings.json'))),
    'log': _report('log', strategies.mutated_json(_fields('log')[:6])),
}
