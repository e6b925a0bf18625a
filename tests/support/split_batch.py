"""Compare every process's share of a batch with the whole batch on one process, under mpiexec.

Usage: split_batch.py [FAULT]. With a fault in the communicator the program must fail.
"""
import sys

from multibox.evaluation import evaluate
from multibox.losses import LOSSES
from multibox.processes import as_processes
from multibox.training import make_multi_node
from multibox.training.normalization import SharedBatchNormalization, share_batch_statistics

import chainer
import chainer.functions as F
import chainermn
import numpy as np

B, K, C = 12, 60, 5


class Faulty:
    """A communicator with a wrong sum.

    'not summed' multiplies the process's own value by the number of processes. 'not divided'
    multiplies the sum by that number.
    """

    def __init__(self, comm, fault):
        self.comm, self.fault = comm, fault

    def __getattr__(self, name):
        return getattr(self.comm, name)

    def allreduce(self, x):
        return self.comm.size * (x if self.fault == 'not summed' else self.comm.allreduce(x))


def make_case(name):
    rng = np.random.RandomState(0)
    mb_locs, mb_confs, gt_mb_locs = (rng.normal(size=(B, K, n)).astype('f') for n in (4, C, 4))
    p_positive = np.full((B, 1), .1)
    if name == 'processes without positives':
        p_positive[:B // 2] = 0
    elif name == 'no positive anywhere':
        p_positive[:] = 0
    elif name == 'very uneven':
        p_positive[:9], p_positive[9:] = .01, .8
    elif name == 'ties':
        mb_confs = np.round(mb_confs)
    elif name == 'far maximum':
        mb_confs[0, 0] = 300
    labels = np.where(rng.uniform(size=(B, K)) < p_positive, rng.randint(1, C, (B, K)), 0)
    return mb_locs, mb_confs, gt_mb_locs, labels.astype('i')


def terms_and_gradients(loss, case, part, comm=None):
    mb_locs, mb_confs, gt_mb_locs, gt_mb_labels = (x[part] for x in case)
    mb_locs, mb_confs = chainer.Variable(mb_locs), chainer.Variable(mb_confs)
    terms = loss.multibox_loss(mb_locs, mb_confs, gt_mb_locs, gt_mb_labels, 3, comm=comm)
    total = loss.weigh(*terms)  # the loss that trains
    total.backward()
    parts = [loss.weigh(terms[0], 0), loss.weigh(0, terms[1]), total]
    return np.array([part.array for part in parts]), mb_locs.grad, mb_confs.grad


def check_losses(comm, own):
    for case_name in ('even', 'processes without positives', 'no positive anywhere', 'very uneven',
                      'ties', 'far maximum'):
        case = make_case(case_name)
        for name, loss in LOSSES.items():
            whole = terms_and_gradients(loss, case, slice(None))
            terms, *gradients = terms_and_gradients(loss, case, own, comm)
            terms = comm.mpi_comm.allreduce(terms) / comm.size
            message = f'{name}, {case_name}'
            np.testing.assert_allclose(terms, whole[0], rtol=1e-5, err_msg=message)
            for gradient, expected in zip(gradients, whole[1:]):
                np.testing.assert_allclose(gradient / comm.size, expected[own], rtol=1e-5,
                                           atol=1e-7, err_msg=message)


def check_batch_normalisation(comm, own):
    # The mean is far from 0, where a naive formula of the variance loses its digits.
    images = np.random.RandomState(1).normal(50, 3, (B, 2, 3, 3)).astype('f')
    gy = np.random.RandomState(2).normal(size=images.shape).astype('f')
    shared = chainer.Sequential(chainer.Chain())
    with shared[0].init_scope():
        shared[0].bn = chainer.links.BatchNormalization(2)
    whole = chainer.links.BatchNormalization(2)
    share_batch_statistics(shared, as_processes(comm))
    assert isinstance(shared[0].bn, SharedBatchNormalization)
    results = []
    for bn, part in ((shared[0].bn, own), (whole, slice(None))):
        x = chainer.Variable(images[part])
        y = bn(x)
        F.sum(y * gy[part]).backward()
        results.append([y.array, x.grad, bn.gamma.grad, bn.beta.grad, bn.avg_mean, bn.avg_var])
    (y, gx, *ours), (whole_y, whole_gx, *expected) = results
    np.testing.assert_allclose(y, whole_y[own], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gx, whole_gx[own], rtol=1e-4, atol=1e-4)
    ours[:2] = (comm.size * gradient for gradient in ours[:2])
    for one, other in zip(ours, expected):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    with chainer.using_config('train', False):
        np.testing.assert_allclose(shared[0].bn(images[own]).array, whole(images[own]).array,
                                   rtol=1e-4, atol=1e-4)


def check_first_update(comm):
    """All processes begin with the first one's weights and take the mean gradient."""
    model = chainer.links.Linear(2, 1, initialW=comm.rank + 1, initial_bias=0)
    optimizer = make_multi_node(
        chainer.optimizers.SGD(lr=1).setup(model), as_processes(comm))
    np.testing.assert_array_equal(model.W.array, [[1, 1]])
    x = np.full((1, 2), comm.rank, 'f')
    optimizer.update(lambda: F.sum(model(x)))
    np.testing.assert_allclose(model.W.array, np.full((1, 2), 1 - (comm.size - 1) / 2))


def check_shares_without_images(comm):
    """A process without images takes part in every exchange."""
    case = make_case('even')
    part = slice(None) if comm.rank == 0 else slice(0, 0)
    for name in ('chainercv', 'ssd_pytorch', 'ssd_keras', 'notebook', 'caffe'):
        whole, *_ = terms_and_gradients(LOSSES[name], case, slice(None))
        terms, *_ = terms_and_gradients(LOSSES[name], case, part, comm)
        terms = comm.mpi_comm.allreduce(terms) / comm.size
        np.testing.assert_allclose(terms, whole, rtol=1e-5, err_msg=name)


class ByNumber:
    """Predicts one box, class and score that follow from the value of the image's pixels."""

    def predict(self, imgs):
        ns = [int(img[0, 0, 0]) for img in imgs]
        return ([np.array([[n, n, n + 9, n + 9]], 'f') for n in ns],
                [np.array([n % 2], 'i') for n in ns], [np.array([1 / (n + 1)], 'f') for n in ns])


def check_evaluation(comm):
    for n_image in (2, 7):
        dataset = [(np.full((3, 4, 4), n, 'f'), np.array([[n, n, n + 9 - n % 3 * 4, n + 9]], 'f'),
                    np.array([n % 2], 'i'), np.array([False])) for n in range(n_image)]
        expected, _ = evaluate(ByNumber(), dataset, ['even', 'odd'], batchsize=2)
        result, _ = evaluate(ByNumber(), dataset, ['even', 'odd'], batchsize=2,
                             processes=as_processes(comm))
        assert result == expected
        assert expected['map'] > 0


def main():
    comm = chainermn.create_communicator('naive')
    fault = sys.argv[1] if len(sys.argv) > 1 else None
    share = B // comm.size
    own = slice(comm.rank * share, (comm.rank + 1) * share)
    check_losses(Faulty(comm, fault) if fault else comm, own)
    check_batch_normalisation(comm, own)
    check_evaluation(comm)
    check_first_update(comm)
    check_shares_without_images(comm)


if __name__ == '__main__':
    main()
