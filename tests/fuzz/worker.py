"""A process that reads inputs for its parent; it may crash, hang or run out of memory.

Usage: python -m tests.fuzz.worker FOLDER MODULE. The module has the ``TARGETS``. A line on stdin is
the name of a target and a file, as JSON. The line of the answer has ``end``: ``accepted``,
``refused`` or ``finding``.
"""
import contextlib
import importlib
import json
import os
import pathlib
import resource
import shutil
import sys
import traceback

from tests.fuzz import guard

ROOT = pathlib.Path(__file__).parents[2]
MAX_MEMORY = 2 ** 31  # bytes, beyond those of the start


def peak_memory() -> int:
    """The largest resident memory of this process since :func:`forget_peak`, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else 1024 * peak


def forget_peak() -> None:
    """Let :func:`peak_memory` begin anew (Linux)."""
    with contextlib.suppress(OSError):
        pathlib.Path('/proc/self/clear_refs').write_text('5')


def limit_memory() -> None:
    """Let allocations fail beyond :data:`MAX_MEMORY` (Linux)."""
    status = pathlib.Path('/proc/self/statm')
    if status.exists():
        n_byte = int(status.read_text().split()[0]) * resource.getpagesize() + MAX_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (n_byte, n_byte))


def chain(error: BaseException | None) -> list[BaseException]:
    """An error, and the errors during whose handling it was raised."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def place(error: BaseException) -> str:
    """The last line of this project that an error passed, as FILE:LINE."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if frame.filename.startswith(f'{ROOT}/') and frame.filename != __file__
              and '/site-packages/' not in frame.filename]
    if not frames:
        return ''
    return f'{pathlib.Path(frames[-1].filename).relative_to(ROOT)}:{frames[-1].lineno}'


def judge(target, folder, content, watch) -> dict:
    """Give an input to a reader, and tell the end."""
    watch.acts.clear()
    watch.on = True
    try:
        target.read(folder, content)
        end, error = 'accepted', None
    except BaseException as raised:
        end, error = ('refused' if isinstance(raised, target.clean) else 'finding'), raised
    watch.on = False
    if watch.acts:
        return {'end': 'finding', 'error': 'forbidden act', 'message': watch.acts[0][:500],
                'place': place(error) if error else ''}
    no_memory = next((each for each in chain(error) if isinstance(each, MemoryError)), None)
    if no_memory is not None:
        end, error = 'finding', no_memory
    if end == 'finding':
        return {'end': end, 'error': type(error).__name__, 'message': str(error)[:500],
                'place': place(error)}
    return {'end': end, 'message': str(error)[:500] if error is not None else ''}


def main() -> None:
    """Answer until stdin ends."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the readers print
    top = pathlib.Path(sys.argv[1]).resolve()
    guard.isolate(top)
    targets = importlib.import_module(sys.argv[2]).TARGETS  # now, for the caches in the folder
    watch = guard.Guard(top)
    for target in targets.values():  # imports and buffers that every input shares
        for content in target.seeds()[:1]:
            judge(target, top / 'first', content, watch)
            shutil.rmtree(top / 'first', ignore_errors=True)
    begin = peak_memory()
    limit_memory()
    print(json.dumps({'end': 'ready'}), file=answers, flush=True)
    for line in sys.stdin:
        name, path = json.loads(line)
        folder = top / 'input'
        folder.mkdir()
        forget_peak()
        answer = judge(targets[name], folder, pathlib.Path(path).read_bytes(), watch)
        grown = peak_memory() - begin
        if grown > MAX_MEMORY:
            answer = {'end': 'finding', 'error': 'memory', 'place': '',
                      'message': f'{grown:,} bytes more than at the start'}
        print(json.dumps({**answer, 'bytes': grown}), file=answers, flush=True)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    main()
