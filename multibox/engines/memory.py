"""Memory that stays with the process between the layers of a network."""
import ctypes


def keep_freed_memory() -> None:
    """Make glibc keep the memory that this process frees; without glibc nothing happens.

    By default glibc maps large arrays afresh and returns them to the system each time, which costs
    thousands of page faults per training step. See mallopt(3).
    """
    try:
        libc = ctypes.CDLL('libc.so.6')
    except OSError:  # not glibc
        return
    libc.mallopt(-4, 0)  # M_MMAP_MAX: take large arrays from the heap
    libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never shrink the heap
