"""A file from an HTTP server, in several calls if the connection breaks."""
import hashlib
import http.client
import re
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from multibox.errors import UserError

from tqdm import tqdm

TIMEOUT = 60  # seconds without any byte
TRIES = 5  # consecutive connections that bring no byte
PAUSE = 2  # seconds between two connections
BLOCK = 2 ** 20  # bytes per read


def fetch(url: str, part: Path, size: int | None = None) -> None:
    """Download a file, or the rest of a file that an earlier call has begun.

    A server that ignores the header Range sends the whole file again. After an interruption, the
    bytes that arrived stay in ``part``.

    Args:
        url: the address, http or https.
        part: the file to write, or to continue.
        size: the size of the whole file in bytes; None if it is unknown.

    Raises:
        UserError: the server has no such file, has a file of another size, or breaks off too
            often; or the disk is full.
    """
    failures = 0
    while size is None or _size(part) != size:
        before = _size(part)
        try:
            size = _continue(url, part, size)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise UserError(f'{url}: the server answers {error.code} {error.reason}; give '
                                'another server with --mirror URL') from None
            reason = f'{error.code} {error.reason}'
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            if isinstance(error, OSError) and error.filename:  # of the disk, not of the network
                raise UserError(f'{part}: cannot be written ({error.strerror}); give another '
                                'folder') from None
            reason = str(getattr(error, 'reason', None) or error) or type(error).__name__
        else:
            reason = f'the connection ended after {_size(part):,} of {size or 0:,} bytes'
            if size is None or _size(part) == size:
                return
        failures = 0 if _size(part) > before else failures + 1
        if failures == TRIES:
            raise UserError(f'{url}: {reason}; {part} holds {_size(part):,} bytes, and the same '
                            'command goes on from them; or give another server with --mirror URL')
        time.sleep(PAUSE)


def check(path: Path, size: int | None, md5: str | None) -> str | None:
    """Compare a file with its known size and MD5.

    Args:
        path: the file.
        size: in bytes; None if it is unknown.
        md5: in hexadecimal; None if it is unknown.

    Returns:
        The fault in words, or None.
    """
    if size is not None and _size(path) != size:
        return f'has {_size(path):,} bytes instead of {size:,}'
    if md5 is not None:
        with open(path, 'rb') as file:
            digest = hashlib.md5(usedforsecurity=False)
            while block := file.read(BLOCK):
                digest.update(block)
        if digest.hexdigest() != md5:
            return f'has the MD5 {digest.hexdigest()} instead of {md5}'
    return None


def check_room(folder: Path, needed: int, purpose: str) -> None:
    """Compare the free bytes of a disk with those needed.

    Args:
        folder: a folder on the disk; it or one of its parents exists.
        needed: in bytes.
        purpose: the files that need the room, for the message.

    Raises:
        UserError: the disk is too small.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise UserError(f'{folder}: {purpose} need {needed:,} bytes, and the disk has {free:,} '
                        'bytes left; make room or give another folder')


def _continue(url, part, size):
    """Read one connection to its end. The return value is the size of the whole file, or None."""
    begun = _size(part)
    if size is not None and begun > size:
        begun = 0
    request = urllib.request.Request(url, headers={'Range': f'bytes={begun}-'} if begun else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not begun:  # the range begins at the end of the file, or beyond
            raise
        total = re.fullmatch(r'bytes \*/(\d+)', error.headers.get('Content-Range', ''))
        if total is not None and int(total[1]) == begun and size is None:
            return begun
        part.unlink()
        return _continue(url, part, size)
    with response:
        if response.headers.get_content_type() == 'text/html':
            raise UserError(f'{url}: the server answers with a page instead of a file; download '
                            'the file with a browser, or give another server with --mirror URL')
        total = _total(response, begun)
        if None not in (total, size) and total != size:
            raise UserError(f'{url}: the server has {total:,} bytes instead of {size:,}; give '
                            'another server with --mirror URL')
        size = total if size is None else size
        begun = begun if response.status == 206 else 0
        if size is not None:
            check_room(part.parent, size - begun, part.name)
        with open(part, 'ab' if begun else 'wb') as file, tqdm(
                desc=part.name.removesuffix('.part'), total=size, initial=begun, unit='B',
                unit_scale=True, disable=None) as bar:
            while block := response.read1(BLOCK):
                try:
                    file.write(block)
                except OSError as error:
                    raise UserError(f'{part}: cannot be written ({error.strerror}); make room, '
                                    'and the same command goes on') from None
                bar.update(len(block))
                if size is not None and file.tell() > size:
                    raise UserError(f'{url}: the server sends more than {size:,} bytes; give '
                                    'another server with --mirror URL')
    return size


def _total(response, begun):
    """The size of the whole file by the headers of an answer, or None."""
    if response.status != 206:
        length = response.headers.get('Content-Length', '')
        return int(length) if length.isdecimal() else None
    found = re.fullmatch(r'bytes (\d+)-\d+/(\d+|\*)', response.headers.get('Content-Range', ''))
    if found is None or int(found[1]) != begun:
        raise UserError(f'{response.url}: the server sends another part of the file than asked '
                        'for; give another server with --mirror URL')
    return None if found[2] == '*' else int(found[2])


def _size(path):
    return path.stat().st_size if path.exists() else 0
