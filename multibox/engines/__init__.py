"""The operations of the networks, and their engines: NumPy, oneDNN, cuDNN or CUDA kernels.

``convolution_2d``, ``max_pooling_2d``, ``pooled_convolution_2d``, ``l2_normalize``, ``join_heads``
and ``relu`` choose by the device and the dtype of their arrays. Engines compute the convolutions.
On a CPU, ``onednn`` is Intel's library in float32, ``onednn-bf16`` rounds the factors of products
to bfloat16, and ``blas`` needs NumPy alone. On a GPU, ``cudnn`` is NVIDIA's library. ``chainer`` is
Chainer's own code.
"""
from multibox.engines.chains import using
from multibox.engines.choice import ENGINES, PRECISIONS, fastest
from multibox.engines.convolution.function import convolution_2d
from multibox.engines.joining.function import join_heads
from multibox.engines.normalization.function import l2_normalize
from multibox.engines.order import fork, relu
from multibox.engines.pooling.function import max_pooling_2d
from multibox.engines.pooling.pooled_convolution import pooled_convolution_2d
from multibox.engines.program import set_up

__all__ = ['ENGINES', 'PRECISIONS', 'convolution_2d', 'fastest', 'fork', 'join_heads',
           'l2_normalize', 'max_pooling_2d', 'pooled_convolution_2d', 'relu', 'set_up', 'using']
