"""Which arrays fit into which parameters of a network."""
import typing

import numpy as np


class Fit(typing.NamedTuple):
    """How given arrays and a network's parameters meet, by name."""

    matched: list  # names of parameters that an array of the same shape is given for
    left_over: list  # names of arrays the network has no place for
    missing: list  # names of parameters without an array
    misfits: list  # (name, shape wanted, shape found)

    @property
    def n_wanted(self):
        """Number of parameters of the network."""
        return len(self.matched) + len(self.missing) + len(self.misfits)

    def described(self):
        """The misfits with both shapes, a line each, and :meth:`table`."""
        lines = [f'{name}: wanted {wanted}, found {found}' for name, wanted, found in self.misfits]
        return '\n'.join([*lines, self.table()])

    def table(self):
        """Three lines; the left over and the missing by link."""
        return (f'matched    {len(self.matched)} of {self.n_wanted} parameters\n'
                f'left over  {", ".join(links(self.left_over)) or "none"}\n'
                f'missing    {", ".join(links(self.missing)) or "none"}')


def fit(model, arrays):
    """Compare arrays with a network by name and shape.

    Args:
        model: a network of :func:`make_detector`.
        arrays: {name: array}.

    Returns:
        :class:`Fit`; the running mean and variance of normalisations count as parameters.
    """
    wanted = slots(model)
    matched = [name for name, slot in wanted.items()
               if name in arrays and arrays[name].shape == slot.shape]
    misfits = [(name, slot.shape, arrays[name].shape) for name, slot in wanted.items()
               if name in arrays and arrays[name].shape != slot.shape]
    return Fit(matched, [name for name in arrays if name not in wanted],
               [name for name in wanted if name not in arrays], misfits)


def fill(model, arrays):
    """Copy into a network every array whose name and shape fit; returns the :class:`Fit`."""
    result, wanted = fit(model, arrays), slots(model)
    for name in result.matched:
        wanted[name][...] = arrays[name]
    return result


def slots(model):
    """{name: array} of what a file of weights may fill: parameters and running statistics."""
    parameters = {name.lstrip('/'): p.array for name, p in model.namedparams()}
    statistics = {f'{name}/{key}'.lstrip('/'): link.__dict__[key]
                  for name, link in model.namedlinks() for key in link._persistent
                  if isinstance(link.__dict__[key], np.ndarray)}
    return parameters | statistics


def links(names):
    """The links of parameters, each once."""
    return list(dict.fromkeys(name.rsplit('/', 1)[0] for name in names))
