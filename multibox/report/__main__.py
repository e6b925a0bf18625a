"""Compare runs of train.py and evaluate.py side by side on one page.

    python -m multibox.report compare result result-2
    python -m multibox.report compare result result-2 --out comparison.html
"""
import pathlib

from multibox.errors import ending_together
from multibox.flags import make_parser
from multibox.report.compare import compare_runs

PROGRAM = 'python -m multibox.report'


def parse_args(argv=None):
    parser = make_parser(__doc__, prog=PROGRAM)
    commands = parser.add_subparsers(dest='command', required=True, metavar='compare')
    compare = commands.add_parser(
        'compare', help='put two or more runs side by side on one page',
        description='Prints the scores of the runs and writes a page: scores, settings that '
                    'differ, AP per class, curves. A run that has not ended is compared as far as '
                    'it is.')
    compare.add_argument('runs', type=pathlib.Path, nargs='+', metavar='RUN',
                         help='the folder of a run (--out of train.py or of evaluate.py)')
    compare.add_argument('--out', type=pathlib.Path, default='comparison.html', metavar='FILE',
                         help='the page to write; it replaces an earlier comparison, and no other '
                              'file')
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    print(compare_runs(args.runs, args.out))
    print(f'written to {args.out}')


if __name__ == '__main__':
    with ending_together(PROGRAM):
        main()
