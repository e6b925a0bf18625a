"""The notebooks' loss: ssd.pytorch's matching, ranked by the cross entropy itself.

With its stable ranking, positives that compete with a loss of 0 change no value any more, so all
behind the matching is ChainerCV's.
"""
from functools import partial

from multibox.losses.chainercv import multibox_loss
from multibox.losses.targets import match_targets
from multibox.losses.terms import weigh
from multibox.matching import match_forced as match

__all__ = ['MultiBoxLoss', 'match', 'multibox_loss', 'weigh']


class MultiBoxLoss:
    """``MultiBoxLoss`` of the SSD notebooks in PyTorch.

    Args:
        jaccard_thresh: IoU from which a box is matched; each object's best box always is.
        neg_pos: hard negatives per positive of the same image.
    """

    def __init__(self, jaccard_thresh=0.5, neg_pos=3):
        self.match, self.neg_pos = partial(match, threshold=jaccard_thresh), neg_pos

    def __call__(self, predictions, targets):
        """Match, mine, normalise.

        Args:
            predictions: ``(locs, confs, priors)``: (B, K, 4) float offsets (dx, dy, dw, dh),
                (B, K, C) float logits and (K, 4) float boxes (cx, cy, w, h).
            targets: list of B (R, 5) arrays, xmin ymin xmax ymax in the unit of ``priors``, and
                the class from 0. An object without an area is left out.

        Returns:
            ``(loss_l, loss_c)``: two scalar Variables, each divided by the positives of the batch.
            0 if there is none, where the original is nan.

        Raises:
            ValueError: wrong shapes.
        """
        locs, confs, priors = predictions
        return multibox_loss(locs, confs, *match_targets(targets, priors, self.match), self.neg_pos)
