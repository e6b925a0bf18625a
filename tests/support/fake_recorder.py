"""A stand-in for ``multibox.engines.cuda_graph.Recorder``, with NumPy arrays in place of the GPU's.

A recording leaves all arrays as they were. A launch repeats the work with what a graph has: the
contents of the arrays, but no attribute of the host. It changes nothing on the host either.
"""
import contextlib

from multibox.engines.updates import gpu as updates

import numpy as np
import pytest


class Recorder:
    """Records the update of one optimizer. ``done`` lists its calls."""

    def __init__(self, optimizer):
        self.optimizer, self.done = optimizer, []

    def run(self, work):
        self.done.append('run')
        work()

    def free(self):
        self.done.append('free')

    def record(self, work):
        self.done.append('record')
        with self._arrays_stay():
            work()
        *_, values = self.optimizer.target._unread
        return lambda: self._launch(work, values)

    def _launch(self, work, values):
        self.done.append('launch')
        optimizer, chain = self.optimizer, self.optimizer.target
        rates = optimizer._rates
        counted = [(rule, rule.t) for rule in (each.update_rule for each in chain.params())]
        unread, t = list(chain._unread), optimizer.t
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(updates, 'write_rates', lambda optimizer: rates)
            if optimizer._scale is not None:
                patch.setattr(type(optimizer), '_loss_scale', np.nan)
            for holder in (optimizer, *(rule for rule, _ in counted)):
                for name, value in list(vars(holder.hyperparam).items()):
                    if type(value) is float:
                        patch.setattr(holder.hyperparam, name, np.nan)
            work()
        values[...] = chain._unread[-1]
        chain._unread, optimizer.t = unread, t
        for rule, n in counted:
            rule.t = n

    @contextlib.contextmanager
    def _arrays_stay(self):
        optimizer = self.optimizer
        arrays = [optimizer._rates.table]
        for parameter in optimizer.target.params():
            rule = parameter.update_rule
            arrays += [parameter.array, *(rule.state or {}).values()]
            if rule._fp32_param is not None:
                arrays.append(rule._fp32_param.array)
        if optimizer._scale is not None:
            arrays += [optimizer._scale.state, optimizer._scale.overflowed]
        before = [array.copy() for array in arrays]
        try:
            yield
        finally:
            for array, contents in zip(arrays, before):
                array[...] = contents
