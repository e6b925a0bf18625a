"""Detections on a data set: the same from worker processes, and images that are lost."""
from multibox.data import VOCDataset, load_data
from multibox.errors import UserError
from multibox.evaluation import detect, precision_recall, score
from multibox.evaluation.extension import Evaluation
from multibox.networks import make_detector

import chainer
import numpy as np
import pytest


@pytest.fixture(scope='module')
def model():
    """An untrained network with few detections."""
    np.random.seed(0)
    model = make_detector('slim300', 6)
    for conv in model.multibox.conf:
        conv.W.array *= 0.1
        conv.b.array.reshape(-1, 7)[:, 0] = 5.5
    model.use_preset('evaluate')
    return model


@pytest.fixture
def test_set(data, tmp_path):
    """Three test images in a folder of their own."""
    examples = []
    for example in load_data(data).train.examples[:3]:
        path = tmp_path / example.path.name
        path.write_bytes(example.path.read_bytes())
        examples.append(example._replace(path=path))
    return VOCDataset(examples)


@pytest.mark.parametrize('batchsize', [1, 2, 3])
def test_images_of_worker_processes_give_the_detections_of_whole_images(
        model, test_set, batchsize):
    found = detect(model, test_set, batchsize)
    for start in range(0, 3, batchsize):  # a convolution may round by the number of images
        images = [test_set[i][0] for i in range(start, min(start + batchsize, 3))]
        for part, expected in zip(found, model.predict(images)):
            for ours, theirs in zip(part[start:], expected):
                np.testing.assert_array_equal(ours, theirs)
    assert sum(map(len, found[2])) > 0


def test_an_image_that_is_lost_is_named(model, test_set):
    test_set.paths[1].unlink()
    with pytest.raises(UserError, match=rf'{test_set.paths[1].name}: image file is missing'):
        detect(model, test_set)


@pytest.mark.parametrize('batchsize', [1, 3])
def test_an_image_that_is_lost_during_a_training_is_left_out_of_the_scores(
        model, test_set, batchsize, capsys):
    test_set.paths[1].unlink()
    found = detect(model, test_set, batchsize, strict=False)
    assert 'without it' in capsys.readouterr().err
    assert [len(part) for part in found] == [3] * 6
    assert len(found[2][1]) == 0 and found[5][1].all()
    others = VOCDataset([test_set.examples[i] for i in (0, 2)])
    names = tuple('abcdef')
    assert score(precision_recall(found, names)) == score(precision_recall(
        detect(model, others, batchsize), names))


def test_the_evaluation_of_a_training_goes_on_without_any_image(model, test_set):
    for path in test_set.paths:
        path.unlink()
    evaluation = Evaluation(model, test_set, tuple('abcdef'), 2)
    trainer = type('Trainer', (), {'updater': type('Updater', (), {'iteration': 1})})
    with chainer.Reporter().scope({}):
        evaluation(trainer)
    assert evaluation.result[1]['map'] is None


def test_a_lost_image_is_named_where_it_would_be_shown(test_set):
    assert test_set.picture(0).dtype == np.uint8
    test_set.paths[0].unlink()
    with pytest.raises(UserError, match=f'{test_set.paths[0].name}: image file is missing'):
        test_set.picture(0)
