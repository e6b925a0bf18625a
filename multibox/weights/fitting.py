"""A comparison of arrays with the parameters of a network, by name and shape."""
import pathlib
import typing

from multibox.weights.values import check_values

import chainer
import numpy as np


class Fit(typing.NamedTuple):
    """The result of a comparison of arrays with a network.

    Attributes:
        matched: names of parameters with an array of the same shape.
        left_over: names of arrays without a parameter.
        missing: names of parameters without an array.
        misfits: list of (name, shape of the parameter, shape of the array) that differ.
    """

    matched: list
    left_over: list
    missing: list
    misfits: list

    @property
    def n_wanted(self) -> int:
        """Number of parameters of the network."""
        return len(self.matched) + len(self.missing) + len(self.misfits)

    def details(self) -> str:
        """List the misfits with both shapes, one per line, and then :meth:`summary`."""
        lines = [f'{name}: wanted {wanted}, found {found}' for name, wanted, found in self.misfits]
        return '\n'.join([*lines, self.summary()])

    def summary(self) -> str:
        """Three lines: the number of parameters that match, the links left over, those missing."""
        return (f'matched    {len(self.matched)} of {self.n_wanted} parameters\n'
                f'left over  {", ".join(links(self.left_over)) or "none"}\n'
                f'missing    {", ".join(links(self.missing)) or "none"}')


def fit(model: chainer.Link, arrays: dict[str, np.ndarray]) -> Fit:
    """Compare arrays with a network by name and shape.

    Args:
        model: a network of :func:`multibox.networks.make_detector`.
        arrays: {name: array}.

    Returns:
        :class:`Fit`. The running mean and variance of a normalisation count as parameters.
    """
    wanted = slots(model)
    matched = [name for name, slot in wanted.items()
               if name in arrays and arrays[name].shape == slot.shape]
    misfits = [(name, slot.shape, arrays[name].shape) for name, slot in wanted.items()
               if name in arrays and arrays[name].shape != slot.shape]
    return Fit(matched, [name for name in arrays if name not in wanted],
               [name for name in wanted if name not in arrays], misfits)


def fill(model: chainer.Link, arrays: dict[str, np.ndarray], path: str | pathlib.Path) -> Fit:
    """Copy every array whose name and shape fit into a network; see :func:`fit`.

    Args:
        model: the network, changed in place.
        arrays: {name: array}.
        path: the source of the arrays, for messages.

    Raises:
        UserError: :func:`multibox.weights.values.check_values` refuses an array that fits.
    """
    result, wanted = fit(model, arrays), slots(model)
    check_values(path, {name: arrays[name] for name in result.matched})
    for name in result.matched:
        wanted[name][...] = arrays[name]
    return result


def slots(model: chainer.Link) -> dict[str, np.ndarray]:
    """{name: array} of all that a file of weights can fill: parameters and running statistics."""
    parameters = {name.lstrip('/'): p.array for name, p in model.namedparams()}
    statistics = {f'{name}/{key}'.lstrip('/'): link.__dict__[key]
                  for name, link in model.namedlinks() for key in link._persistent
                  if isinstance(link.__dict__[key], np.ndarray)}
    return parameters | statistics


def links(names: list[str]) -> list[str]:
    """The names of the links that hold the named parameters, each once."""
    return list(dict.fromkeys(name.rsplit('/', 1)[0] for name in names))
