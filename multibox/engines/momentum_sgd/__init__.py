"""Momentum SGD: kernels that update many parameters per launch on a GPU."""
