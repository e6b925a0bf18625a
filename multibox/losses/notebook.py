"""The loss of the SSD notebooks: the matching of ssd.pytorch, ranked by the cross entropy itself.

Its ranking is exact, so positives that compete with a loss of 0 change no value. Everything after
the matching therefore equals ChainerCV's loss.
"""
from functools import partial

from multibox.boxes.matching import match_forced as match
from multibox.losses.chainercv import multibox_loss
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
                         partial(multibox_loss, k=neg_pos))
