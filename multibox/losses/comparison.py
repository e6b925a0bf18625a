"""Where two formulations part on one batch: the boxes that count, their weights, the values."""
from typing import Any, NamedTuple

from multibox.losses import LOSSES, priors_for
from multibox.losses.inputs import as_prediction
from multibox.typing import Array, ArrayOrVariable

import chainer
import chainer.functions as F
import numpy as np

SAME = 1e-4  # relative difference up to which two numbers count as equal
FAINT = 1e-15  # slope below which a gradient in single precision may underflow


class Weights(NamedTuple):
    """One formulation on one batch.

    Attributes:
        loc, conf, total: the terms, each summed over the batch, and the loss that trains.
        conf_weight: (B, K) float array: how much the cross entropy of a box weighs in the loss; 0
            for a box that does not count.
        loc_weight: (B, K) float array: how much the localisation loss of a box weighs.
    """
    loc: float
    conf: float
    total: float
    conf_weight: np.ndarray
    loc_weight: np.ndarray


def weigh_boxes(name: str, mb_locs: Array, mb_confs: Array, gt_mb_locs: Array,
                gt_mb_labels: Array, k: float = 3, **switches: Any) -> Weights:
    """Measure the weight of each box by its gradient.

    The gradient of a cross entropy is known, so its size in the gradient of the loss tells the
    weight. A box whose cross entropy or distance has no gradient gets the weight 0. The loss is
    computed in the wider dtype of the predictions, because some defects are of one dtype.

    Args:
        name: a key of :data:`multibox.losses.LOSSES`.
        mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k: NumPy arrays and a number, as for
            :func:`multibox.multibox_loss`. float16 is cast to float32.
        switches: further arguments of the formulation.

    Returns:
        :class:`Weights`.

    Raises:
        TypeError, ValueError: as :func:`multibox.multibox_loss`.
    """
    arrays = [as_prediction(argument, x).array
              for argument, x in (('mb_locs', mb_locs), ('mb_confs', mb_confs))]
    dtype = np.result_type(*arrays, np.float32)
    predictions = [chainer.Variable(array.astype(dtype)) for array in arrays]
    loss = LOSSES[name]
    terms = loss.multibox_loss(*predictions, gt_mb_locs, gt_mb_labels, k, **switches)
    total = loss.weigh(*terms)
    total.backward()
    grad_loc, grad_conf = (x.grad for x in predictions)
    difference = np.where(gt_mb_labels[..., None] > 0, mb_locs - gt_mb_locs, 0)
    loc, conf, value = (float(F.sum(x).array) for x in (*terms, total))
    return Weights(loc, conf, value, weight_by_gradient(grad_conf, predictions[1], gt_mb_labels),
                   best_weight(grad_loc, [difference.clip(-1, 1), np.sign(difference)]))


def weight_by_gradient(gradient: Array, mb_confs: ArrayOrVariable, labels: Array) -> Array:
    """The weight of the cross entropy of each box, by softmax or by sigmoids.

    Args:
        gradient: (B, K, C) float array, the gradient of the loss.
        mb_confs: (B, K, C) logits at which the gradient was taken.
        labels: (B, K) int array.

    Returns:
        (B, K) float array.
    """
    one_hot = labels[..., None] == np.arange(mb_confs.shape[2])
    logits = chainer.as_array(mb_confs).astype(np.float64)
    # The class of the label is left out, because p - 1 loses the digits of a small 1 - p.
    return best_weight(gradient, [np.where(labels[..., None] < 0, 0, probability - one_hot)
                                  for probability in (F.softmax(logits, axis=2).array,
                                                      F.sigmoid(logits).array)], ~one_hot)


def best_weight(gradient: Array, slopes: list[Array], exact: Array | bool = True) -> Array:
    """The factors by which one of the slopes gives the gradient, of the slope that fits best.

    A box that counts, but whose slope is too faint to tell its factor, gets the median factor of
    its image.

    Args:
        gradient: (B, K, n) float array.
        slopes: (B, K, n) float arrays.
        exact: (B, K, n) bool array of the numbers that tell the factor.

    Returns:
        (B, K) float array.
    """
    fits = []
    counted = gradient.any(axis=2)
    for slope in slopes:
        telling = np.where(exact, slope, 0)
        square = np.square(telling, dtype=np.float64).sum(axis=2)
        weight = (gradient * telling).sum(axis=2) / np.where(square > 0, square, 1)
        tells = counted & np.asarray(square > FAINT ** 2)
        for i in range(len(weight)):
            weight[i, ~tells[i]] = np.median(weight[i, tells[i]]) if tells[i].any() else 1
        weight[~counted] = 0
        fits.append((float(np.abs(gradient - weight[..., None] * slope).sum()), weight))
    return min(fits, key=lambda fit: fit[0])[1]


def compare(one: str, other: str, batch: dict[str, Any]) -> list[str]:
    """Tell how two formulations differ on a batch.

    Args:
        one, other: keys of :data:`multibox.losses.LOSSES`.
        batch: the arguments of :func:`weigh_boxes` by name; and perhaps ``priors``, the (K, 4)
            default boxes (centre and size), for the formulations that take them.

    Returns:
        Lines of text: the values, the boxes that only one of them counts, and the first step in
        which they differ: mining, repeated boxes, divisor, or the loss of a box.
    """
    common = {key: value for key, value in batch.items() if key != 'priors'}
    a, b = (weigh_boxes(name, **{**common, **priors_for(LOSSES[name], batch.get('priors'))})
            for name in (one, other))
    lines = [f'{"":>8}  {one:>15}  {other:>15}']
    lines += [f'{key:>8}  {getattr(a, key):15.6f}  {getattr(b, key):15.6f}'
              for key in ('loc', 'conf', 'total')]
    labels = batch['gt_mb_labels']
    for kind, mask in (('positives', labels > 0), ('negatives', labels == 0)):
        counted = [(w.conf_weight != 0) & mask for w in (a, b)]
        lines.append(f'{kind}: {counted[0].sum()} and {counted[1].sum()}; by {one} alone '
                     f'{(counted[0] & ~counted[1]).sum()}, by {other} alone '
                     f'{(counted[1] & ~counted[0]).sum()}')
    return [*lines, f'first cause: {_first_cause(one, other, a, b, labels)}']


def _first_cause(one, other, a, b, labels):
    for name, weights in ((one, a), (other, b)):
        if not np.isfinite(weights.total):
            return f'the loss of {name} is not finite'
    counted = a.conf_weight != 0
    differs = counted != (b.conf_weight != 0)
    if differs.any():
        image, box = np.argwhere(differs)[0]
        kind = 'negative' if labels[image, box] == 0 else 'positive'
        return (f'mining; {one if counted[image, box] else other} alone counts the {kind} box '
                f'{box} of image {image}')
    ratio = np.where(counted, a.conf_weight, 1) / np.where(counted, b.conf_weight, 1)
    by_image = [row[count] for row, count in zip(ratio, counted) if count.any()]
    if any(_differ(row.min(), row.max()) for row in by_image):
        return (f'repetition; a box weighs {min(map(np.min, by_image)):.4g} to '
                f'{max(map(np.max, by_image)):.4g} times as much in {one} as in {other}')
    ratios = [row[0] for row in by_image]
    if ratios and _differ(min(ratios), max(ratios)):
        return (f'divisor, image by image; a box weighs {min(ratios):.4g} to {max(ratios):.4g} '
                f'times as much in {one} as in {other}')
    if ratios and _differ(ratios[0], 1):
        return f'divisor; a box weighs {ratios[0]:.4g} times as much in {one} as in {other}'
    if _differ(a.conf, b.conf):
        return 'the confidence loss of a box'
    if _differ(a.loc, b.loc) or _differ(a.total, b.total):
        return 'the localisation loss of a box, or its divisor'
    return 'none; the formulations agree on this batch'


def _differ(x, y):
    return abs(x - y) > SAME * max(abs(x), abs(y))
