"""A reader of pickles that runs and imports nothing: plain values, tensors and stand-ins.

``pickletools`` splits a pickle into opcodes, and a stack machine executes them. Python's own
unpickler is no base for it: a damaged file can make it allocate memory without limit, and nested
keys of a dict can overflow its C stack. The tensors are those of ``torch.save``; their numbers
are in storages outside of the pickle.
"""
import pickletools
from typing import Any, BinaryIO, NamedTuple

MAX_OPCODES = 3_000_000  # about 30 per tensor
MAX_DIMENSIONS = 32
MAX_NAME = 500  # letters


class Storage(NamedTuple):
    """A reference to a row of numbers outside of the pickle.

    Attributes:
        kind: the class in torch, such as ``'FloatStorage'``.
        key: the name of the storage in the file.
        start: the first element that belongs to the storage.
    """
    kind: str
    key: str
    start: int


class Tensor(NamedTuple):
    """A strided view of a storage; ``offset`` and ``strides`` are in elements."""
    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


class Opaque:
    """The stand-in for a global of a pickle, or for an object that the pickle makes with it.

    Attributes:
        name: the name of the global, with its module.
        is_module: whether the object is an instance of ``torch.nn.Module``.
    """

    def __init__(self, name: str):
        self.name, self.is_module = name, False


def load(file: BinaryIO, storages: dict[str, str] | None = None) -> Any:
    """Read one pickle, up to its STOP.

    Globals and the objects made with them become :class:`Opaque`, except for tensors, parameters
    and ``OrderedDict``. Sets become lists. Entries of a dict whose key is no string are left out.

    Args:
        file: a binary file at the beginning of a pickle; it is left at the end of the pickle.
        storages: a dict to which the key and the class of every storage are added.

    Returns:
        The object.

    Raises:
        Exception: the bytes are no such pickle; the error may be of any type.
    """
    stack: list[Any] = []
    marks: list[list] = []
    memo: dict[int, Any] = {}
    value: Any

    def above_mark():
        nonlocal stack
        items, stack = stack, marks.pop()
        return items

    for count, (opcode, value, _) in enumerate(pickletools.genops(file)):
        if count > MAX_OPCODES:
            raise ValueError('the pickle is too long')
        match opcode.name:
            case 'PROTO' | 'FRAME':
                pass
            case 'STOP':
                return stack.pop()
            case 'NONE':
                stack.append(None)
            case 'NEWTRUE' | 'NEWFALSE':
                stack.append(opcode.name == 'NEWTRUE')
            case ('INT' | 'BININT' | 'BININT1' | 'BININT2' | 'LONG' | 'LONG1' | 'LONG4' | 'FLOAT'
                  | 'BINFLOAT' | 'STRING' | 'BINSTRING' | 'SHORT_BINSTRING' | 'UNICODE'
                  | 'BINUNICODE' | 'SHORT_BINUNICODE' | 'BINUNICODE8' | 'BINBYTES'
                  | 'SHORT_BINBYTES' | 'BINBYTES8' | 'BYTEARRAY8'):
                stack.append(value)
            case 'MARK':
                marks.append(stack)
                stack = []
            case 'POP':
                stack.pop() if stack else above_mark()
            case 'POP_MARK':
                above_mark()
            case 'DUP':
                stack.append(stack[-1])
            case 'PUT' | 'BINPUT' | 'LONG_BINPUT':
                memo[value] = stack[-1]
            case 'MEMOIZE':
                memo[len(memo)] = stack[-1]
            case 'GET' | 'BINGET' | 'LONG_BINGET':
                stack.append(memo[value])
            case 'EMPTY_DICT':
                stack.append({})
            case 'EMPTY_LIST' | 'EMPTY_SET':
                stack.append([])
            case 'EMPTY_TUPLE':
                stack.append(())
            case 'TUPLE1' | 'TUPLE2' | 'TUPLE3':
                n = int(opcode.name[-1])
                stack[-n:] = [tuple(stack[-n:])]
            case 'TUPLE':
                items = above_mark()
                stack.append(tuple(items))
            case 'LIST' | 'FROZENSET':
                items = above_mark()
                stack.append(items)
            case 'DICT':
                items = above_mark()
                stack.append(_set_items({}, items))
            case 'SETITEM':
                items = [stack.pop(), stack.pop()][::-1]
                _set_items(stack[-1], items)
            case 'SETITEMS':
                items = above_mark()
                _set_items(stack[-1], items)
            case 'APPEND':
                _append(stack, [stack.pop()])
            case 'APPENDS' | 'ADDITEMS':
                items = above_mark()
                _append(stack, items)
            case 'GLOBAL':
                stack.append(Opaque(value.replace(' ', '.')))
            case 'STACK_GLOBAL':
                name, module = stack.pop(), stack.pop()
                if len(module) + len(name) > MAX_NAME:  # strings of the memo can serve again
                    raise ValueError('the name of a global is too long')
                stack.append(Opaque(f'{module}.{name}'))
            case 'INST':
                above_mark()
                stack.append(Opaque(value.replace(' ', '.')))
            case 'OBJ':
                items = above_mark()
                stack.append(Opaque(items[0].name))
            case 'REDUCE' | 'NEWOBJ':
                arguments, function = stack.pop(), stack.pop()
                stack.append(_call(function.name, arguments))
            case 'NEWOBJ_EX':
                _, _, function = stack.pop(), stack.pop(), stack.pop()
                stack.append(Opaque(function.name))
            case 'BUILD':
                state, built = stack.pop(), stack[-1]
                if isinstance(built, Opaque) and isinstance(state, dict):
                    built.is_module |= '_modules' in state
            case 'BINPERSID':
                storage = _storage(stack.pop())
                stack.append(storage)
                if storages is not None and isinstance(storage, Storage):
                    storages[storage.key] = storage.kind
            case _:
                raise ValueError(f'the opcode {opcode.name}')
    raise ValueError('the pickle does not end')


def _set_items(target, items):
    if isinstance(target, dict):
        # Only names are of use, and other keys could take for ever to hash.
        target.update((key, value) for key, value in zip(items[::2], items[1::2])
                      if isinstance(key, str))
    return target


def _append(stack, items):
    if isinstance(stack[-1], list):
        stack[-1].extend(items)


def _call(name, arguments):
    if name == 'collections.OrderedDict':
        pairs = arguments[0] if arguments else []  # Python 2 writes the entries as a list
        items = [item for key, value in pairs for item in (key, value)]
        pairs.clear()  # a list that serves again and again would multiply
        return _set_items({}, items)
    if name in ('torch._utils._rebuild_tensor', 'torch._utils._rebuild_tensor_v2'):
        return _tensor(*arguments[:4])
    if name in ('torch._utils._rebuild_parameter', 'torch._utils._rebuild_parameter_with_state'):
        return arguments[0]
    return Opaque(name)


def _tensor(storage, offset, shape, strides):
    if isinstance(storage, Opaque):
        return storage
    proper = isinstance(storage, Storage) and len(shape) == len(strides) <= MAX_DIMENSIONS
    if not proper or any(type(number) is not int or not 0 <= number < 2 ** 63
                         for number in (offset, *shape, *strides)):
        raise ValueError('a tensor without proper shape and strides')
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _storage(identity):
    if identity[0] == 'module':  # then come its class and the source code of the class
        return Opaque(identity[1].name)
    if identity[0] != 'storage' or len(identity) > 6:
        raise ValueError('a reference to something else than a storage')
    _, storage_class, key, _, _, *view = identity
    module, _, name = storage_class.name.rpartition('.')
    if module not in ('torch', 'torch.cuda') or not isinstance(key, str):
        return Opaque(storage_class.name)
    start = view[0][1] if view and view[0] is not None else 0  # the key, the start, the length
    if type(start) is not int or start < 0:
        raise ValueError('a storage that begins before its first element')
    return Storage(name, key, start)
