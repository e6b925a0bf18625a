"""Inputs that the tests of the formulations share."""
import chainer
import chainer.functions as F
import numpy as np
from chainer.backends import cuda

# BOX and OBJECT are the same box. FAR_BOX does not overlap them.
BOX, FAR_BOX = [.5, .5, .2, .2], [.1, .1, .05, .05]
OBJECT = [.4, .4, .6, .6, 0]


def random_case(B=3, K=30, C=5, p_positive=.15, seed=0):
    rng = np.random.RandomState(seed)
    labels = np.where(rng.uniform(size=(B, K)) < p_positive, rng.randint(1, C, (B, K)), 0)
    return (rng.normal(size=(B, K, 4)).astype('f'), rng.normal(size=(B, K, C), scale=2).astype('f'),
            rng.normal(size=(B, K, 4)).astype('f'), labels.astype('i'))


def terms_and_gradients(loss, xp, mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, k=3, **kwargs):
    mb_locs, mb_confs = (chainer.Variable(xp.asarray(x)) for x in (mb_locs, mb_confs))
    terms = loss.multibox_loss(
        mb_locs, mb_confs, xp.asarray(gt_mb_locs), xp.asarray(gt_mb_labels), k, **kwargs)
    sum(map(F.sum, terms)).backward()  # some formulations give a loss per image
    return [cuda.to_cpu(x) for x in (*(term.array for term in terms), mb_locs.grad, mb_confs.grad)]


def case_of_a_far_maximum():
    """One image in which box 5 has a logit of 200, and all other boxes have logits near 0.

    With one maximum per batch, the other boxes underflow. Box 2, the worst one, is among them.
    """
    mb_locs, gt_mb_locs = np.zeros((2, 1, 6, 4), 'f')
    mb_confs = np.zeros((1, 6, 2), 'f')
    mb_confs[0, 5] = 200, 199  # background, cross entropy 0.31
    mb_confs[0, 2] = 0, 9      # background, cross entropy 9
    return mb_locs, mb_confs, gt_mb_locs, np.array([[1, 0, 0, 0, 0, 0]], 'i')
