"""The results of the heads, joined into one array: the function, and its kernels for a GPU."""
