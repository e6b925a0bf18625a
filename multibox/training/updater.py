"""The updater of a run. On a GPU, the whole update becomes one CUDA graph."""
from typing import Any

from multibox.engines import kernels
from multibox.engines.cuda_graph import Recorder
from multibox.training.transfer import Transfer
from multibox.typing import Array

import chainer
import numpy as np

WARM_UP = 3  # updates before the recording; they compile kernels and fill the pool of memory


class Updater(chainer.training.updaters.StandardUpdater):
    """Chainer's updater of one loader and one optimizer; on a GPU with :class:`GraphedUpdate`.

    Args:
        loader: the :class:`multibox.data.Loader` of the batches.
        optimizer: from :func:`multibox.training.make_multi_node`; its target is a
            :class:`multibox.training.TrainChain`.
        device: a ``chainer.backend.Device``.
        graph: whether the update becomes a CUDA graph on a GPU.

    Raises:
        ValueError: the device is a GPU, and the loader has no ``fields``.
    """

    def __init__(self, loader: Any, optimizer: Any, device: Any, graph: bool = True):
        on_gpu = device.xp is not np
        super().__init__(
            loader, optimizer, device=device,
            converter=Transfer(loader) if on_gpu else loader.arrays)
        self._graphed = GraphedUpdate(optimizer) if on_gpu and graph else None

    def update_core(self) -> None:
        """Update the network by the next batch."""
        if self._graphed is None:
            super().update_core()
            return
        loader, optimizer = self.get_iterator('main'), self.get_optimizer('main')
        self._graphed(*self.converter(next(loader), self.device))
        if loader.is_new_epoch:
            optimizer.new_epoch(auto=True)


class GraphedUpdate:
    """Forward pass, backward pass and update, recorded once and then launched as a whole.

    The first three updates run without a graph. After them, each batch is copied into the arrays
    that the graph reads. The graph reads the learning rate and the scale of the loss from the GPU,
    so they may change. For a batch of another shape, the update runs without the graph. If nothing
    can be recorded, every update does, and one line on stdout tells the reason.

    Args:
        optimizer: as for :class:`Updater`.
    """

    def __init__(self, optimizer: Any):
        self._optimizer, self._chain = optimizer, optimizer.target
        self._recorder: Any = None
        self._launch: Any = None
        self._n_before, self._is_off = 0, False

    def __call__(self, *arrays: Array) -> None:
        """Update the network by a batch.

        Args:
            arrays: contiguous arrays on the GPU, the arguments of the target of the optimizer:
                images (B, 3, H, W) float32, offsets (B, K, 4) float32 and labels (B, K) int32 for
                :class:`multibox.training.TrainChain`.
        """
        if self._is_off:
            self._update(*arrays)
        elif reason := self._obstacle():
            self._go_on_without(reason)
            self._update(*arrays)
        elif self._n_before < WARM_UP:
            self._recorder = self._recorder or Recorder()
            self._n_before += 1
            self._recorder.run(lambda: self._update(*arrays))
        elif self._launch is None:
            self._record(arrays)
        elif self._key(arrays) == self._recorded:
            self._replay(arrays)
        else:
            self._update(*arrays)

    @property
    def nbytes(self) -> int:
        """Bytes of memory of the graph and of the updates before it."""
        return self._recorder.nbytes if self._recorder else 0

    def _update(self, *arrays):
        self._optimizer.update(self._chain, *arrays)

    def _obstacle(self):
        """The reason why the update cannot be a graph, in words; None if it can."""
        if self._chain.processes.comm is not None:
            return 'the update exchanges gradients between processes, as under mpiexec'
        if chainer.is_debug():
            return "Chainer's debug mode reads arrays within the update"
        if not hasattr(self._optimizer, 'obstacle'):
            return f'{type(self._optimizer).__name__} computes its step on the host'
        return self._optimizer.obstacle()

    def _go_on_without(self, reason):
        self._is_off = True
        if self._recorder is not None:
            self._recorder.free()
        if self._chain.processes.is_first:
            print(f'training goes on without a CUDA graph, because {reason}', flush=True)

    def _key(self, arrays):
        """All that has to be as it was while the graph was recorded, except for contents."""
        return ([(array.shape, array.dtype) for array in arrays],
                [(kernels.address(parameter.array), parameter.update_rule.enabled)
                 for parameter in self._chain.params()])

    def _record(self, arrays):
        """Record an update and launch it; without success, update as before."""
        optimizer, chain = self._optimizer, self._chain
        self._inputs = [array.copy() for array in arrays]
        optimizer.prepare()
        unread, t = list(chain._unread), optimizer.t
        counted = [(each.update_rule, each.update_rule.t) for each in chain.params()]
        try:
            launch = self._recorder.record(lambda: self._update(*self._inputs))
        except Exception as error:
            chain._unread, optimizer.t = unread, t
            for rule, n in counted:
                rule.t = n
            self._go_on_without(f'the update cannot be recorded ({error})')
            self._update(*arrays)
            return
        # The host has counted this update, and the GPU has not done it yet.
        self._values, chain._unread = chain._unread[-1], unread
        self._launch, self._recorded = launch, self._key(arrays)
        self._finish()

    def _replay(self, arrays):
        self._optimizer.prepare()
        for own, array in zip(self._inputs, arrays):
            own[...] = array
        self._optimizer.count()
        self._finish()

    def _finish(self):
        self._launch()
        self._chain.report(self._values.copy())  # the next launch writes to the array itself
