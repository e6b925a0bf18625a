"""Measure how long a data set is checked: the first time, and again when nothing has changed.

    python -m experiments.speed.check --data bccd

The images and annotations of a folder are copied under new names until there are enough. Each
turn checks the copies twice, in a new process each, with an empty cache and then with its results.
"""
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.timing.turns import elapsed, make_parser, ratio, save
from multibox.data import drawn_set
from multibox.errors import ending_together
from multibox.flags import check_numbers


def copy(source: Path, folder: Path, n_images: int) -> None:
    """Fill a folder in the layout of VOC with copies of another one.

    Args:
        source: holds Annotations/ and JPEGImages/.
        folder: the folder to make.
        n_images: number of images in it.
    """
    images = sorted((source / 'JPEGImages').iterdir())
    for part in 'Annotations', 'JPEGImages':
        (folder / part).mkdir(parents=True)
    for n, image in zip(range(n_images), itertools.cycle(images)):
        shutil.copy(image, folder / 'JPEGImages' / f'{n:06d}{image.suffix}')
        shutil.copy(source / 'Annotations' / f'{image.stem}.xml',
                    folder / 'Annotations' / f'{n:06d}.xml')


def measure(data: Path, cache: Path, repeat: int) -> dict:
    """Seconds of both checks per turn, and how many times faster the second one is."""
    def check():
        subprocess.run([sys.executable, '-m', 'multibox.data', 'check', data], check=True,
                       stdout=subprocess.DEVNULL, env={**os.environ, 'XDG_CACHE_HOME': str(cache)})

    seconds: dict[str, list] = {'first': [], 'again': []}
    for _ in range(repeat):
        shutil.rmtree(cache, ignore_errors=True)
        for each in seconds.values():
            each.append(elapsed(check))
        print(f'first {seconds["first"][-1]:.2f} s, again {seconds["again"][-1]:.2f} s', flush=True)
    return {'seconds': seconds, 'ratio': ratio(seconds['first'], seconds['again'])}


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    parser = make_parser(__doc__, 'result/speed/check.json', 3)
    parser.add_argument('--data', type=Path, metavar='DIR',
                        help='folder in VOC layout (default: the built-in set)')
    parser.add_argument('--images', type=int, default=5000, metavar='N', help='images to check')
    args = parser.parse_args(argv)
    check_numbers(args, ('repeat', 'images'), lowest=1)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, 'data')
        copy(args.data or drawn_set(), data, args.images)
        results = {'images': args.images,
                   **measure(data, Path(folder, 'cache'), args.repeat)}
    print('ratio: {median:.2f} ({min:.2f} to {max:.2f})'.format(**results['ratio']))
    data_flag = f' --data {args.data.name}' if args.data else ''
    save(args.out, f'python -m experiments.speed.check{data_flag} --images {args.images} '
         f'--repeat {args.repeat}', results)


if __name__ == '__main__':
    with ending_together('experiments.speed.check'):
        main()
