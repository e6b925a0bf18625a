"""One annotation file of PASCAL VOC, as labelImg and most other tools write it."""
import re
import stat
from pathlib import Path
from typing import Any

from multibox.data.annotations import CORNERS, Annotation, Entry
from multibox.data.frames import stated_size
from multibox.data.listing import normal

from defusedxml import ElementTree

MAX_BYTES = 2 ** 25
ENCODING = re.compile(rb'^<\?xml[^>]*encoding=["\']([A-Za-z0-9._-]+)["\']')


class XMLError(Exception):
    """The file is no annotation, for the reason in its text."""


def read_root(path: Path) -> Any:
    """Parse an annotation file.

    Args:
        path: the file.

    Returns:
        The element <annotation>.

    Raises:
        XMLError: the file is missing, cannot be parsed, or is another kind of XML.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise XMLError('is not a regular file')
        if status.st_size > MAX_BYTES:
            raise XMLError(f'annotation is larger than {MAX_BYTES >> 20} MiB')
        root = _parse(path.read_bytes())
    except FileNotFoundError:
        raise XMLError('annotation file is missing') from None
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        raise XMLError(f'annotation cannot be read ({error})') from error  # defusedxml: ValueError
    for element in root.iter() if '}' in root.tag else ():
        element.tag = element.tag.rpartition('}')[2]  # without the namespace
    if root.tag != 'annotation':
        raise XMLError(f'not a VOC annotation: its root is <{root.tag}>, not <annotation>')
    return root


def _parse(content):
    declared = ENCODING.match(content)
    try:
        return ElementTree.fromstring(content)
    except ValueError as error:
        if not declared or 'multi-byte' not in str(error):
            raise
    # Expat knows neither GBK nor Shift JIS, but Python does.
    name = declared[1].decode()
    try:
        text = content.decode(name)
    except (LookupError, UnicodeDecodeError) as error:
        raise ValueError(f'its encoding is not {name}; save it as UTF-8 ({error})') from None
    return ElementTree.fromstring(text.partition('?>')[2])


def _text(element, path):
    text = element.findtext(path)
    return None if text is None else text.strip()


def _entry(number, element):
    written = tuple(_text(element, f'bndbox/{corner}') for corner in CORNERS)
    try:
        box, fault = tuple(float(text) for text in written), None
    except (TypeError, ValueError):
        box, fault = None, 'box coordinates are missing or not numbers'
    return Entry(number, normal(_text(element, 'name') or ''), box, written,
                 (_text(element, 'difficult') or '').lower() in ('1', 'true'), fault)


def read_xml(path: Path, image: Path | None, fault: tuple | None = None) -> Annotation:
    """Read one annotation file.

    Args:
        path: the file.
        image: the image that it describes, None if there is none.
        fault: ``(file, reason)`` if there is no such image.

    Returns:
        :class:`multibox.data.annotations.Annotation`.
    """
    try:
        root = read_root(path)
    except XMLError as error:
        return Annotation(path, image, [], fault=(path, str(error)))
    # Direct children only, because the <part>s of an object also have names and boxes.
    entries = [_entry(n, element) for n, element in enumerate(root.findall('object'), start=1)]
    frame = stated_size(_text(root, 'size/width'), _text(root, 'size/height'))
    return Annotation(path, image, entries, frame, fault=fault)
