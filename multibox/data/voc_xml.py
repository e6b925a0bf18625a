"""One annotation file of PASCAL VOC, as labelImg and most other tools write it."""
import codecs
import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import TreeBuilder

from multibox.data.annotations import CORNERS, Annotation
from multibox.data.entries import read_entry
from multibox.data.frames import stated_size
from multibox.data.reading import reason_of
from multibox.errors import UserError
from multibox.files import read_whole

from defusedxml import ElementTree

MAX_BYTES = 2 ** 25
MAX_MARKS = 500_000  # '<' or '=' in a file; 10,000 objects of labelImg have 200,000
MAX_DEPTH = 100
MAX_NAMESPACE = 1000  # characters, which the parser copies to the name of every element
MAX_REASON = 200  # characters
ENCODING = re.compile(rb'^<\?xml[^>]*encoding=["\']([A-Za-z0-9._-]+)["\']')
# Expat knows none of these encodings, but Python does.
MULTIBYTE = ('gb2312', 'gbk', 'gb18030', 'hz', 'big5', 'big5hkscs', 'cp950', 'shift_jis', 'cp932',
             'shift_jis_2004', 'euc_jp', 'euc_jis_2004', 'iso2022_jp', 'euc_kr', 'cp949', 'johab')


class XMLError(Exception):
    """The file is no annotation, for the reason in its text."""


class _Tree(TreeBuilder):
    """A tree of limited depth, so that no later step recurses deeply."""

    def __init__(self):
        super().__init__()
        self._depth = 0

    def start(self, tag, attributes):
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f'elements are nested more than {MAX_DEPTH} deep')
        return super().start(tag, attributes)

    def end(self, tag):
        self._depth -= 1
        return super().end(tag)

    def start_ns(self, prefix, uri):
        if len(uri) > MAX_NAMESPACE:
            raise ValueError(f'a namespace has more than {MAX_NAMESPACE:,} characters')


def read_root(path: Path) -> Any:
    """Parse an annotation file.

    Args:
        path: the file.

    Returns:
        The element <annotation>.

    Raises:
        XMLError: the file is missing, cannot be parsed, is too large, or is another kind of XML.
    """
    try:
        if not path.exists():
            raise XMLError('annotation file is missing')
        root = _parse(read_whole(path, MAX_BYTES))
    except UserError as error:
        raise XMLError(reason_of(error, path)) from None
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        reason = str(error)[:MAX_REASON]
        raise XMLError(f'annotation cannot be read ({reason})') from error  # defusedxml: ValueError
    for element in root.iter() if '}' in root.tag else ():
        element.tag = element.tag.rpartition('}')[2]  # without the namespace
    if root.tag != 'annotation':
        raise XMLError(f'not a VOC annotation: its root is <{root.tag[:MAX_REASON]}>, not '
                       '<annotation>')
    return root


def _parse(content):
    if max(map(content.count, (b'<', b'='))) > MAX_MARKS:
        raise ValueError(f'it has more than {MAX_MARKS:,} elements or attributes')
    declared = ENCODING.match(content)
    try:
        return _tree(content)
    except ValueError as error:
        if not declared or 'multi-byte' not in str(error):
            raise
    name = declared[1].decode()
    if codecs.lookup(name).name not in MULTIBYTE:  # others may take minutes, such as Punycode
        raise ValueError(f'its encoding is {name}; save it as UTF-8')
    try:
        text = content.decode(name)
    except (LookupError, UnicodeDecodeError) as error:
        raise ValueError(f'its encoding is not {name}; save it as UTF-8 ({error})') from None
    return _tree(text.partition('?>')[2])


def _tree(content):
    parser = ElementTree.XMLParser(target=_Tree())
    parser.feed(content)
    return parser.close()


def _text(element, path):
    text = element.findtext(path)
    return None if text is None else text.strip()


def _entry(position, element):
    return read_entry(position, _text(element, 'name'),
                      tuple(_text(element, f'bndbox/{corner}') for corner in CORNERS),
                      (_text(element, 'difficult') or '').lower() in ('1', 'true'))


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
