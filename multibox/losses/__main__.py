"""Tell how two published formulations of the loss differ on a batch.

    python -m multibox.losses compare torchvision super_gradients --batch FILE

FILE is an .npz with the arrays of multibox_loss: mb_locs (B, K, 4), mb_confs (B, K, C), gt_mb_locs
(B, K, 4) and gt_mb_labels (B, K). It may hold k, a number, and priors, the default boxes (K, 4) as
centre and size, without which tf_od drops no near duplicates.
"""
from pathlib import Path

from multibox.archives import read_arrays
from multibox.errors import UserError, ending_together
from multibox.losses import LOSSES
from multibox.losses.comparison import compare
from multibox.parser import Parser

import numpy as np

KEYS = 'mb_locs', 'mb_confs', 'gt_mb_locs', 'gt_mb_labels'
MORE = 'k', 'priors'
ALIASES = {'locs': 'mb_locs', 'confs': 'mb_confs'}  # the names in files of golden numbers


def read_batch(path: Path) -> dict:
    """Read the arguments of :func:`multibox.losses.comparison.weigh_boxes` from an .npz file.

    Raises:
        UserError: the file cannot be read, or lacks an array.
    """
    arrays = {ALIASES.get(name, name): array for name, array in read_arrays(path).items()}
    lacking = [key for key in KEYS if key not in arrays]
    if lacking:
        raise UserError(f'{path}: lacks {", ".join(lacking)}; it needs the arrays '
                        f'{", ".join(KEYS)} of multibox_loss')
    k = arrays.get('k', np.array(3))
    if k.size != 1 or k.dtype.kind not in 'iuf':
        raise UserError(f'{path}: k must be one number, got {k.dtype} of shape {k.shape}')
    return {key: arrays[key] for key in (*KEYS, *MORE) if key in arrays}


def main(argv: list[str] | None = None) -> None:
    """Run the program."""
    parser = Parser(description=__doc__, prog='python -m multibox.losses')
    verb = parser.add_subparsers(dest='verb', required=True, metavar='compare').add_parser(
        'compare', help='values, boxes and the first cause of a difference')
    verb.add_argument('one', choices=LOSSES, metavar='A', help=', '.join(LOSSES))
    verb.add_argument('other', choices=LOSSES, metavar='B', help='another of them')
    verb.add_argument('--batch', type=Path, required=True, metavar='FILE', help='.npz, see above')
    args = parser.parse_args(argv)
    try:
        print('\n'.join(compare(args.one, args.other, read_batch(args.batch))))
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f'{args.batch}: {error}') from None


if __name__ == '__main__':
    with ending_together('multibox.losses'):
        main()
