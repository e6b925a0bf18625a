"""One batch under every published loss: what each uses of it, and what comes out.

    python -m experiments.formulations.one_batch                      the untrained network
    python -m experiments.formulations.one_batch --model model.npz    a network that train.py wrote

Which boxes a loss uses is read off its gradient, so the masks are not taken at their word. A box
that counts without a gradient (ssd_keras, below a probability of 1e-15) is not seen.
"""
import argparse
import pathlib
import sys

from experiments.formulations.picture import draw_mined
from multibox import convolution
from multibox.data import MakeTargets, TrainingSequence, drawn_set, load_voc, seed_all
from multibox.detectors import make_detector
from multibox.errors import UserError
from multibox.files import write_json
from multibox.losses import LOSSES
from multibox.training import ending_together, versions
from multibox.weights import load_model

import chainer
import chainer.functions as F
import numpy as np
from chainer.dataset import concat_examples


def measure(formulation, model, dataset, positions, seed):
    """One formulation on one batch.

    Args:
        formulation: a module of :mod:`multibox.losses`.
        model: a network.
        dataset: the images and objects.
        positions: range of examples in the run of :class:`TrainingSequence`.
        seed: of that run.

    Returns:
        ``(numbers, imgs, labels, used)``: dict for the table; (B, 3, H, W) images as the network
        sees them, (B, K) matched labels, and (B, K) bool, the boxes with a gradient.
    """
    make = MakeTargets(model.coder, model.insize, model.mean, formulation.match)
    sequence = TrainingSequence(dataset, make, seed, positions.stop)
    imgs, gt_mb_locs, gt_mb_labels = concat_examples([sequence[t] for t in positions])
    model.cleargrads()
    mb_locs, mb_confs = model(imgs)
    loc_loss, conf_loss = formulation.multibox_loss(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, 3)
    loss = formulation.weigh(loc_loss, conf_loss)
    loss.backward(retain_grad=True)

    used = (mb_confs.grad != 0).any(axis=2)
    if not (gt_mb_labels > 0).any():
        sys.exit('no object in this batch; name another with --batch or --seed')
    positive, negative = used & (gt_mb_labels > 0), used & (gt_mb_labels == 0)
    error = F.softmax(mb_confs, axis=2).array - np.eye(mb_confs.shape[2])[gt_mb_labels]
    weight = abs(mb_confs.grad).sum(axis=2)[positive] / abs(error).sum(axis=2)[positive]
    squares = [np.square(parameter.grad, dtype=np.float64).sum() for parameter in model.params()]
    numbers = {
        'matched': int((gt_mb_labels > 0).sum()),
        'positives': int(positive.sum()),
        'negatives': int(negative.sum()),
        'negatives_by_image': negative.sum(axis=1).tolist(),
        'weight_of_a_positive': [float(weight.min()), float(weight.max())],
        'loc': float(loc_loss.array), 'conf': float(conf_loss.array), 'loss': float(loss.array),
        'gradient_norm': float(np.sqrt(sum(squares))),
    }
    return numbers, imgs + model.mean, gt_mb_labels, used


def print_table(rows):
    print(f'{"":>16}  positives  negatives  (by image)  weight of a box     loc    conf    loss'
          '  |gradient|')
    for name, row in rows.items():
        by_image, weight = row['negatives_by_image'], row['weight_of_a_positive']
        print(f'{name:>16}  {row["positives"]:9}  {row["negatives"]:9}'
              f'  {min(by_image):4}-{max(by_image):<5}  {weight[0]:.5f}-{weight[1]:.5f}'
              f'  {row["loc"]:6.3f}  {row["conf"]:6.3f}  {row["loss"]:6.3f}'
              f'  {row["gradient_norm"]:10.3f}')


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', metavar='FILE', help='model.npz of a run on the built-in set')
    parser.add_argument('--seed', type=int, default=0, help='of batch and new network (0)')
    parser.add_argument('--batch', type=int, default=0, help='which batch of the run (0)')
    parser.add_argument('--batchsize', type=int, default=8, help='(8)')
    parser.add_argument('--out', type=pathlib.Path, metavar='DIR',
                        default=pathlib.Path('result/formulations'),
                        help='where the .json and the .png are written (result/formulations)')
    args = parser.parse_args()
    convolution.install()
    data = load_voc(drawn_set())
    seed_all(args.seed)
    if args.model:
        model, _, label_names = load_model(args.model)
        if label_names != data.label_names:
            raise UserError(f'{args.model}: its classes are not those of the built-in set')
    else:
        model = make_detector('slim300', len(data.label_names))
    positions = range(args.batch * args.batchsize, (args.batch + 1) * args.batchsize)
    rows, mined = {}, {}
    with chainer.using_config('train', True):
        for name, formulation in LOSSES.items():
            rows[name], imgs, labels, used = measure(
                formulation, model, data.train, positions, args.seed)
            mined[name] = used & (labels == 0)
    print_table(rows)
    stem = f'one_batch-{"trained" if args.model else "untrained"}'
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / f'{stem}.json', {
        'batchsize': args.batchsize, 'batch': args.batch, 'seed': args.seed,
        'losses': rows, 'versions': versions()})
    draw_mined(args.out / f'{stem}.png', imgs, mined, model.coder.default_bbox)


if __name__ == '__main__':
    with ending_together('one_batch'):
        main()
