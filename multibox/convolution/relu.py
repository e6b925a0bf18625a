"""A convolution and its ReLU as one function, which cuDNN computes in one pass over the result."""
from chainer.functions.activation.relu import ReLU, ReLUGrad2
from chainer.functions.connection.convolution_2d import Convolution2DFunction


class ConvolutionReLU(Convolution2DFunction):
    """max(0, convolution), of what ``F.convolution_2d`` takes; the map before ReLU is not kept.

    Where no engine computes it, Chainer's convolution and ReLU do, one after the other.
    """

    def forward(self, inputs):
        """Return (y,), (B, O, out_h, out_w), of x (B, C, H, W), W (O, C, kh, kw) and b (O,)."""
        self.retain_outputs((0,))
        return super().forward(inputs)

    def forward_cpu(self, inputs):
        return ReLU().forward_cpu(super().forward_cpu(inputs))

    def forward_gpu(self, inputs):
        return ReLU().forward_gpu(super().forward_gpu(inputs))

    def backward(self, indexes, grad_outputs):
        """Return the gradients of x, W and b."""
        y, = self.get_retained_outputs()
        return super().backward(indexes, ReLUGrad2(y.array).apply(grad_outputs))


def convolution_relu(link, x):
    """``F.relu(link(x))``.

    Args:
        link: a ``Convolution2D`` or ``DilatedConvolution2D``, with a bias and without groups.
        x: (B, C, H, W) array or variable.

    Returns:
        (B, O, out_h, out_w) variable.
    """
    if link.W.array is None:  # its first x says how many channels there are
        link._initialize_params(x.shape[1])
    return ConvolutionReLU(link.stride, link.pad, dilate=link.dilate).apply(
        (x, link.W, link.b))[0]
