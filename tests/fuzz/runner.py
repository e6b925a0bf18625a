"""The inputs of a campaign: given to worker processes, counted, and saved at a finding."""
import contextlib
import hashlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.fuzz.mutations import mutants
from tests.fuzz.targets.target import Target
from tests.fuzz.worker import ROOT

import hypothesis

SECONDS = 10  # that a reader may take
START = 120  # seconds that a worker may take to start
ANSWER = {'end': 'finding', 'place': '', 'message': '', 'bytes': 0}


class Worker:
    """A worker process; it is started at the first input, and again after a crash or a hang.

    Args:
        folder: an empty folder for the process.
        module: the module with the targets.
        seconds: the time that a reader may take.
    """

    def __init__(self, folder: Path, module: str = 'tests.fuzz.targets', seconds: float = SECONDS):
        self.folder, self.module, self.seconds = folder, module, seconds
        self._process: subprocess.Popen | None = None

    def read(self, name: str, content: bytes) -> dict[str, Any]:
        """Give one input to the reader of a target.

        Returns:
            ``end``: ``accepted``, ``refused`` or ``finding``; for a finding ``error``, ``message``
            and ``place``; and ``bytes``, the memory beyond that of the start so far.
        """
        answer = self._read(name, content)
        # A busy machine can stop a process for long, so a hang has to repeat itself.
        return self._read(name, content) if answer.get('error') == 'hang' else answer

    def _read(self, name, content):
        process = self._started()
        path = self.folder / 'content'
        path.write_bytes(content)
        process.stdin.write(json.dumps([name, str(path)]).encode() + b'\n')
        process.stdin.flush()
        answer = self._answer(self.seconds)
        if answer.get('error') in ('hang', 'crash', 'memory'):
            self.close()
        return answer

    def _started(self):
        if self._process is None:
            limits = dict.fromkeys(('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'), '1')
            with open(self.folder / 'errors', 'wb') as errors:
                self._process = subprocess.Popen(
                    [sys.executable, '-X', 'faulthandler', '-m', 'tests.fuzz.worker',
                     str(self.folder / 'own'), self.module], cwd=ROOT, stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
                    env={**os.environ, **limits})
            if self._answer(START)['end'] != 'ready':
                raise RuntimeError(self._errors())
        return self._process

    def _answer(self, seconds):
        process = self._process
        if not select.select([process.stdout], [], [], seconds)[0]:
            return {**ANSWER, 'error': 'hang', 'message': f'no end within {seconds} s'}
        line = process.stdout.readline()
        if not line:
            return {**ANSWER, 'error': 'crash',
                    'message': f'exit status {process.wait()}: {self._errors()[:500]}'}
        return json.loads(line)

    def _errors(self):
        return (self.folder / 'errors').read_text(errors='replace')

    def close(self) -> None:
        """End the process and its children, and remove its files."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None
        subprocess.run(['rm', '-rf', '--', self.folder / 'own'], check=False)


class Tally:
    """Counts and findings of one target.

    Args:
        name: the target.
        saved: the folder to which the first input of each finding is copied.

    Attributes:
        counts: ``inputs``, ``accepted``, ``refused``, ``findings``, and ``peak_bytes``.
        findings: {(error, place): dict with ``message``, ``input`` and ``count``}.
    """

    def __init__(self, name: str, saved: Path):
        self.name, self.saved = name, saved
        self.counts = dict.fromkeys(('inputs', 'accepted', 'refused', 'findings', 'peak_bytes'), 0)
        self.findings: dict[tuple, dict] = {}

    def add(self, content: bytes, answer: dict, origin: str) -> None:
        """Count an input, and save it if it is the first of its finding."""
        self.counts['inputs'] += 1
        self.counts['peak_bytes'] = max(self.counts['peak_bytes'], answer['bytes'])
        end = answer['end']
        self.counts['findings' if end == 'finding' else end] += 1
        if end != 'finding':
            return
        key = answer['error'], answer['place']
        if key not in self.findings:
            self.saved.mkdir(parents=True, exist_ok=True)
            path = self.saved / f'{self.name}-{hashlib.sha256(content).hexdigest()[:12]}'
            path.write_bytes(content)
            self.findings[key] = {
                'target': self.name, 'error': key[0], 'place': key[1],
                'message': answer['message'], 'origin': origin, 'input': str(path), 'count': 0}
        self.findings[key]['count'] += 1


def mutate(worker: Worker, target: Target, tally: Tally, seed: int, n: int,
           end: float = float('inf')) -> None:
    """Give the first ``n`` mutants of a seed to a reader, until the time ``end``."""
    for number, content in zip(range(n), mutants(tally.name, seed, target.seeds())):
        if time.monotonic() > end:
            return
        tally.add(content, worker.read(tally.name, content), f'seed {seed}, mutant {number}')


def structure(worker: Worker, target: Target, tally: Tally, seed: int, n: int,
              end: float = float('inf')) -> None:
    """Give ``n`` structured files of Hypothesis to a reader, until the time ``end``."""
    if target.strategy is None:
        return

    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=n, database=None, deadline=None,
                         phases=[hypothesis.Phase.generate],
                         suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(target.strategy)
    def attack(content):
        if time.monotonic() <= end:
            tally.add(content, worker.read(tally.name, content), f'seed {seed}, Hypothesis')

    attack()


def campaign(targets: dict[str, Target], tallies: dict[str, Tally], seed: int, end: float,
             size: int = 50) -> None:
    """Attack all targets in turns with one worker, until the time ``end``."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(Path(folder))
        try:
            while time.monotonic() < end:
                for name, target in targets.items():
                    mutate(worker, target, tallies[name], rng.getrandbits(32), size, end)
                    structure(worker, target, tallies[name], rng.getrandbits(32), size // 2, end)
        finally:
            worker.close()
