"""Contestants in processes of their own: started, given turns with a time limit, ended."""
import contextlib
import functools
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from experiments.timing.turns import own_reading, take_turns
from experiments.timing.watch import Watch

WARM_UP = 20  # steps: compilation, plans, and float16's scale, which doubles until it overflows


class Failed(Exception):
    """A contestant ended, or took too long; the message is the end of its output."""


class Rival(contextlib.AbstractContextManager):
    """A contestant in a process, which ends with the context. All methods can raise Failed.

    Args:
        command: the program and its arguments, see :func:`command`.
        limit: seconds for the start, and for each answer.

    Attributes:
        n_step: steps per turn.
        versions: versions and hardware on which the timing depends, or None.
    """

    def __init__(self, command: list[str], limit: float):
        self.limit, self.n_step = limit, 1
        self.versions: dict[str, Any] | None = None
        self._answers: queue.Queue = queue.Queue()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  closed at the end
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=self._output, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()

    def wait_until_ready(self) -> None:
        """Wait for the end of the start."""
        self.versions = self._answer()['versions']

    def prepare(self, seconds: float) -> None:
        """Wait for the start, warm up, and choose the steps that fill a turn of some seconds."""
        self.wait_until_ready()
        self._run(2)
        if self._run(3)['seconds'] < 1:
            self._run(WARM_UP)
        self.n_step = max(2, min(500, round(seconds / self._run(3)['seconds'])))

    def turn(self) -> dict[str, Any]:
        """Take the steps of a turn: ``seconds`` per step, and ``memory_bytes`` of the GPU."""
        return self._run(self.n_step)

    def _run(self, n_step):
        with contextlib.suppress(BrokenPipeError):  # an ended process gives its reason in _answer
            print(n_step, file=self._process.stdin, flush=True)
        return self._answer()

    def _read(self):
        for line in self._process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put(None)

    def _answer(self):
        try:
            answer = self._answers.get(timeout=self.limit)
        except queue.Empty:
            self._process.kill()  # it would disturb the others
            raise Failed(f'no answer in {self.limit} s') from None
        if answer is None:
            self._process.wait()
            self._output.seek(0)
            output = self._output.read().decode(errors='replace').strip()
            raise Failed(f'ended with {self._process.returncode}: {output[-1500:]}')
        return answer


def command(module: str, function: str, arguments: dict[str, Any], python: str = sys.executable
            ) -> list[str]:
    """The command of a contestant, which a function makes from keyword arguments."""
    return [python, '-m', 'experiments.timing.contestant', module, function, json.dumps(arguments)]


def compete(starters: dict[str, Callable[[], Rival]], repeat: int, seconds: float, watch: Watch
            ) -> dict[str, dict]:
    """Time rivals that are in memory at the same time and take turns.

    Args:
        starters: {name: function that starts a :class:`Rival`}.
        repeat: number of turns.
        seconds: approximate length of a turn.
        watch: the load of the GPU.

    Returns:
        {name: dict}: seconds per step turn by turn, memory, load of the GPU and versions; or the
        ``error`` of a rival that failed, which does not affect the others.
    """
    def clock(turn):
        begin = time.perf_counter()
        answer = turn()
        return {**answer, 'load': watch.between(begin, time.perf_counter())}

    failures: dict[str, Exception] = {}
    with contextlib.ExitStack() as stack:
        rivals = {name: stack.enter_context(start()) for name, start in starters.items()}
        prepared = take_turns({name: functools.partial(rival.prepare, seconds)
                               for name, rival in rivals.items()}, 1, own_reading, 0, failures)
        readings = take_turns({name: rivals[name].turn for name in prepared}, repeat, clock, 0,
                              failures)
    return {name: {'error': str(failures[name])} if name in failures else {
        'seconds_a_step': [turn['seconds'] for turn in readings[name]],
        'steps_a_turn': rival.n_step, 'memory_bytes': readings[name][-1]['memory_bytes'],
        'versions': rival.versions, 'load': [turn['load'] for turn in readings[name]],
    } for name, rival in rivals.items()}
