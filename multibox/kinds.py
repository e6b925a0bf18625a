"""The kind of a file that was taken for weights, by its first bytes."""
import re

N_BYTE = 512  # bytes of a file that are needed
# The first bytes of files that people rename or download by mistake.
KINDS = {rb'\s*<[!?a-zA-Z]': 'it is a web page', rb'\s*\{': 'it is JSON text',
         rb'version https://git-lfs': 'it is a pointer of Git LFS',
         rb'\x89HDF': 'it is an HDF5 file', rb'\x1f\x8b': 'it is compressed by gzip',
         rb'\x93NUMPY': 'it is an .npy file', rb'Rar!': 'it is a RAR archive',
         rb'(?s:.{257})ustar': 'it is a tar archive'}


def kind(begin: bytes) -> str | None:
    """Describe a file that is none of weights.

    Args:
        begin: the first :data:`N_BYTE` bytes of the file, or all of them.

    Returns:
        Half a sentence, such as ``'it is a web page'``; None for an unknown kind.
    """
    if not begin:
        return 'it is empty'
    return next((reason for first, reason in KINDS.items() if re.match(first, begin)), None)
