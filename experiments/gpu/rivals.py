"""Contestants in processes of their own: started, given turns within a limit of time, ended."""
import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time

WARM_UP = 20  # steps: compilation, plans, and float16's scale, which doubles until it is too large


class Failed(Exception):
    """A contestant that died, or that took too long; the message is the end of what it said."""


class Rival:
    """A process of experiments.gpu.contestant.

    Args:
        python: the interpreter.
        what: arguments of ``experiments.gpu.contestant.make``.
        limit: seconds for its start, and for each answer.
    """

    def __init__(self, python, what, limit):
        self.limit, self.seconds, self.memory_bytes, self.versions = limit, [], 0, None
        self._answers = queue.Queue()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed at the end
        self._process = subprocess.Popen(
            [python, '-m', 'experiments.gpu.contestant', json.dumps(what)], stderr=self._said,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put(None)

    def _answer(self):
        try:
            answer = self._answers.get(timeout=self.limit)
        except queue.Empty:
            raise Failed(f'no answer in {self.limit} s') from None
        if answer is None:
            self._process.wait()
            self._said.seek(0)
            said = self._said.read().decode(errors='replace').strip()
            raise Failed(f'ended with {self._process.returncode}: {said[-1500:]}')
        return answer

    def _take(self, n_step):
        with contextlib.suppress(BrokenPipeError):  # a dead one says why when asked
            print(n_step, file=self._process.stdin, flush=True)
        return self._answer()

    def prepare(self, seconds):
        """Wait until it is ready, warm up, and choose how many steps fill a turn."""
        self.versions = self._answer()['versions']
        self._take(2)
        if self._take(3)['seconds'] < 1:
            self._take(WARM_UP)
        self.n_step = max(2, min(500, round(seconds / self._take(3)['seconds'])))

    def turn(self):
        """Take a turn; its seconds a step are kept."""
        answer = self._take(self.n_step)
        self.seconds.append(answer['seconds'])
        self.memory_bytes = answer['memory_bytes']

    def end(self):
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._said.close()


def compete(rivals, repeat, seconds, watch):
    """Turns of rivals that run side by side, one at a time, again and again.

    Args:
        rivals: {name: function that starts a :class:`Rival`}.
        repeat: turns of each.
        seconds: length of a turn, about.
        watch: an ``experiments.gpu.watch.Watch``.

    Returns:
        {name: dict}: seconds a step turn by turn, memory, load of the GPU and versions; or the
        ``error`` of one that failed, which the others do not notice.
    """
    results, started = {}, {}
    try:
        for name, start in rivals.items():
            started[name] = start()
        spans = {name: [] for name in rivals}
        for turn in range(-1, repeat):
            for name, rival in started.items():
                if name in results:
                    continue
                begin = time.perf_counter()
                try:
                    rival.prepare(seconds) if turn < 0 else rival.turn()
                except Failed as error:
                    results[name] = {'error': str(error)}
                    rival.end()
                spans[name].append((begin, time.perf_counter()))
        for name, rival in started.items():
            if name not in results:
                results[name] = {
                    'seconds_a_step': rival.seconds, 'steps_a_turn': rival.n_step,
                    'memory_bytes': rival.memory_bytes, 'versions': rival.versions,
                    'load': [watch.between(*span) for span in spans[name][1:]]}
    finally:
        for rival in started.values():
            rival.end()
    return results


def starter(limit, torch_python=sys.executable, **what):
    """A function that starts a rival, for :func:`compete`."""
    python = torch_python if what['kind'].startswith('torch') else sys.executable
    return lambda: Rival(python, what, limit)
