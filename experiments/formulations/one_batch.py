"""Compare the published losses on one batch: the boxes that count, the losses and the gradients.

    python -m experiments.formulations.one_batch                      the untrained network
    python -m experiments.formulations.one_batch --model model.npz    a network that train.py wrote

A box counts if its logits have a gradient. One kind of box is therefore missed: ssd_keras adds
boxes with a probability below 1e-15 to the loss, but gives them no gradient.
"""
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments.formulations.picture import draw_mined, draw_weights
from multibox.data import MakeTargets, TrainingSequence, drawn_set, load_data, seed_all
from multibox.devices import select_device
from multibox.engines import set_up
from multibox.errors import UserError, ending_together
from multibox.files import make_out, write_json
from multibox.flags import check_numbers, make_parser
from multibox.losses import LOSSES, priors_for
from multibox.losses.comparison import weight_by_gradient
from multibox.networks import make_detector
from multibox.report.metrics import versions
from multibox.weights import load_model

import chainer
import numpy as np
from chainer.dataset import concat_examples
from tabulate import tabulate


def measure(formulation: ModuleType, model: Any, dataset: Any, positions: range,
            seed: int) -> tuple[dict, np.ndarray, np.ndarray, np.ndarray]:
    """Measure one formulation on one batch.

    Args:
        formulation: a module of :mod:`multibox.losses`.
        model: a network.
        dataset: the images and objects.
        positions: examples of the batch in a :class:`multibox.data.TrainingSequence`.
        seed: seed of that sequence.

    Returns:
        ``(numbers, imgs, labels, used)``: the numbers of the table, the (B, 3, H, W) float32
        images after the augmentation, RGB from 0 to 255, the (B, K) int32 matched labels, and the
        (B, K) float weights of the boxes, 0 for a box without a gradient.

    Raises:
        UserError: the batch has no object.
    """
    make = MakeTargets(model.coder, model.insize, model.mean, formulation.match)
    sequence = TrainingSequence(dataset, make, seed, positions.stop)
    imgs, gt_mb_locs, gt_mb_labels = concat_examples([sequence[t] for t in positions])
    model.cleargrads()
    mb_locs, mb_confs = model(imgs)
    loc_loss, conf_loss = formulation.multibox_loss(
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, 3,
        **priors_for(formulation, model.coder.default_bbox))
    loss = formulation.weigh(loc_loss, conf_loss)
    loss.backward(retain_grad=True)

    if not (gt_mb_labels > 0).any():
        raise UserError('the batch has no object; choose another with --batch or --seed')
    weight = weight_by_gradient(mb_confs.grad, mb_confs.array, gt_mb_labels)
    positive, negative = ((weight != 0) & kind for kind in (gt_mb_labels > 0, gt_mb_labels == 0))
    squares = [np.square(parameter.grad, dtype=np.float64).sum() for parameter in model.params()]
    numbers = {
        'matched': int((gt_mb_labels > 0).sum()),
        'positives': int(positive.sum()),
        'negatives': int(negative.sum()),
        'negatives_by_image': negative.sum(axis=1).tolist(),
        'weight_of_a_positive': [float(f(weight[positive])) for f in (np.min, np.max)],
        'loc': float(formulation.weigh(loc_loss, 0).array),
        'conf': float(formulation.weigh(0, conf_loss).array), 'loss': float(loss.array),
        'gradient_norm': float(np.sqrt(sum(squares))),
    }
    return numbers, imgs + model.mean, gt_mb_labels, weight


def print_table(rows: dict[str, dict]) -> None:
    """Print the numbers of :func:`measure` by formulation."""
    header = ['', 'positives', 'negatives', 'by image', 'weight of a box', 'loc', 'conf', 'loss',
              '|gradient|']
    cells = []
    for name, row in rows.items():
        by_image, weight = row['negatives_by_image'], row['weight_of_a_positive']
        cells.append([name, str(row['positives']), str(row['negatives']),
                      f'{min(by_image)}-{max(by_image)}', f'{weight[0]:.5f}-{weight[1]:.5f}',
                      *(f'{row[key]:.3f}' for key in ('loc', 'conf', 'loss', 'gradient_norm'))])
    print(tabulate(cells, header, stralign='right', disable_numparse=True))


def main() -> None:
    """Run the program."""
    parser = make_parser(__doc__)
    parser.add_argument('--model', metavar='FILE',
                        help='model.npz of a run on the built-in set (default: an untrained '
                             'network)')
    parser.add_argument('--seed', type=int, default=0, metavar='N',
                        help='seed of the batch and of an untrained network')
    parser.add_argument('--batch', type=int, default=0, metavar='N',
                        help='number of the batch in the run, from 0')
    parser.add_argument('--batchsize', type=int, default=8, metavar='B',
                        help='images of the batch')
    parser.add_argument('--out', type=Path, metavar='DIR', default=Path('result/formulations'),
                        help='folder for the JSON file and the picture')
    args = parser.parse_args()
    check_numbers(args, ('seed', 'batch'), lowest=0)
    check_numbers(args, ('batchsize',), lowest=1)
    set_up(select_device('-1'))
    data = load_data(drawn_set())
    seed_all(args.seed)
    if args.model:
        model, _, label_names = load_model(args.model)
        if label_names != data.label_names:
            raise UserError(f'{args.model}: its classes differ from the built-in set; give the '
                            'model.npz of a run on that set')
    else:
        model = make_detector('slim300', len(data.label_names))
    positions = range(args.batch * args.batchsize, (args.batch + 1) * args.batchsize)
    rows, mined, weights = {}, {}, {}
    with chainer.using_config('train', True):
        for name, formulation in LOSSES.items():
            rows[name], imgs, labels, weight = measure(
                formulation, model, data.train, positions, args.seed)
            mined[name], weights[name] = (weight != 0) & (labels == 0), (weight, labels)
    print_table(rows)
    stem = f'one_batch-{"trained" if args.model else "untrained"}'
    make_out(args.out)
    write_json(args.out / f'{stem}.json', {
        'batchsize': args.batchsize, 'batch': args.batch, 'seed': args.seed,
        'losses': rows, 'versions': versions()})
    draw_mined(args.out / f'{stem}.png', imgs, mined, model.coder.default_bbox)
    draw_weights(args.out / f'{stem.replace("one_batch", "weights")}.png', weights)


if __name__ == '__main__':
    with ending_together('one_batch'):
        main()
