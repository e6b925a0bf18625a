"""Batch normalisation over the whole batch when several processes share it.

ChainerMN's link computes the variance as E[x^2] - E[x]^2, which loses most digits of float32. It
also corrects the running variance for the share of one process instead of the batch.
"""
import warnings

from multibox.processes import OneProcess

import chainer
from chainer.functions.normalization.batch_normalization import (
    BatchNormalization,
    GeneralBatchNormalizationImpl,
)


def share_batch_statistics(model: chainer.Chain, processes: OneProcess) -> None:
    """Replace every batch normalisation of a network by one over the batches of all processes.

    Args:
        model: a chain on the host, changed in place; its normalisations have gamma and beta, and
            average over all axes but the channels.
        processes: the processes of the run; a single process changes nothing.
    """
    if processes.comm is None:
        return
    for chain in [link for link in model.links() if isinstance(link, chainer.Chain)]:
        for child in list(chain.children()):
            if isinstance(child, chainer.links.BatchNormalization):
                shared = SharedBatchNormalization(
                    processes, child.avg_mean.shape, child.decay, child.eps, child.avg_mean.dtype)
                shared.copyparams(child)
                delattr(chain, child.name)
                with chain.init_scope():
                    setattr(chain, child.name, shared)


class SharedBatchNormalization(chainer.links.BatchNormalization):
    """Chainer's link with mean and variance over all processes, which share the batch evenly.

    Args:
        processes: the processes of the run.
        size, decay, eps, dtype: as for ``chainer.links.BatchNormalization``.
    """

    def __init__(self, processes, size, decay, eps, dtype):
        super().__init__(size, decay, eps, dtype)
        self.processes = processes

    def forward(self, x):
        """(B, C, H, W) Variable to the same; all processes have to call this in training."""
        if not chainer.config.train:
            return super().forward(x)
        normalize = BatchNormalization(
            self.eps, self.avg_mean, self.avg_var, self.decay,
            impl_selector=lambda *_: _SharedStatistics(self.processes))
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of one value per channel: other processes have more
            return normalize.apply((x, self.gamma, self.beta))[0]


class _SharedStatistics(GeneralBatchNormalizationImpl):

    def __init__(self, processes):
        self.processes = processes

    def forward(self, axis, gamma, x, x_layout, xp, expander, beta, eps, decay, running_mean,
                running_var):
        y, layout, _, _, mean, var, inv_std, data = super().forward(
            axis, gamma, x, x_layout, xp, expander, beta, eps, decay, None, None)
        n = x.size // gamma.size * self.processes.size
        running_mean += (1 - decay) * (mean - running_mean)
        running_var += (1 - decay) * (var * n / max(n - 1, 1) - running_var)
        return y, layout, running_mean, running_var, mean, var, inv_std, data

    def get_mean_and_var(self, axis, gamma, x, xp, interm_dtype):
        own_mean, own_var = super().get_mean_and_var(axis, gamma, x, xp, interm_dtype)
        mean = self.processes.mean(own_mean)
        var = self.processes.mean(own_var + xp.square(own_mean - mean))
        return mean, var

    def get_ggamma_and_gbeta(self, axis, gamma, gy, x_hat, xp):
        # The mean, not the sum: the optimizer averages all gradients over processes.
        gbeta, ggamma = super().get_ggamma_and_gbeta(axis, gamma, gy, x_hat, xp)
        return self.processes.mean(gbeta), self.processes.mean(ggamma)
