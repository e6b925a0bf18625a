"""No file makes a reader crash, hang, fill the memory, run code or raise an undocumented error."""
import pathlib

from tests.fuzz.runner import Tally, Worker, mutate, structure
from tests.fuzz.targets import TARGETS

import pytest

N_MUTANT, N_STRUCTURED, SEED = 10, 5, 0
SAVED = pathlib.Path('result/fuzz')


@pytest.fixture(scope='module')
def worker(tmp_path_factory):
    worker = Worker(tmp_path_factory.mktemp('fuzz'))
    yield worker
    worker.close()


@pytest.mark.parametrize('name', TARGETS)
def test_a_reader_accepts_its_own_seeds(worker, name):
    # A seed that runs code if it is unpickled is refused.
    ends = [worker.read(name, content)['end'] for content in TARGETS[name].seeds()]
    assert 'accepted' in ends and 'finding' not in ends


@pytest.mark.parametrize('name', TARGETS)
def test_a_reader_gives_a_result_or_its_documented_error(worker, name):
    tally = Tally(name, SAVED)
    mutate(worker, TARGETS[name], tally, SEED, N_MUTANT)
    structure(worker, TARGETS[name], tally, SEED, N_STRUCTURED)
    report = [f'{name}: {each["error"]} at {each["place"]} ({each["message"]}), {each["origin"]}; '
              f'python -m tests.fuzz --target {name} --replay {each["input"]}'
              for each in tally.findings.values()]
    assert not report, '\n'.join(report)
