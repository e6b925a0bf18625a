"""The choice of the engine for convolutions, and of the precision in which cuDNN multiplies."""
import warnings
from typing import Any, NamedTuple

from multibox.engines import bfloat16
from multibox.engines.convolution import dnnl
from multibox.engines.convolution.blas import BLAS
from multibox.engines.convolution.cudnn import PRECISIONS, CuDNN
from multibox.engines.convolution.onednn import OneDNN
from multibox.errors import UserError

from chainer.backends import cuda

_BLAS = BLAS()
# Engines by name, tried in order; Chainer computes the convolutions that none of them covers.
ENGINES: dict[str, tuple] = {
    'onednn': (OneDNN(), _BLAS), 'onednn-bf16': (OneDNN(dnnl.BFLOAT16), _BLAS), 'blas': (_BLAS,),
    'cudnn': (CuDNN(), _BLAS), 'chainer': ()}


class Choice(NamedTuple):
    """The engines to try under a name, and their precision; see :func:`choose`.

    Attributes:
        name: a key of :data:`ENGINES`.
        engines: the engines to try, in order.
        precision: one of :data:`PRECISIONS`.
    """
    name: str
    engines: tuple
    precision: str = 'float32'

    def engine_for(self, arrays: Any) -> Any:
        """The first engine that covers the arrays, or None."""
        return next((engine for engine in self.engines if engine.covers(arrays)), None)


def choose(name: str | None = None, precision: str = 'float32',
           words: tuple[str, str] = ('--conv', '--precision')) -> Choice:
    """Check a choice of engine and precision.

    Args:
        name: a key of :data:`ENGINES`. None means the fastest engine that this machine has, for
            arrays on the CPU and on the GPU.
        precision: one of :data:`PRECISIONS`, in which ``cudnn`` multiplies float32 arrays; see
            :class:`multibox.engines.convolution.cudnn.CuDNN`. The other engines have neither
            'tf32' nor 'bfloat16'.
        words: what the messages call the two arguments: by default the flags of the programs.

    Returns:
        :class:`Choice`.

    Raises:
        UserError: there is no such engine or precision, this machine cannot use the engine, or the
            engine does not have the precision.
    """
    conv, in_precision = words
    for option, value, known in ((conv, name, ENGINES), (in_precision, precision, PRECISIONS)):
        if value is not None and (not isinstance(value, str) or value not in known):
            raise UserError(f'{option} {value}: unknown; choose from {", ".join(known)}')
    if name is None:
        cudnn = () if CuDNN().missing() else (CuDNN(precision),)
        return Choice(fastest(), cudnn + ENGINES[fastest()], precision)
    engines = tuple(CuDNN(precision) if isinstance(engine, CuDNN) else engine
                    for engine in ENGINES[name])
    for engine in engines:
        if engine.missing():
            raise UserError(f'{conv} {name}: {engine.missing()}; use {conv} '
                            f'{"chainer" if isinstance(engine, CuDNN) else "blas"}')
    if precision in ('tf32', 'bfloat16') and name != 'cudnn':
        raise UserError(f'{in_precision} {precision}: {conv} {name} does not compute in it; use '
                        f'{conv} cudnn')
    if precision == 'bfloat16' and bfloat16.missing():
        raise UserError(f'{in_precision} {precision}: {bfloat16.missing()}')
    return Choice(name, engines, precision)


def fastest(gpu: bool = False) -> str:
    """Name the fastest engine of this machine that computes in float32.

    Args:
        gpu: True for CuPy arrays, False for NumPy arrays.

    Returns:
        A key of :data:`ENGINES`. On a GPU without cuDNN, a warning names the missing package.
    """
    engine, slower = ('cudnn', 'chainer') if gpu else ('onednn', 'blas')
    missing = ENGINES[engine][0].missing()
    if missing and gpu and cuda.available:  # without a GPU, select_device reports it
        warnings.warn(f"Chainer's slower convolutions are used: {missing}", stacklevel=2)
    return slower if missing else engine


contexts: dict[object, Choice] = {}  # of :func:`multibox.engines.using`, the newest last
_program: Choice | None = None  # of :func:`multibox.engines.set_up`


def current() -> Choice:
    """The choice of the newest context, else of the program, else the fastest engines."""
    global _program
    if contexts:
        return next(reversed(contexts.values()))
    if _program is None:
        _program = choose()
    return _program


def choose_for_program(name: str, precision: str) -> None:
    """Make a choice that holds outside of contexts; arguments and errors as :func:`choose`."""
    global _program
    _program = choose(name, precision)
