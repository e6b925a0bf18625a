"""The loss of the SSD notebooks in PyTorch: the matching of ssd.pytorch, mining by cross entropy.

Positives compete in the mining with a loss of 0. They displace only negatives with a loss of 0, so
everything after the matching equals ChainerCV's loss.
"""
from functools import partial

from multibox.boxes.matching import match_forced as match
from multibox.losses.chainercv import multibox_loss
from multibox.losses.inputs import at_least_0
from multibox.losses.matching_loss import MatchingLoss
from multibox.losses.terms import weigh

__all__ = ['MultiBoxLoss', 'match', 'multibox_loss', 'weigh']


class MultiBoxLoss(MatchingLoss):
    """``MultiBoxLoss`` of the SSD notebooks in PyTorch.

    Without positives the loss is 0, whereas the original gives nan.

    Args:
        jaccard_thresh: IoU from which a box is matched; the best box of an object always is.
        neg_pos: hard negatives per positive of the same image.
    """

    def __init__(self, jaccard_thresh: float = 0.5, neg_pos: float = 3):
        super().__init__(partial(match, threshold=jaccard_thresh),
                         partial(multibox_loss, k=at_least_0('neg_pos', neg_pos)))
