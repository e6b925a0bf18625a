"""Run the programs while no file may grow beyond a limit, as on a full disk.

    python -m experiments.reliability.disk                        all limits
    python -m experiments.reliability.disk --limits 2             the two smallest

Every program has to succeed, or to end in a line per file that it cannot write. Files that were
there stay as they are, or are replaced by whole ones. train.py --resume then goes on from the last
good snapshot, and its weights equal those of an undisturbed run to the bit.
"""
import hashlib
import json
import resource
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.reliability import runs
from multibox.archives import read_arrays
from multibox.data.pictures import SUFFIXES, inspect
from multibox.errors import UserError, ending_together
from multibox.files import PART
from multibox.locks import NAME as LOCK

LIMITS = 0, 1000, 20_000, 600_000, 3_000_000, 10_000_000  # bytes of a file
ITERATIONS, HALF = 20, 10
NOTES = 'notes.txt'  # a file of the user


def damage(path: Path) -> str | None:
    """Why a file of a run cannot be read, or None."""
    try:
        if path.suffix == '.json' or path.name == 'log':
            json.loads(path.read_text(encoding='utf-8'))
        elif path.suffix == '.npz' or path.name.startswith('snapshot_iter_'):
            read_arrays(path)
        elif path.suffix in SUFFIXES:
            inspect(path)
        elif path.suffix == '.html' and not path.read_text(encoding='utf-8').rstrip().endswith(
                '</html>'):
            return 'is cut off'
        elif path.stat().st_size == 0:
            return 'is empty'
    except Exception as error:  # whatever the reader of the format raises
        return str(error)
    return None


def contents(folder: Path) -> dict[str, str]:
    """The checksums of all files under a folder, by their relative paths."""
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob('*')) if path.is_file() and path.name != LOCK}


def attempt(limit: int, out: Path, program: str, *flags: str | Path) -> dict[str, Any]:
    """Run a program under a limit, and look at the files of its folder.

    Returns:
        ``status``, ``stderr``, ``faults``: in words, what is against the rules.
    """
    before = contents(out)
    process = runs.start(program, *flags, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_FSIZE, (limit, limit)))
    _, errors = process.communicate()
    faults, after = [], contents(out)
    if process.returncode not in (0, 1):
        faults.append(f'exit status {process.returncode}')
    lines = errors.strip().splitlines()
    if process.returncode and (not lines or any('Traceback' in line for line in lines)):
        faults.append('a traceback on stderr' if lines else 'no line on stderr')
    # train.py removes old snapshots and keeps two.
    gone = [name for name in before if name not in after and not name.startswith('snapshot_iter_')]
    faults += [f'{name} is gone' for name in gone]
    if after.get(NOTES) != before.get(NOTES):
        faults.append(f'{NOTES} is changed')
    for name in after:
        if PART.fullmatch(Path(name).name):
            faults.append(f'{name} is left')
        elif after[name] != before.get(name) and (reason := damage(out / name)):
            faults.append(f'{name} is damaged: {reason}')
    result = {'program': program, 'limit': limit, 'status': process.returncode,
              'stderr': errors.strip().replace(str(out.parent), 'DIR')[-1000:], 'faults': faults}
    print(f'{program}, {limit:,} bytes: status {process.returncode}, '
          f'{"; ".join(faults) or "as it should be"}', flush=True)
    return result


def half(out: Path, flags: Sequence[str | Path]) -> None:
    """Make a run that a signal has ended in the middle."""
    process = runs.start('train.py', *flags, '--out', out)
    while process.poll() is None and runs.newest(out) < HALF:
        time.sleep(.05)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    if not HALF <= runs.newest(out) < ITERATIONS:
        raise UserError(f'{out}: the signal came too late; run this again')


def measure(folder: Path, limits: int) -> dict[str, Any]:
    """Run all three programs under the first ``limits`` of :data:`LIMITS`."""
    data = runs.draw(folder / 'data')
    flags = ['--data', data, *runs.FLAGS, '--iteration', str(ITERATIONS), '--eval-interval', '5']
    whole = folder / 'whole'
    runs.finish(runs.start('train.py', *flags, '--out', whole))
    half(folder / 'half', flags)
    photographs = sorted(data.rglob('*.jpg'))[:2]
    evaluation = ['--model', whole / 'model.npz', '--out', folder / 'evaluation']
    detection = ['--model', whole / 'model.npz', '--out', folder / 'detections', *photographs]
    runs.finish(runs.start('evaluate.py', *evaluation))
    runs.finish(runs.start('detect.py', *detection))
    found = []
    for limit in LIMITS[:limits]:
        out = folder / f'limit-{limit}'
        shutil.copytree(folder / 'half', out)
        (out / NOTES).write_text('notes of the user\n')
        result = attempt(limit, out, 'train.py', *flags, '--out', out, '--resume')
        runs.finish(runs.start('train.py', *flags, '--out', out, '--resume'))
        if not runs.equal(out / 'model.npz', whole / 'model.npz'):
            result['faults'].append('the resumed run ends with other weights')
        found += [result, attempt(limit, folder / 'evaluation', 'evaluate.py', *evaluation),
                  attempt(limit, folder / 'detections', 'detect.py', *detection)]
        shutil.rmtree(out)
    faulty = [each for each in found if each['faults']]
    return {'attempts': found, 'holds': not faulty,
            'summary': f'{len(found)} programs under {limits} limits, {len(faulty)} with faults'}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program."""
    runs.main('disk', __doc__, {
        'limits': (len(LIMITS), f'number of limits, the smallest first, of {LIMITS} bytes')},
        measure, argv)


if __name__ == '__main__':
    with ending_together('experiments.reliability.disk'):
        main()
