"""Training in float16: float16 weights, their float32 master weights, and loss scaling."""
from multibox.engines import kernels
from multibox.engines.momentum_sgd import gpu as momentum_sgd

import chainer
import numpy as np


def halve(model: chainer.Link) -> None:
    """Convert the weights of a network to float16; the network then computes in float16.

    Normalisations keep their parameters and statistics in float32, as under Chainer's ``mixed16``.

    Args:
        model: a network of :func:`multibox.networks.make_detector`, changed in place.
    """
    for parameter in model.params():
        if parameter.name not in ('gamma', 'beta'):
            parameter.array = parameter.array.astype(np.float16)


class LossScaling:
    """Mixin for a Chainer optimizer: float32 master weights for float16 weights, and loss scaling.

    The class takes effect on a target with float16 parameters. Chainer doubles the scale at every
    update until gradients overflow. From then on, Chainer leaves out an update whose gradients
    overflow and halves the scale. It doubles the scale after every 1000 updates without overflow.
    Chainer does not save the scale and the master weights; this class does.
    """

    def setup(self, link):
        """Set the link to train; see ``chainer.Optimizer.setup``."""
        self._halved = any(parameter.dtype == np.float16 for parameter in link.params())
        if self._halved:
            self.use_fp32_update()
            self.loss_scaling()
        return super().setup(link)

    def check_nan_in_grads(self):
        """Find out whether any gradient overflowed; on a GPU, in one launch per dtype."""
        gradients = [parameter.grad for parameter in self.target.params()]
        if self._loss_scaling_is_dynamic and kernels.takes(*gradients):
            self._loss_scaling_isnan = not momentum_sgd.all_finite(gradients)
            self._loss_scaling_isnan_ever |= self._loss_scaling_isnan
        else:
            super().check_nan_in_grads()
        if not self._halved:
            return
        for parameter in self.target.params():
            if parameter.dtype != np.float16:  # Chainer would also scale its weight decay
                parameter.grad /= self._loss_scale
                parameter._loss_scale = None

    def serialize(self, serializer):
        """Save or restore the optimizer, the scale and the master weights."""
        super().serialize(serializer)
        if not self._halved:
            return
        self._loss_scale = serializer('loss_scale', self._loss_scale)
        self._loss_scaling_isnan_ever = serializer('overflowed', self._loss_scaling_isnan_ever)
        for name, parameter in self.target.namedparams():
            if parameter.dtype == np.float16:
                rule = parameter.update_rule
                if rule._fp32_param is None:
                    rule._fp32_param = chainer.Parameter(
                        parameter.array.astype(np.float32), name=parameter.name)
                serializer[name]('weight', rule._fp32_param.array)
