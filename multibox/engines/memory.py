"""Freed memory, which the process keeps for the next layer of a network."""
import ctypes


def keep_freed_memory() -> None:
    """Make glibc keep the memory that this process frees; without glibc nothing happens.

    By default glibc maps memory for every large array and returns it to the system afterwards. This
    costs thousands of page faults per training step. See mallopt(3).
    """
    try:
        libc = ctypes.CDLL('libc.so.6')
    except OSError:  # not glibc
        return
    libc.mallopt(-4, 0)  # M_MMAP_MAX: take large arrays from the heap
    libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never shrink the heap
