"""Training with a formulation gives the loss and gradients of its published interface."""
import types

from multibox import multibox_loss
from multibox.boxes import Coder
from multibox.losses import LOSSES, caffe, notebook, ssd_keras, ssd_pytorch, super_gradients
from multibox.matching import to_center, to_corners
from multibox.training import NonFiniteLoss, TrainChain
from tests.support.loss_cases import FakeCommunicator

import chainer
import chainer.functions as F
import numpy as np
import pytest

B, K, C = 3, 40, 4


class Predictions(chainer.Chain):
    """Takes the place of a network. Its offsets and logits are parameters."""

    def __init__(self, rng):
        super().__init__()
        with self.init_scope():
            self.mb_locs = chainer.Parameter(rng.normal(size=(B, K, 4)).astype('f'))
            self.mb_confs = chainer.Parameter(rng.normal(size=(B, K, C)).astype('f'))

    def forward(self, imgs):
        return self.mb_locs, self.mb_confs


@pytest.fixture
def case():
    """A network, default boxes, and the objects of three images. The last image has none.

    Coordinates are in the order y, x.
    """
    rng = np.random.RandomState(2)
    default_bbox = np.hstack((rng.uniform(size=(K, 2)), rng.uniform(.1, .5, (K, 2)))).astype('f')
    objects = []
    for n in (3, 6, 0):
        bbox = to_corners(np.hstack((rng.uniform(size=(n, 2)), rng.uniform(.1, .5, (n, 2)))))
        objects.append((bbox.astype('f'), rng.randint(0, C - 1, n).astype('i')))
    return Predictions(rng), default_bbox, objects


def as_rows(objects):
    """Per image an (R, 5) array. A loss does not depend on the order of x and y."""
    return [np.hstack((bbox, label[:, None])).astype('f') for bbox, label in objects]


def by_matching_loss(loss, model, default_bbox, objects, k, alpha):
    loss_l, loss_c = loss((model.mb_locs, model.mb_confs, default_bbox), as_rows(objects))
    return loss_c + alpha * loss_l


def by_ssd_keras(model, default_bbox, objects, k, alpha):
    y_true = np.zeros((B, K, C + 12), 'f')
    for i, (bbox, label) in enumerate(objects):
        mb_loc, mb_label = Coder(default_bbox).encode(bbox, label)
        y_true[i, :, :C], y_true[i, :, C:C + 4] = np.eye(C)[mb_label], mb_loc
    probability = F.softmax(model.mb_confs, axis=2)
    y_pred = F.concat((probability, model.mb_locs, np.zeros((B, K, 8), 'f')), axis=2)
    return F.mean(ssd_keras.SSDLoss(k, alpha=alpha).compute_loss(y_true, y_pred))


def by_super_gradients(model, default_bbox, objects, k, alpha):
    rows = np.vstack([np.hstack((np.full((len(bbox), 1), i), label[:, None], to_center(bbox)))
                      for i, (bbox, label) in enumerate(objects)])
    predictions = (F.transpose(x, (0, 2, 1)) for x in (model.mb_locs, model.mb_confs))
    return super_gradients.SSDLoss(default_bbox, alpha, neg_pos_ratio=k)(
        tuple(predictions), rows.astype('f'))[0]


PUBLISHED = {
    'caffe': lambda *args: by_matching_loss(caffe.MultiBoxLoss(C, neg_pos_ratio=2), *args),
    'notebook': lambda *args: by_matching_loss(notebook.MultiBoxLoss(neg_pos=2), *args),
    'ssd_keras': by_ssd_keras,
    'ssd_pytorch': lambda *args: by_matching_loss(ssd_pytorch.MultiBoxLoss(C, neg_pos=2), *args),
    'super_gradients': by_super_gradients,
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_training_is_the_published_loss(case, name):
    model, default_bbox, objects = case
    match = LOSSES[name].match
    targets = zip(*(Coder(default_bbox).encode(*image, match=match) for image in objects))
    chain = TrainChain(model, k=2, alpha=.7, formulation=LOSSES[name])
    loss = chain(None, *map(np.stack, targets))
    loss.backward()
    gradients = [model.mb_locs.grad, model.mb_confs.grad]
    assert all(gradient.any() for gradient in gradients)
    model.cleargrads()
    expected = PUBLISHED[name](model, default_bbox, objects, 2, .7)
    expected.backward()
    np.testing.assert_allclose(loss.array, expected.array, rtol=1e-5)
    for gradient, parameter in zip(gradients, (model.mb_locs, model.mb_confs)):
        np.testing.assert_allclose(gradient, parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('term, name', [('loc', 'mb_locs'), ('conf', 'mb_confs')])
def test_a_term_that_is_not_finite_is_named(case, term, name):
    model = case[0]
    getattr(model, name).array[:] = np.nan
    labels = np.ones((B, K), 'i')
    with pytest.raises(NonFiniteLoss, match=f'the {term} loss is nan'):
        TrainChain(model)(None, np.zeros((B, K, 4), 'f'), labels)


def test_a_sum_that_is_not_finite_is_named(case):
    with pytest.raises(NonFiniteLoss, match='the total loss is inf'):
        TrainChain(case[0], alpha=np.inf)(None, np.zeros((B, K, 4), 'f'), np.ones((B, K), 'i'))


def test_terms_of_all_processes_are_reported(case):
    targets = np.zeros((B, K, 4), 'f'), (np.arange(B * K) % 9 == 0).reshape(B, K).astype('i')
    comm, reporter, seen = FakeCommunicator(6), chainer.Reporter(), {}
    chain = TrainChain(case[0], comm=comm)
    reporter.add_observer('main', chain)
    with reporter.scope(seen):
        chain(None, *targets)
    loc, conf = (term.array for term in multibox_loss(*case[0](None), *targets, k=3, comm=comm))
    terms = {'main/loss': loc + conf, 'main/loss/loc': loc, 'main/loss/conf': conf}
    assert seen == {name: pytest.approx((term + 6) / 2) for name, term in terms.items()}


@pytest.mark.parametrize('module, n_unread', [(np, 0), (types.SimpleNamespace(
    isfinite=np.isfinite), 3)], ids=['CPU', 'as on a GPU'])
def test_losses_are_read_at_once_on_a_cpu_and_later_on_a_gpu(case, monkeypatch, module, n_unread):
    monkeypatch.setattr('multibox.training.chain.np', module)
    chain = TrainChain(case[0])
    for _ in range(3):
        chain(None, np.zeros((B, K, 4), 'f'), np.ones((B, K), 'i'))
    assert len(chain._unread) == n_unread
    chain.check()
    assert chain._unread == []
