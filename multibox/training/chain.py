"""The link that joins a network and its loss, and reports the terms of the loss."""
from types import ModuleType

from multibox.losses import chainercv, priors_for
from multibox.processes import as_processes
from multibox.typing import Array, Communicator

import chainer
import numpy as np
from chainer.backends import cuda


class NonFiniteLoss(ArithmeticError):
    """A term of the loss is nan or infinite.

    Args:
        term: name of the term, ``'loc'``, ``'conf'`` or ``'total'``.
        value: its value.
        n_later: number of batches computed after the batch with this loss. On a CPU it is 0: the
            error comes before the update, so the weights are good. On a GPU they are updated.
    """

    def __init__(self, term: str, value: float, n_later: int):
        super().__init__(f'the {term} loss is {value}')
        self.term, self.value, self.n_later = term, value, n_later


class TrainChain(chainer.Chain):
    """A network under one of the published losses; Eq. 1 of Liu et al., ECCV 2016.

    Args:
        model: a network of :func:`multibox.networks.make_detector`.
        k: hard negatives per positive.
        alpha: weight of the localisation loss, as the formulation defines it.
        comm: a ChainerMN communicator, an object of :mod:`multibox.processes`, or None.
        formulation: a module of :mod:`multibox.losses`.

    Attributes:
        first_loss: the loss of the first batch, a float; None before :meth:`check` has read it.
    """

    def __init__(self, model: chainer.Link, k: float = 3, alpha: float = 1,
                 comm: Communicator = None, formulation: ModuleType = chainercv):
        super().__init__()
        self.k, self.alpha, self.formulation = k, alpha, formulation
        self.processes = as_processes(comm)
        self._unread: list[Array] = []
        self.first_loss: float | None = None
        with self.init_scope():
            self.model = model

    def forward(self, imgs: Array, gt_mb_locs: Array, gt_mb_labels: Array) -> chainer.Variable:
        """Loss of a batch; reports ``loss``, ``loss/loc`` and ``loss/conf`` of all processes.

        Args:
            imgs: (B, 3, insize, insize) float32 array, RGB minus the mean of the network.
            gt_mb_locs: (B, K, 4) float32 array.
            gt_mb_labels: (B, K) int32 array.

        Returns:
            Scalar Variable; its mean over processes is the loss of the whole batch.

        Raises:
            NonFiniteLoss: on a CPU, as :meth:`check` does.
        """
        terms = self.terms(imgs, gt_mb_locs, gt_mb_labels, self.processes.comm)
        values = self.xp.stack([x.array for x in terms])
        values = self.processes.mean(values)
        self.report(values)
        if self.xp is np:
            self.check()
        return terms[-1]

    def report(self, values: Array) -> None:
        """Report the terms of the loss of a batch, and keep them for :meth:`check`.

        Args:
            values: (3,) array of the localisation loss, the confidence loss and the loss that
                trains the network. It must not change later.
        """
        loc, conf, total = values
        chainer.report({'loss': total, 'loss/loc': loc, 'loss/conf': conf}, self)
        self._unread.append(values)

    def terms(self, imgs: Array, gt_mb_locs: Array, gt_mb_labels: Array,
              comm: Communicator = None) -> tuple[chainer.Variable, ...]:
        """The terms of the loss of a batch, without a report.

        Args:
            imgs, gt_mb_locs, gt_mb_labels: as for :meth:`forward`.
            comm: the communicator of the processes that share the batch; None for a whole batch.

        Returns:
            ``(loc, conf, total)``, scalar Variables.
        """
        mb_locs, mb_confs = self.model(imgs)
        loss, weigh = self.formulation, self.formulation.weigh
        coder = getattr(self.model, 'coder', None)
        loc, conf = loss.multibox_loss(
            mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, self.k, comm,
            **priors_for(loss, coder and coder.default_bbox))
        # Some formulations give a loss per image, which only weigh knows how to join.
        return weigh(loc, 0), weigh(0, conf), weigh(loc, conf, self.alpha)

    def check(self) -> None:
        """Read the losses since the last call, for which the host waits for the GPU.

        Raises:
            NonFiniteLoss: a term of a whole batch is nan or infinite; raised on every process.
        """
        unread, self._unread = self._unread, []
        for n_later, values in zip(reversed(range(len(unread))), map(cuda.to_cpu, unread)):
            if self.first_loss is None:
                self.first_loss = float(values[2])
            for term, value in zip(('loc', 'conf', 'total'), values):
                if not np.isfinite(value):
                    raise NonFiniteLoss(term, float(value), n_later)
