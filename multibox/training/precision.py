"""The numbers a network computes with on a GPU, and what those of 16 bits need to train."""
import os

from multibox.errors import UserError

import chainer
import chainer.functions as F
import numpy as np


def use_precision(name, device):
    """Have matrix products on a GPU use TF32 or not, in this process; call it before the first.

    Args:
        name: one of :data:`multibox.convolution.PRECISIONS`.
        device: a ``chainer.backend.Device``.

    Raises:
        UserError: a CPU, which has float32 alone.
    """
    if device.xp is np:
        if name != 'float32':
            raise UserError(f'--precision {name} is for GPUs; give --device 0, or leave it out '
                            '(bfloat16 on a CPU: --conv onednn-bf16)')
        return
    os.environ['CUPY_TF32'] = str(int(name == 'tf32'))


def halve(model):
    """Have a network compute in float16; its inputs and outputs stay float32.

    Normalisations keep their parameters and statistics in float32, as under Chainer's ``mixed16``.

    Args:
        model: a chain, changed in place.
    """
    for parameter in model.params():
        if parameter.name not in ('gamma', 'beta'):
            parameter.array = parameter.array.astype(np.float16)
    forward = model.forward
    model.forward = lambda x: tuple(
        F.cast(y, np.float32) for y in forward(F.cast(x, np.float16)))


class LossScaling:
    """Mixin to a Chainer optimizer: float32 weights behind those in float16, and a scaled loss.

    Chainer doubles the scale at every update until gradients overflow. From then on such an update
    is left out and the scale halved, and every 1000 updates without double it. Weights behind and
    scale, which Chainer forgets, are saved here.
    """

    def setup(self, link):
        """Set the link to train; see ``chainer.Optimizer.setup``."""
        self.use_fp32_update()
        self.loss_scaling()
        return super().setup(link)

    def check_nan_in_grads(self):
        """Find out whether any gradient overflowed."""
        super().check_nan_in_grads()
        for each in self.target.params():
            if each.dtype != np.float16:  # Chainer would scale its weight decay, too
                each.grad /= self._loss_scale
                each._loss_scale = None

    def serialize(self, serializer):
        """Save or restore what ``chainer.Optimizer.serialize`` does and what is here."""
        super().serialize(serializer)
        self._loss_scale = serializer('loss_scale', self._loss_scale)
        self._loss_scaling_isnan_ever = serializer('overflowed', self._loss_scaling_isnan_ever)
        for name, parameter in self.target.namedparams():
            if parameter.dtype == np.float16:
                rule = parameter.update_rule
                if rule._fp32_param is None:
                    rule._fp32_param = chainer.Parameter(
                        parameter.array.astype(np.float32), name=parameter.name)
                serializer[name]('weight', rule._fp32_param.array)
