"""Structured files of Hypothesis: the right outside, and anything inside. All are bytes."""
import json
import random

from tests.fuzz.structures import VALUES, replace_in_json

from hypothesis import strategies as st

TEXT = st.text(max_size=20) | st.sampled_from(
    ['cat', '猫', '../x', '$\\frac$', '\x1b[2J', 'a' * 400])
NUMBER = (st.integers() | st.floats() | st.integers(0, 50)
          | st.sampled_from([10 ** 400, 1e9, -1e9, 1e308, 0, -1]))
WRITTEN = NUMBER.map(lambda n: str(n)[:500]) | TEXT | st.sampled_from(
    ['1e400', '0x10', '1_000', '\u0661', '', ' 5 ', '1,5', '5.0.0'])


def _escaped(text):
    return text.replace('&', '&amp;').replace('<', '&lt;')


def _element(name, content):
    return content.map(lambda inner: f'<{name}>{inner}</{name}>') | st.just('')


def _join(*parts):
    return st.tuples(*parts).map(''.join)


def _bytes(strategy, codecs=('utf-8',)):
    return st.tuples(strategy, st.sampled_from(codecs)).map(
        lambda pair: pair[0].encode(pair[1], 'replace'))


def voc_xml():
    """Annotations of VOC with elements missing, doubled, or with any content."""
    leaf = WRITTEN.map(_escaped)
    box = _join(*(_element(name, leaf) for name in ('xmin', 'ymin', 'xmax', 'ymax')))
    entry = _join(_element('name', leaf), _element('difficult', leaf), _element('bndbox', box),
                  _element('part', _element('name', leaf)))
    size = _join(_element('width', leaf), _element('height', leaf))
    inside = _join(_element('size', size), st.lists(_element('object', entry), max_size=4).map(
        ''.join), _element('filename', leaf))
    return _bytes(st.one_of(inside.map(lambda text: f'<annotation>{text}</annotation>'), inside),
                  ('utf-8', 'utf-8-sig', 'utf-16'))


def mutated_json(value):
    """A JSON file with one to five parts replaced."""
    def change(seed, n):
        rng, changed = random.Random(seed), value
        for _ in range(n):
            changed = replace_in_json(rng, changed)
        return json.dumps(changed).encode()
    return st.builds(change, st.integers(0, 2 ** 32), st.integers(1, 5))


def any_value():
    """Any JSON value."""
    return st.recursive(st.sampled_from(VALUES) | NUMBER | TEXT, lambda inner: st.lists(
        inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6)


def any_json(**fields):
    """A JSON object whose fields have their own values or any other ones."""
    return st.fixed_dictionaries({}, optional={
        name: st.just(value) | any_value() for name, value in fields.items()}).map(
            lambda content: json.dumps(content).encode())


def lines(*words):
    """A list with known and other entries, with columns, blank lines and other ends of lines."""
    line = st.sampled_from(words) | TEXT | st.tuples(st.sampled_from(words), WRITTEN).map(' '.join)
    ends = st.sampled_from(['\n', '\r\n', '\r', '\x85'])
    return _bytes(st.builds(str.join, ends, st.lists(line, max_size=6)),
                  ('utf-8', 'utf-8-sig', 'utf-16', 'latin-1'))


def yolo_labels():
    """Lines of classes and boxes, or polygons."""
    number = st.floats(0, 1).map(str) | WRITTEN
    line = st.tuples(st.integers(-1, 3).map(str) | WRITTEN, st.lists(number, max_size=9)).map(
        lambda pair: ' '.join((pair[0], *pair[1])))
    return _bytes(st.lists(line, max_size=5).map('\n'.join))


def data_yaml():
    """The keys of data.yaml with any YAML behind them, aliases and tags among it."""
    value = st.sampled_from([
        'images/train', '[cat, dog]', '{0: cat, 1: dog}', '{1000000000: cat}', '{-1: a}', '', '~',
        '[[cat]]', '&a [cat, *a]', '!!python/object/apply:os.system [id]', '*a', '{a: b}', '- x',
        '/etc', '../../..', '[a, a]', '[1, 2]', '"\\ud800"', '|\n  cat', '9' * 400]) | TEXT
    keys = 'path', 'train', 'val', 'test', 'names', 'nc', 'kpt_shape'
    return _bytes(st.lists(st.tuples(st.sampled_from(keys), value), max_size=7).map(
        lambda pairs: ''.join(f'{key}: {value}\n' for key, value in pairs)))


def table():
    """A CSV table with the right columns in any order, and any cells."""
    columns = ['filename', 'width', 'height', 'class', 'xmin', 'ymin', 'xmax', 'ymax']
    cell = WRITTEN | st.sampled_from(['0.jpg', '1.jpg', 'cat', '"', '"a\nb"'])
    good = st.just(['0.jpg', '40', '30', 'cat', '5', '6', '25', '16'])
    return _bytes(st.tuples(st.permutations(columns), st.lists(good | st.lists(cell, max_size=9),
                                                               max_size=4)).map(
        lambda pair: '\n'.join(map(','.join, (pair[0], *pair[1])))))
