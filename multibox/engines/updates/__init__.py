"""The updates of momentum SGD and Adam: kernels that update many parameters per launch on a GPU."""
