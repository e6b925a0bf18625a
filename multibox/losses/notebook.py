"""The notebooks' loss: ssd.pytorch's matching, ranked by the cross entropy itself.

With its stable ranking, positives that compete with a loss of 0 change no value any more, so all
behind the matching is ChainerCV's.
"""
from functools import partial

from multibox.losses.chainercv import multibox_loss
from multibox.losses.targets import MatchingLoss
from multibox.losses.terms import weigh
from multibox.matching import match_forced as match

__all__ = ['MultiBoxLoss', 'match', 'multibox_loss', 'weigh']


class MultiBoxLoss(MatchingLoss):
    """``MultiBoxLoss`` of the SSD notebooks in PyTorch; 0 without positives, where that is nan.

    Args:
        jaccard_thresh: IoU from which a box is matched; each object's best box always is.
        neg_pos: hard negatives per positive of the same image.
    """

    def __init__(self, jaccard_thresh=0.5, neg_pos=3):
        super().__init__(partial(match, threshold=jaccard_thresh),
                         partial(multibox_loss, k=neg_pos))
