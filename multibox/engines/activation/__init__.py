"""The gradients of ReLU and of a bias, and sums of gradients: kernels for a GPU."""
