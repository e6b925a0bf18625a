"""The program of a contestant in a process of its own; experiments.timing.rivals starts it.

    python -m experiments.timing.contestant MODULE FUNCTION ARGUMENTS

FUNCTION of MODULE makes the contestant from ARGUMENTS, keyword arguments as JSON. The first line on
stdout says that the contestant is ready. Each line on stdin is a number of steps, and each answer
is a line of JSON. All other output goes to stderr. This file needs the standard library alone.
"""
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TextIO


class Contestant(NamedTuple):
    """A step to time, and what belongs to it.

    Attributes:
        step: function without arguments; on a GPU it need not wait for its result.
        wait: function that waits for the results of all steps.
        memory: function that returns the bytes of GPU memory in the pool of this process.
        versions: versions and hardware on which the timing depends, or None.
    """
    step: Callable[[], Any]
    wait: Callable[[], Any] = lambda: None
    memory: Callable[[], int] = lambda: 0
    versions: dict[str, Any] | None = None


def serve(contestant: Contestant, questions: Iterable[str], answers: TextIO) -> None:
    """Take the steps that are asked for, and answer with seconds per step and memory."""
    print(json.dumps({'versions': contestant.versions}), file=answers)
    for line in questions:
        begin = time.perf_counter()
        for _ in range(int(line)):
            contestant.step()
        contestant.wait()
        print(json.dumps({'seconds': (time.perf_counter() - begin) / int(line),
                          'memory_bytes': contestant.memory()}), file=answers)


if __name__ == '__main__':
    answers = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)
    module, function, arguments = sys.argv[1:]
    make = getattr(importlib.import_module(module), function)
    serve(make(**json.loads(arguments)), sys.stdin, answers)
    sys.stderr.flush()
    os._exit(0)  # the processes of a loader end with this one
