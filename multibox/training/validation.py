"""The loss on the test images: without augmentation, gradients or any trace in the training."""
import contextlib
from typing import Any

from multibox.data.targets import MakeTargets
from multibox.data.voc import VOCDataset, without_difficult
from multibox.errors import UserError
from multibox.processes import ONE, OneProcess
from multibox.training.chain import TrainChain

import chainer
import numpy as np
from chainer.backends import cuda

MAX_BATCH = 32  # images in a batch of one process; a batch that several GPUs share may be larger
TERMS = 'loss/loc', 'loss/conf', 'loss'


class ValidationLoss(chainer.training.Extension):
    """Trainer extension: report ``validation/main/loss`` and its terms on the test images.

    Images are resized and matched as in training. The loss is the mean over whole batches, weighted
    by their images. Each batch is computed by one process, so the mean does not depend on the
    number of processes. Neither weights, statistics nor random generators change. Without test
    images nothing is reported. An image that can no longer be read is left out.

    Args:
        chain: the network with its loss.
        dataset: the test images, a :class:`multibox.data.VOCDataset`.
        targets: the augmentation and matching of the training.
        difficult: whether objects marked difficult count, as in training.
        batchsize: images per batch, at most :data:`MAX_BATCH` of which are used.
        processes: the processes that share the batches.
    """

    priority = chainer.training.PRIORITY_WRITER

    def __init__(self, chain: TrainChain, dataset: VOCDataset, targets: MakeTargets,
                 difficult: bool, batchsize: int, processes: OneProcess = ONE):
        examples = dataset.examples if difficult else map(without_difficult, dataset.examples)
        self.dataset = VOCDataset(list(examples)).as_decoded()
        self.chain, self.targets = chain, targets.without_augmentation()
        self.batchsize, self.processes = min(batchsize, MAX_BATCH), processes

    def __call__(self, trainer: Any) -> None:
        starts = range(0, len(self.dataset), self.batchsize)
        if not starts:
            return
        own = [(start, *self._sums(start)) for start in starts[self.processes.rank::
                                                               self.processes.size]]
        batches = sorted(batch for share in self.processes.all_gather(own) for batch in share)
        _, n, *sums = np.sum(batches, axis=0)
        if not n:
            return
        chainer.report({f'validation/main/{term}': value / n
                        for term, value in zip(TERMS, sums)})

    def _sums(self, start):
        """The number of images in the batch that begins at an image, and its terms times that."""
        examples = []
        for i in range(start, min(start + self.batchsize, len(self.dataset))):
            with contextlib.suppress(UserError):  # the evaluation names an image that is lost
                examples.append(self.targets(*self.dataset[i][:3]))
        if not examples:
            return [0] * (1 + len(TERMS))
        with chainer.using_config('train', False), chainer.no_backprop_mode():
            terms = self.chain.terms(
                *chainer.dataset.concat_examples(examples, self.chain.device))
        return [len(examples), *(len(examples) * float(cuda.to_cpu(term.array)) for term in terms)]
