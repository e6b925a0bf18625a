"""The loss on the test images."""
import random
import types

from multibox.data import MakeTargets, load_data
from multibox.data.voc import VOCDataset
from multibox.losses import LOSSES
from multibox.networks import make_detector
from multibox.processes import OneProcess
from multibox.training import TrainChain, ValidationLoss

import chainer
import numpy as np
import pytest
from chainer.serializers import DictionarySerializer


@pytest.fixture(scope='module')
def parts(data):
    """A network with its loss, the drawn data, and the targets of the training."""
    np.random.seed(0)
    drawn = load_data(data)
    model = make_detector('slim300', len(drawn.label_names))
    targets = MakeTargets(model.coder, model.insize, model.mean)
    return TrainChain(model), drawn, targets


def observe(extension):
    reporter = chainer.Reporter()
    with reporter:
        extension(None)
    return reporter.observation


def make(parts, dataset=None, batchsize=2, difficult=False, processes=None):
    chain, drawn, targets = parts
    return ValidationLoss(chain, dataset or drawn.test, targets, difficult, batchsize,
                          processes or OneProcess())


def test_it_is_the_loss_of_the_resized_images(parts):
    chain, drawn, targets = parts
    examples = [targets.without_augmentation()(*drawn.test[i][:3]) for i in range(2)]
    with chainer.using_config('train', False):
        mb_locs, mb_confs = chain.model(np.stack([example[0] for example in examples]))
        loc, conf = LOSSES['chainercv'].multibox_loss(
            mb_locs, mb_confs, *(np.stack(column) for column in list(zip(*examples))[1:]), 3, None)
    observed = observe(make(parts))
    assert observed['validation/main/loss/loc'] == pytest.approx(float(loc.array), rel=1e-5)
    assert observed['validation/main/loss/conf'] == pytest.approx(float(conf.array), rel=1e-5)
    assert observed['validation/main/loss'] == pytest.approx(float((loc + conf).array), rel=1e-5)


def test_batches_are_weighted_by_their_images(parts):
    _, drawn, _ = parts
    three = VOCDataset(drawn.train.examples[:3])
    pair, last = (observe(make(parts, VOCDataset(part)))['validation/main/loss']
                  for part in (three.examples[:2], three.examples[2:]))
    loss = observe(make(parts, three))['validation/main/loss']
    assert loss == pytest.approx((2 * pair + last) / 3, rel=1e-6)


def test_two_processes_find_the_same_bits(parts):
    _, drawn, _ = parts
    shares = {}

    def take_part(rank):
        def all_gather(own):
            shares[rank] = own
            return [shares.get(n, []) for n in range(2)]
        return types.SimpleNamespace(rank=rank, size=2, all_gather=all_gather)
    three = VOCDataset(drawn.train.examples[:3])
    alone = observe(make(parts, three))
    observe(make(parts, three, processes=take_part(1)))
    assert observe(make(parts, three, processes=take_part(0))) == alone


@pytest.mark.parametrize('difficult', [False, True])
def test_difficult_objects_count_as_in_training(parts, difficult):
    _, drawn, _ = parts
    first = drawn.test.examples[0]
    hard = first._replace(difficult=np.ones(len(first.label), bool))
    found = make(parts, VOCDataset([hard]), difficult=difficult).dataset[0][2]
    assert len(found) == len(first.label) * difficult


def test_ignored_regions_are_neither_objects_nor_background(parts):
    _, drawn, _ = parts
    first = drawn.test.examples[0]
    ignored = first._replace(ignored=first.bbox[:1], bbox=first.bbox[1:], label=first.label[1:],
                             difficult=first.difficult[1:])
    extension = make(parts, VOCDataset([ignored]))
    _, _, mb_label = extension.targets(*extension.dataset[0][:3])
    assert (mb_label == -1).any()


def test_nothing_of_the_training_changes(parts):
    chain = parts[0]

    def state():
        serializer = DictionarySerializer()
        serializer.save(chain)
        return {**{name: array.copy() for name, array in serializer.target.items()},
                'numpy': np.random.get_state()[1].copy(), 'position': np.random.get_state()[2],
                'random': np.array(random.getstate()[1])}
    chain.cleargrads()
    before = state()
    observe(make(parts))
    after = state()
    assert before.keys() == after.keys() and len(before) > 60
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    assert all(parameter.grad is None for parameter in chain.params())


def test_without_test_images_nothing_is_reported(parts):
    chain, _, targets = parts
    assert observe(ValidationLoss(chain, VOCDataset([]), targets, False, 2)) == {}
