"""The link that joins a network and its loss, and reports what the loss is made of."""
from multibox.communication import mean_over_processes
from multibox.losses import chainercv

import chainer
import numpy as np
from chainer.backends import cuda


class NonFiniteLoss(ArithmeticError):
    """A term of the loss is nan or infinite.

    Args:
        term: name of the term, ``'loc'``, ``'conf'`` or ``'total'``.
        value: its value.
        n_later: batches that came after the one it is of. On a CPU there is none, and the error
            precedes the update, so the weights are good; on a GPU they are not.
    """

    def __init__(self, term, value, n_later):
        super().__init__(f'the {term} loss is {value}')
        self.term, self.value, self.n_later = term, value, n_later


class TrainChain(chainer.Chain):
    """A network under one of the published losses; Eq. 1 of Liu et al., ECCV 2016.

    Args:
        model: a network of :func:`multibox.detectors.make_detector`.
        k: hard negatives per positive.
        alpha: weight of the localisation loss; what it means is for the formulation to say.
        comm: a ChainerMN communicator, or None.
        formulation: a module of :mod:`multibox.losses`.
    """

    def __init__(self, model, k=3, alpha=1, comm=None, formulation=chainercv):
        super().__init__()
        self.k, self.alpha, self.comm, self.formulation = k, alpha, comm, formulation
        self._unread = []
        with self.init_scope():
            self.model = model

    def forward(self, imgs, gt_mb_locs, gt_mb_labels):
        """Loss of a batch; reports ``loss``, ``loss/loc`` and ``loss/conf`` of all processes.

        Args:
            imgs: (B, 3, insize, insize) float32 array, RGB minus the network's mean.
            gt_mb_locs: (B, K, 4) float32 array.
            gt_mb_labels: (B, K) int32 array.

        Returns:
            Scalar Variable; over processes, its mean is the loss of the whole batch.

        Raises:
            NonFiniteLoss: on a CPU, as :meth:`check` does.
        """
        mb_locs, mb_confs = self.model(imgs)
        loc_loss, conf_loss = self.formulation.multibox_loss(
            mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, self.k, self.comm)
        loss = self.formulation.weigh(loc_loss, conf_loss, self.alpha)
        values = self.xp.stack([x.array for x in (loc_loss, conf_loss, loss)])
        values = mean_over_processes(values, self.comm)
        loc, conf, total = values
        chainer.report({'loss': total, 'loss/loc': loc, 'loss/conf': conf}, self)
        self._unread.append(values)
        if self.xp is np:
            self.check()
        return loss

    def check(self):
        """Look at the losses since the last call, for which the host waits for the GPU.

        Raises:
            NonFiniteLoss: a term of a whole batch is nan or infinite; on every process.
        """
        unread, self._unread = self._unread, []
        for n_later, values in zip(reversed(range(len(unread))), map(cuda.to_cpu, unread)):
            for term, value in zip(('loc', 'conf', 'total'), values):
                if not np.isfinite(value):
                    raise NonFiniteLoss(term, float(value), n_later)
