"""All measurements of a GPU, without one: their order, their limits, and those that fail."""
import json
import subprocess
import sys

from experiments import children
from experiments.gpu import all as gpu_all
from experiments.gpu import convolution, loss, ops, profile, step
from multibox.errors import UserError

import pytest

# Ends of the measurements by module; a number is an exit status.
ENDS = {'good': 0, 'bad': 3}


@pytest.fixture
def called(monkeypatch):
    """Stand-ins for a GPU and for the processes. Returns (module, limit) of each call."""
    called = []

    def call(command, limit):
        module = command[2].rpartition('.')[2]
        called.append((module, limit))
        if module == 'slow':
            raise subprocess.TimeoutExpired(command, limit)
        return ENDS[module]
    monkeypatch.setattr(gpu_all, 'call', call)
    monkeypatch.setattr(gpu_all, 'gpu_name', lambda: 'a GPU')
    monkeypatch.setattr(gpu_all, 'exists', lambda measurement: measurement.module != 'missing')
    return called


def measure(monkeypatch, out, minutes, *modules):
    monkeypatch.setattr(gpu_all, 'MEASUREMENTS', [
        gpu_all.Measurement(module, 50) for module in modules])
    gpu_all.main(['--minutes', str(minutes), '--out', str(out)])


def test_measurements_run_in_order_within_their_limits(called, monkeypatch, tmp_path):
    measure(monkeypatch, tmp_path, 10, 'good', 'missing', 'good')
    assert called == [('good', 50)] * 2
    first, second = json.loads((tmp_path / 'all.json').read_text())['results']['measurements']
    assert first['end'] == second['end'] == 'good'
    assert first['command'] == f'python -m experiments.gpu.good --out {tmp_path}/good.json'


def test_a_failure_does_not_end_the_others(called, monkeypatch, tmp_path):
    with pytest.raises(UserError) as error:
        measure(monkeypatch, tmp_path, 10, 'bad', 'slow', 'good')
    assert [module for module, _ in called] == ['bad', 'slow', 'good']
    assert str(error.value).splitlines() == [
        'measurements without an end:',
        f'  python -m experiments.gpu.bad --out {tmp_path}/bad.json: exit status 3',
        f'  python -m experiments.gpu.slow --out {tmp_path}/slow.json: killed after 50 s']


def test_the_last_minutes_shorten_a_limit(called, monkeypatch, tmp_path):
    measure(monkeypatch, tmp_path, .5, 'good')
    assert 29 < called[0][1] <= 30


def test_when_time_is_up_the_rest_is_left_out(called, monkeypatch, tmp_path):
    with pytest.raises(UserError, match=r'good.json: left out'):
        measure(monkeypatch, tmp_path, .1, 'good')
    assert not called


def test_the_measurements_accept_their_flags(monkeypatch, tmp_path):
    class Parsed(Exception):
        """The flags were accepted."""

    def stop(*_, **__):
        raise Parsed
    for module in profile, loss, ops, convolution:
        monkeypatch.setattr(module, 'check_numbers', stop)
    mains = {module.__name__.rpartition('.')[2]: module.main
             for module in (profile, loss, ops, convolution)}
    for measurement in gpu_all.MEASUREMENTS:
        flags = measurement.command(tmp_path)[2:]
        if measurement.module == 'step':
            assert step.parse_args(flags).only in ('steps', 'fed')
        elif gpu_all.exists(measurement) and measurement.module in mains:
            with pytest.raises(Parsed):
                mains[measurement.module](flags)


def test_a_command_beyond_its_limit_is_killed():
    with pytest.raises(subprocess.TimeoutExpired):
        children.call([sys.executable, '-c', 'import time; time.sleep(99)'], limit=.2)
    assert not children._running
