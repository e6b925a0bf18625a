"""L2 normalisation: the function, and its kernels for a GPU."""
