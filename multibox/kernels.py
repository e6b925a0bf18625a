"""The two array kernels of the loss: per-box cross entropy, and the n largest of each row."""
import chainer
import numpy as np
from chainer.backends import cuda


class _SoftmaxCrossEntropy(chainer.FunctionNode):

    def __init__(self, labels):
        self.labels = labels

    def forward(self, inputs):
        logits, = inputs
        self.retain_inputs((0,))
        xp = cuda.get_array_module(logits)
        log_probability = _log_softmax(xp, logits)
        column = xp.maximum(self.labels, 0)[..., None]
        loss = -xp.take_along_axis(log_probability, column, axis=-1)[..., 0]
        return xp.where(self.labels < 0, loss.dtype.type(0), loss),

    def backward(self, indexes, grad_outputs):
        logits, = self.get_retained_inputs()
        grad_loss, = grad_outputs
        xp = cuda.get_array_module(logits.array)
        with cuda.get_device_from_array(logits.array):
            weight = xp.where(self.labels < 0, 0, grad_loss.array)[..., None]
            grad = xp.exp(_log_softmax(xp, logits.array))
            grad -= self.labels[..., None] == xp.arange(grad.shape[-1])
            # where, not a product: a box without weight gives 0 even if its logits are nan.
            with np.errstate(invalid='ignore'):
                grad = xp.where(weight != 0, grad * weight, grad.dtype.type(0))
        return chainer.Variable(grad),


def _log_softmax(xp, logits):
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        shifted = logits - logits.max(axis=-1, keepdims=True)
        return shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))


def softmax_cross_entropy(logits, labels):
    """Softmax cross entropy of every box: Eq. 3 of Liu et al., ECCV 2016, before its sum.

    A box whose incoming gradient is zero passes back exactly zero, whatever its logits.

    Args:
        logits: (..., C) float16, float32 or float64, array or Variable.
        labels: (...) int array, the class of each box; -1 gives a loss and a gradient of zero.

    Returns:
        (...) Variable in nats, float32 (float64 for float64 logits). Differentiable once.
    """
    logits = in_single_precision(logits)
    return _SoftmaxCrossEntropy(labels).apply((logits,))[0]


def in_single_precision(x):
    """Cast float16 to float32, so that sums do not overflow; float32 and float64 stay.

    Args:
        x: array or Variable of any shape.

    Returns:
        Variable; its gradient comes back in the dtype of ``x``.
    """
    return chainer.functions.cast(x, np.result_type(x.dtype, np.float32))


def n_largest(values, n):
    """Mark the ``n`` largest values of each row; of equal values the one with the lowest index.

    Args:
        values: (B, K) float array without nan; an entry of -inf is never marked.
        n: (B,) array of numbers >= 0. A fraction counts as the next integer.

    Returns:
        (B, K) bool array.
    """
    xp = cuda.get_array_module(values)
    # argsort of argsort is the rank; the first has to be stable for ties to go to the lowest index.
    rank = xp.argsort(xp.argsort(-values, axis=1, kind='stable'), axis=1)
    return (rank < n[:, None]) & (values > -np.inf)
