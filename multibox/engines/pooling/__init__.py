"""2-D max pooling: the function, and its code for a CPU and for a GPU."""
