"""Mutations that keep the outside of a format right, so that its inside is read."""
import io
import json
import math
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable

PNG = b'\x89PNG\r\n\x1a\n'
# JSON values in the place of any other; :func:`_values` adds the large ones.
VALUES = [None, True, False, 0, -1, 1, 0.5, 1e9, 1e308, math.nan, math.inf, -math.inf, 2 ** 31,
          10 ** 30, '', 'a', '64', '\ud800', '\x1b[2J', '$\\frac$', 'é' * 300, '../x', [], {}, [[]],
          [None], {'': None}, {'a': 1}, [0, 0, 0, 0], ['a', 'a']]


def of(content: bytes) -> Callable | None:
    """The mutation for the format of a file: from a generator of random numbers, the file, and a
    function that changes bytes. None for formats without one."""
    if content[:2] == b'PK':
        return _zip
    if content.startswith(PNG):
        return _png
    if content[:1] in (b'{', b'['):
        return _json
    if content[8:9] == b'{':
        return _safetensors
    return None


def replace_in_json(rng: random.Random, value):
    """Replace, remove, rename or double one random part of a JSON value."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return _value(rng, value)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = rng.choice(keys)
    changed = value.copy()
    action = rng.random()
    if action < 0.1:
        del changed[key]
    elif action < 0.15 and isinstance(value, dict):
        changed[rng.choice(('', 'a', '\ud800', 'x' * 300))] = changed.pop(key)
    elif action < 0.2 and isinstance(value, list):
        changed.append(value[key])
    else:
        changed[key] = replace_in_json(rng, value[key])
    return changed


def _value(rng, value):
    chosen = rng.randrange(len(VALUES) + 4)
    if chosen < len(VALUES):
        return VALUES[chosen]
    if chosen == len(VALUES):
        return 10 ** 400
    if chosen == len(VALUES) + 1:
        nested = value
        for _ in range(200):
            nested = [nested]
        return nested
    return [value] * 300 if chosen == len(VALUES) + 2 else 'x' * 20000


def _json(rng, content, change):
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return change(content)
    if rng.random() < 0.02:
        return b'[' * 100000
    try:
        return json.dumps(replace_in_json(rng, value)).encode()
    except (ValueError, RecursionError):  # a mutant may hold digits or levels beyond the limits
        return content


def _zip(rng, content, change):
    """Change one member, or its name; checksums and sizes are right, unless the file lies."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
            methods = {info.compress_type for info in archive.infolist()}
    except Exception:  # an earlier mutation has spoilt it
        return change(content)
    if not members:
        return change(content)
    i = rng.randrange(len(members))
    name, inner = members[i]
    action = rng.random()
    if action < 0.15:
        del members[i]
    elif action < 0.25:
        members.append((rng.choice((name, f'{name}x', '../x.npy', '/tmp/x.npy', 'a.txt')), inner))
    elif action < 0.35:
        j = rng.randrange(len(members))
        members[i], members[j] = (name, members[j][1]), (members[j][0], inner)
    elif inner.startswith(b'\x93NUMPY') and action < 0.85:
        members[i] = name, _npy(rng, inner, change)
    else:
        members[i] = name, change(inner)
    file = io.BytesIO()
    method = methods.pop() if rng.random() < 0.9 else zipfile.ZIP_DEFLATED
    with warnings.catch_warnings(), zipfile.ZipFile(file, 'w', method) as archive:
        warnings.simplefilter('ignore')  # a name may come twice
        for name, inner in members:
            archive.writestr(name.replace('\0', '') or 'x', inner)
    return file.getvalue()


def _npy(rng, content, change):
    """Change the header or the numbers of an .npy file."""
    n = struct.unpack('<H', content[8:10].ljust(2, b'\0'))[0]
    header, data = content[10:10 + n], content[10 + n:]
    action = rng.random()
    if action < 0.3:
        kinds = b'<f4', b'<f8', b'|b1', b'|i1', b'<U9', b'|O', b'|V4', b'<c8', b'<M8[s]', b'<f2'
        old = header.partition(b"'descr': '")[2].partition(b"'")[0]
        header = header.replace(old, rng.choice(kinds)) if old else change(header)
    elif action < 0.6:
        start, end = header.find(b'('), header.find(b')')
        shapes = (b'', b'0,', b'1,', b'4294967296,', b'1000000000,', b'-1,', b'2, 2',
                  b'1, ' * 40, b'99999999999999999999,')
        header = header[:start + 1] + rng.choice(shapes) + header[end:]
    elif action < 0.75:
        header = change(header)
    else:
        number = struct.pack('<f', rng.choice((math.nan, math.inf, 1e30, -1e30, 0, 1e-40)))
        i = 4 * rng.randrange(len(data) // 4 + 1)
        data = data[:i] + number + data[i + 4:]
    return content[:8] + struct.pack('<H', len(header) % 2 ** 16) + header + data


def _png(rng, content, change):
    """Change the data of one chunk, double it or leave it out; its checksum is right."""
    chunks, i = [], len(PNG)
    while i + 8 <= len(content):
        size = struct.unpack('>I', content[i:i + 4])[0]
        chunks.append((content[i + 4:i + 8], content[i + 8:i + 8 + size]))
        i += size + 12
    if not chunks:
        return change(content)
    i = rng.randrange(len(chunks))
    kind, data = chunks[i]
    action = rng.random()
    if kind == b'IDAT' and action < 0.4:
        try:
            data = zlib.compress(change(zlib.decompress(data)))
        except zlib.error:
            data = change(data)
        chunks[i] = kind, data
    elif action < 0.8:
        chunks[i] = kind, change(data)
    elif action < 0.9:
        chunks.append(chunks[i])
    else:
        del chunks[i]
    return PNG + b''.join(
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        for kind, data in chunks)


def _safetensors(rng, content, change):
    """Change the header; the number of its bytes is right."""
    n = struct.unpack('<Q', content[:8])[0]
    header = _json(rng, content[8:8 + n], change)
    return struct.pack('<Q', len(header)) + header + content[8 + n:]
