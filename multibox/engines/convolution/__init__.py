"""2-D convolution: the function, and its engines by NumPy, oneDNN and cuDNN.

In the engines, ``geometry`` is (stride, pad, dilate), each a pair (y, x).
"""
