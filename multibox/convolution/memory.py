"""Memory that stays mapped between the layers of a network."""
import ctypes


def keep_freed_memory():
    """Have glibc keep the memory a process frees; without glibc nothing happens.

    By default large arrays are mapped afresh and given back each time: a training step then pays
    thousands of page faults. See mallopt(3).
    """
    try:
        libc = ctypes.CDLL('libc.so.6')
    except OSError:  # not glibc
        return
    libc.mallopt(-4, 0)  # M_MMAP_MAX: take large arrays from the heap
    libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never shrink the heap
