"""Attack the readers of files for some minutes, and write what was found as JSON.

    python -m tests.fuzz --minutes 30                          all readers
    python -m tests.fuzz --minutes 5 --target npz model        two of them
    python -m tests.fuzz --target npz --replay FILE            one saved input again

The exit status is 1 if there is a finding: an error that the reader does not document, a crash, 10
seconds without an end, 2 GB of memory, a program started, or a file written elsewhere.
"""
import concurrent.futures
import datetime
import random
import sys
import tempfile
import time
from pathlib import Path

from multibox.devices import available_cores, processor
from multibox.errors import ending_together
from multibox.files import make_out, read_whole, write_json
from multibox.flags import check_numbers, make_parser
from multibox.report.metrics import versions
from tests.fuzz.mutations import MAX_BYTES
from tests.fuzz.runner import SECONDS, Tally, Worker, campaign
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import MAX_MEMORY


def parse_args(argv):
    """Parse the arguments."""
    parser = make_parser(__doc__, prog='python -m tests.fuzz')
    parser.add_argument('--minutes', type=float, default=30, metavar='X', help='duration')
    parser.add_argument('--target', nargs='+', choices=TARGETS, default=[*TARGETS], metavar='NAME',
                        help=f'readers, of {", ".join(TARGETS)} (default: all)')
    parser.add_argument('--seed', type=int, metavar='N',
                        help='seed of the campaign (default: a random one, which is printed)')
    parser.add_argument('--parallel', type=int, default=available_cores(), metavar='N',
                        help='workers at the same time (default: one per core)')
    parser.add_argument('--json', type=Path, default=Path('result/fuzz.json'), metavar='FILE',
                        help='counts and findings')
    parser.add_argument('--saved', type=Path, default=Path('result/fuzz'), metavar='DIR',
                        help='folder of the inputs of findings')
    parser.add_argument('--replay', type=Path, metavar='FILE',
                        help='give this input to the targets, and print the end')
    args = parser.parse_args(argv)
    check_numbers(args, ('minutes',), lowest=0)
    check_numbers(args, ('parallel',), lowest=1)
    return args


def replay(path, names):
    """Give one file to some targets; the status is 1 at a finding."""
    content = read_whole(path, 64 * MAX_BYTES)
    found = False
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(Path(folder))
        for name in names:
            answer = worker.read(name, content)
            found |= answer['end'] == 'finding'
            print(f'{name}: {answer["end"]}', *(answer[key] for key in ('error', 'place', 'message')
                                                if answer.get(key)))
        worker.close()
    sys.exit(found)


def attack(args, seed):
    """Run the workers side by side; returns a :class:`Tally` per worker and target."""
    end = time.monotonic() + 60 * args.minutes
    lanes = [{name: Tally(name, args.saved) for name in args.target} for _ in range(args.parallel)]
    rng = random.Random(seed)
    with concurrent.futures.ThreadPoolExecutor(args.parallel) as pool:
        runs = []
        for tallies in lanes:
            names = rng.sample(args.target, len(args.target))  # a short campaign meets all
            runs.append(pool.submit(campaign, {name: TARGETS[name] for name in names}, tallies,
                                    rng.getrandbits(32), end))
        for run in runs:
            run.result()
    return lanes


def join(lanes, names):
    """Counts per target, and the findings of all workers, those of one place together."""
    counts, findings = {}, {}
    for name in names:
        each = [tallies[name] for tallies in lanes]
        counts[name] = {key: (max if key == 'peak_bytes' else sum)(
            tally.counts[key] for tally in each) for key in each[0].counts}
        for tally in each:
            for key, finding in tally.findings.items():
                known = findings.setdefault((name, *key), {**finding, 'count': 0})
                known['count'] += finding['count']
    return counts, list(findings.values())


def main(argv=None):
    """Run the program."""
    args = parse_args(argv)
    if args.replay:
        replay(args.replay, args.target)
    seed = random.SystemRandom().getrandbits(32) if args.seed is None else args.seed
    print(f'{len(args.target)} readers, {args.minutes:g} minutes, seed {seed}', flush=True)
    begin = time.monotonic()
    counts, findings = join(attack(args, seed), args.target)
    total = {key: (max if key == 'peak_bytes' else sum)(each[key] for each in counts.values())
             for key in next(iter(counts.values()))}
    make_out(args.json.parent)
    write_json(args.json, {
        'command': f'python -m tests.fuzz --minutes {args.minutes:g}', 'seed': seed,
        'date': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        'seconds': round(time.monotonic() - begin, 1), 'processor': processor(),
        'versions': versions(), 'limits': {'seconds': SECONDS, 'bytes': MAX_MEMORY},
        'total': total, 'targets': counts, 'findings': findings})
    for finding in findings:
        print('{target}: {error} at {place} ({message}), {count} times: {input}'.format(**finding))
    print(f'{total["inputs"]:,} inputs: {total["accepted"]:,} accepted, {total["refused"]:,} '
          f'refused, {total["findings"]:,} against the rules; written to {args.json}')
    sys.exit(bool(findings))


if __name__ == '__main__':
    with ending_together('tests.fuzz'):
        main()
