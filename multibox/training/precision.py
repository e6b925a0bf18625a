"""Training in 16 bits: 16-bit weights, their float32 master weights, and loss scaling."""
import functools

from multibox.engines import bfloat16, kernels
from multibox.engines.updates import gpu as updates
from multibox.engines.updates.gpu import has_master, master
from multibox.engines.updates.scale import Scale

import chainer
import numpy as np
from chainer.backends import cuda


def halve(model: chainer.Link, precision: str = 'float16') -> None:
    """Convert the weights of a network to a type of 16 bits; the network then computes in it.

    Normalisations keep their parameters and statistics in float32, as under Chainer's ``mixed16``.

    Args:
        model: a network of :func:`multibox.networks.make_detector`, changed in place.
        precision: 'float16' or 'bfloat16'.
    """
    dtype = bfloat16.array_dtype(precision)
    for parameter in model.params():
        if parameter.name not in ('gamma', 'beta'):
            parameter.array = parameter.array.astype(dtype)


class LossScaling:
    """Mixin for a Chainer optimizer: float32 master weights for 16-bit weights, and loss scaling.

    The loss is scaled for a target with float16 parameters; bfloat16 has the range of float32.
    Chainer doubles the scale at every update until gradients overflow. From then on, Chainer leaves
    out an update whose gradients overflow and halves the scale. It doubles the scale after every
    1000 updates without overflow. Chainer does not save the scale and the master weights; this
    class does.

    The scale lies on a GPU while kernels update all parameters. Its attributes are then read from
    the GPU, for which the host waits.
    """

    _scale: Scale | None = None  # on a GPU
    _host_scale, _host_overflowed = None, False

    @property
    def _loss_scale(self):
        self._read_scale()
        return self._host_scale

    @_loss_scale.setter
    def _loss_scale(self, scale):
        self._write_scale(scale, self._loss_scaling_isnan_ever)

    @property
    def _loss_scaling_isnan_ever(self):
        self._read_scale()
        return self._host_overflowed

    @_loss_scaling_isnan_ever.setter
    def _loss_scaling_isnan_ever(self, overflowed):
        self._write_scale(self._loss_scale, overflowed)

    def _read_scale(self):
        """Read the scale from the GPU, and take back the updates that it has left out."""
        if self._scale is None:
            return
        self._host_scale, self._host_overflowed, n_left_out = self._scale.read()
        if n_left_out:
            updates.count(self.target, -n_left_out)
            self._scale.write(self._host_scale, self._host_overflowed)

    def _write_scale(self, scale, overflowed):
        self._host_scale, self._host_overflowed = scale, overflowed
        if self._scale is not None:
            self._scale.write(scale, overflowed)

    def _move_scale(self, to_gpu):
        """Let the scale lie on the GPU or on the host."""
        if to_gpu and self._scale is None:
            xp = cuda.get_array_module(next(self.target.params()).array)
            self._scale = Scale(xp, self._loss_scaling_multiplier, self._loss_scale_max)
            self._scale.write(self._host_scale, self._host_overflowed)
        elif not to_gpu:
            self._read_scale()
            self._scale = None

    def setup(self, link):
        """Set the link to train; see ``chainer.Optimizer.setup``."""
        self._halved = any(parameter.dtype == np.float16 for parameter in link.params())
        if any(map(has_master, link.params())):
            self.use_fp32_update()
        if self._halved:
            self.loss_scaling()
        super().setup(link)
        for parameter in filter(bfloat16.is_bfloat16, link.params()):
            rule = parameter.update_rule
            rule.update = functools.partial(_update_master, rule)
        return self

    def check_nan_in_grads(self):
        """Find out whether any gradient overflowed; on a GPU, in one launch per dtype."""
        gradients = [parameter.grad for parameter in self.target.params()]
        if self._scale is not None:
            self._loss_scaling_isnan = False  # the kernels decide
            self._scale.check(gradients)
            return
        if self._loss_scaling_is_dynamic and kernels.takes(*gradients):
            self._loss_scaling_isnan = not updates.all_finite(gradients)
            self._loss_scaling_isnan_ever |= self._loss_scaling_isnan
        else:
            super().check_nan_in_grads()
        if not self._halved:
            return
        for parameter in self.target.params():
            if parameter.dtype != np.float16:  # Chainer would also scale its weight decay
                parameter.grad /= self._loss_scale
                parameter._loss_scale = None

    def update_loss_scale(self):
        """Let the scale grow, or halve it after an overflow."""
        if self._scale is None:
            super().update_loss_scale()
        else:
            self._scale.adapt()

    def serialize(self, serializer):
        """Save or restore the optimizer, the scale and the master weights."""
        self._read_scale()  # before the counts of updates are saved
        super().serialize(serializer)
        if self._halved:
            self._loss_scale = serializer('loss_scale', self._loss_scale)
            self._loss_scaling_isnan_ever = serializer('overflowed', self._loss_scaling_isnan_ever)
        for name, parameter in self.target.namedparams():
            if has_master(parameter):
                serializer[name]('weight', master(parameter).array)


def _update_master(rule, parameter):
    """Update as Chainer does with ``use_fp32_update``, which it has for float16 alone."""
    if not rule.enabled:
        return
    weights = master(parameter)
    weights.grad = parameter.grad.astype(np.float32)
    type(rule).update(rule, weights)
    parameter.array[...] = weights.array
    weights.grad = None
