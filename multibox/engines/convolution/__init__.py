"""2-D convolution: the function, and its engines by NumPy, oneDNN and cuDNN.

In the engines, ``geometry`` is (stride, pad, dilate), each a pair (y, x). The G groups of channels
are convolved apart, and the weights W are (O, C / G, kh, kw). With as many groups as channels the
convolution is depthwise.
"""
