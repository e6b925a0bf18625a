"""2-D convolution: the function, and its engines for NumPy, oneDNN and cuDNN."""
