"""The attack itself: it finds faults made on purpose, and the same seed gives the same inputs."""
import itertools
import json
import zipfile
from io import BytesIO

from tests.fuzz import faults, structures
from tests.fuzz.__main__ import main
from tests.fuzz.mutations import mutants
from tests.fuzz.runner import Worker
from tests.fuzz.targets import TARGETS

import pytest


@pytest.fixture(scope='module')
def worker(tmp_path_factory):
    worker = Worker(tmp_path_factory.mktemp('fuzz'), 'tests.fuzz.faults')
    yield worker
    worker.close()


@pytest.mark.parametrize('name, error', [
    ('crash', 'crash'), ('undocumented', 'KeyError'),
    ('swallowed', 'MemoryError'), ('filled', 'MemoryError'), ('unpickled', 'forbidden act'),
    ('started', 'forbidden act'), ('written', 'forbidden act'), ('removed', 'forbidden act')])
def test_a_fault_is_found(worker, name, error):
    answer = worker.read(name, b'')
    assert (answer['end'], answer['error']) == ('finding', error)
    assert not faults.ELSEWHERE.exists()


def test_a_hang_is_found_when_it_repeats_itself(worker, monkeypatch):
    monkeypatch.setattr(worker, 'seconds', .5)
    assert worker.read('hang', b'')['error'] == 'hang'


@pytest.mark.parametrize('name, end', [('accepted', 'accepted'), ('documented', 'refused')])
def test_an_end_that_is_allowed_is_none(worker, name, end):
    assert worker.read(name, b'')['end'] == end


def test_a_seed_gives_the_same_mutants():
    seeds = TARGETS['png'].seeds()
    one, again, other = (list(itertools.islice(mutants('png', seed, seeds), 20))
                         for seed in (0, 0, 1))
    assert one == again != other and len(set(one)) > 15


@pytest.mark.parametrize('name', ['npz', 'pth-zip', 'png', 'safetensors', 'coco'])
def test_most_mutants_keep_the_outside_of_their_format(name):
    seeds = TARGETS[name].seeds()
    kept = [structures.of(mutant) for mutant in itertools.islice(mutants(name, 0, seeds), 50)]
    assert sum(found is structures.of(seeds[0]) for found in kept) > 25


def test_a_mutant_of_an_archive_has_right_checksums():
    seeds, whole = TARGETS['npz'].seeds(), 0
    for mutant in itertools.islice(mutants('npz', 0, seeds), 60):
        try:
            whole += zipfile.ZipFile(BytesIO(mutant)).testzip() is None and mutant not in seeds
        except Exception:
            continue
    assert whole > 15


def test_a_campaign_counts_and_tells_how_to_repeat(tmp_path):
    path = tmp_path / 'fuzz.json'
    with pytest.raises(SystemExit):
        main(['--minutes', '0.01', '--target', 'labels', '--parallel', '1', '--seed', '3',
              '--json', str(path), '--saved', str(tmp_path / 'inputs')])
    content = json.loads(path.read_text())
    counts = content['targets']['labels']
    assert counts['inputs'] == counts['accepted'] + counts['refused'] + counts['findings']
    assert content['seed'] == 3 and content['versions'] and content['total'] == counts
