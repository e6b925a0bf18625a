"""Batch normalisation over the whole batch when several processes share it.

ChainerMN's own takes the variance as E[x^2] - E[x]^2, which loses most digits of float32, and
corrects the running variance for a process's share instead of the batch.
"""
import warnings

from multibox.communication import mean_over_processes

import chainer
from chainer.functions.normalization.batch_normalization import (
    BatchNormalization,
    GeneralBatchNormalizationImpl,
)


def share_batch_statistics(model, comm):
    """Replace every batch normalisation of a network by one over all processes.

    Args:
        model: a chain on the host whose normalisations scale and shift, over the axes of images;
            changed in place.
        comm: a ChainerMN communicator, or None, which changes nothing.
    """
    if comm is None:
        return
    for chain in [link for link in model.links() if isinstance(link, chainer.Chain)]:
        for child in list(chain.children()):
            if isinstance(child, chainer.links.BatchNormalization):
                shared = SharedBatchNormalization(
                    comm, child.avg_mean.shape, child.decay, child.eps, child.avg_mean.dtype)
                shared.copyparams(child)
                delattr(chain, child.name)
                with chain.init_scope():
                    setattr(chain, child.name, shared)


class SharedBatchNormalization(chainer.links.BatchNormalization):
    """Chainer's link with the mean and the variance of all processes; each has as many images.

    Args:
        comm: a ChainerMN communicator.
        size, decay, eps, dtype: as for ``chainer.links.BatchNormalization``.
    """

    def __init__(self, comm, size, decay, eps, dtype):
        super().__init__(size, decay, eps, dtype)
        self.comm = comm

    def forward(self, x):
        """(B, C, H, W) Variable to the same; in training, with every process at once."""
        if not chainer.config.train:
            return super().forward(x)
        normalize = BatchNormalization(
            self.eps, self.avg_mean, self.avg_var, self.decay,
            impl_selector=lambda *_: _SharedStatistics(self.comm))
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # at one value a channel, of which others have more
            return normalize.apply((x, self.gamma, self.beta))[0]


class _SharedStatistics(GeneralBatchNormalizationImpl):

    def __init__(self, comm):
        self.comm = comm

    def forward(self, axis, gamma, x, x_layout, xp, expander, beta, eps, decay, running_mean,
                running_var):
        y, layout, _, _, mean, var, inv_std, data = super().forward(
            axis, gamma, x, x_layout, xp, expander, beta, eps, decay, None, None)
        n = x.size // gamma.size * self.comm.size
        running_mean += (1 - decay) * (mean - running_mean)
        running_var += (1 - decay) * (var * n / max(n - 1, 1) - running_var)
        return y, layout, running_mean, running_var, mean, var, inv_std, data

    def get_mean_and_var(self, axis, gamma, x, xp, interm_dtype):
        own_mean, own_var = super().get_mean_and_var(axis, gamma, x, xp, interm_dtype)
        mean = mean_over_processes(own_mean, self.comm)
        var = mean_over_processes(own_var + xp.square(own_mean - mean), self.comm)
        return mean, var

    def get_ggamma_and_gbeta(self, axis, gamma, gy, x_hat, xp):
        # Their mean, not their sum: the mean of all gradients is what the optimizer takes.
        gbeta, ggamma = super().get_ggamma_and_gbeta(axis, gamma, gy, x_hat, xp)
        return mean_over_processes(gbeta, self.comm), mean_over_processes(ggamma, self.comm)
