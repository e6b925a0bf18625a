"""L2 normalisation over channels: the function, and its kernels for a GPU."""
