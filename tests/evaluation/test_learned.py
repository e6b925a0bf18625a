"""Signs of a network that has not learned, and networks that have none of them."""
import argparse
import json

from multibox.data import VOCDataset
from multibox.data.annotations import Example
from multibox.data.voc import VOCData
from multibox.evaluation.learned import LEAST_GAIN, PASSED, examine
from multibox.evaluation.signs import best_on_empty_images, constant_loss, final_loss, same_box
from multibox.losses import LOSSES

import numpy as np
import pytest

SIZE = 100, 200
NAMES = 'cat', 'dog'
FULL = [1, 2, 99, 198]


class Network:
    """Gives the same scores for every image."""
    threshold, insize = None, 30

    def __init__(self, *scores):
        self.scores = np.array(scores, 'f')

    def predict(self, imgs):
        n = len(self.scores)
        return ([np.zeros((n, 4), 'f')] * len(imgs), [np.zeros(n, 'i')] * len(imgs),
                [self.scores] * len(imgs))


def places(n, seed=0):
    """(n, 4) boxes at different places of an image."""
    corner = np.random.RandomState(seed).uniform(0, 50, (n, 2))
    return np.hstack([corner, corner + 40]).astype('f')


def one_each(bbox, label=0, score=0.9):
    """Lists of one box, one label and one score per image."""
    n = len(bbox)
    return [np.array([box], 'f') for box in bbox], [np.array([label], 'i')] * n, [
        np.array([score], 'f')] * n


def make_images(found, objects):
    bbox, label, _ = one_each(objects)
    return [*one_each(found), bbox, label, [np.zeros(1, bool)] * len(objects)]


def make_data(images, n_train=(3, 1)):
    examples = [Example(None, bbox, label, difficult, SIZE)
                for bbox, label, difficult in zip(*images[3:])]
    label = np.repeat(np.arange(len(n_train)), n_train)
    train = [Example(None, np.zeros((len(label), 4), 'f'), label, np.zeros(len(label), bool), SIZE)]
    return VOCData(VOCDataset(train), VOCDataset(examples), NAMES, [], [])


GOOD = make_images(places(8), places(8))


def write_log(folder, *losses):
    entries = [{'iteration': i, 'main/loss/conf': loss} for i, loss in enumerate(losses)]
    (folder / 'log').write_text(json.dumps(entries))
    return argparse.Namespace(out=folder, loss='chainercv', k=3.0, iteration=40, reuse=None,
                              pretrained='none')


def findings(images, network=None, threshold=0.5, run=None):
    return examine(network or Network(0.1), make_data(images), images, threshold, run).findings


@pytest.mark.parametrize('n_objects, k, expected', [
    ([7], 3, 2.249), ([7, 7], 3, 2.249 + np.log(2)), ([7, 0], 3, 2.249), ([7], 1, 2 * np.log(2)),
    ([7], 0, 0), ([0, 0], 3, None)])
def test_the_loss_of_a_constant_network_by_hand(n_objects, k, expected):
    assert constant_loss(np.array(n_objects), k) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize('name', ['caffe', 'chainercv', 'notebook', 'ssd_keras', 'ssd_pytorch'])
def test_a_formulation_gives_that_loss_for_constant_logits(name):
    labels = np.zeros((3, 400), int)
    labels[0, :12], labels[1, 5:9] = 1, 2  # the last image has no object
    share = np.array([3 / 4, 12 / 16 / 4, 4 / 16 / 4])
    logits = np.broadcast_to(np.log(share), (3, 400, 3)).astype('f')
    offsets = np.zeros((3, 400, 4), 'f')
    _, conf_loss = LOSSES[name].multibox_loss(offsets, logits, offsets, labels, k=3)
    assert float(conf_loss.array) == pytest.approx(constant_loss(np.array([12, 4]), 3), rel=1e-5)


def test_the_loss_of_a_run_is_the_mean_over_the_last_tenth(tmp_path):
    write_log(tmp_path, *range(20))
    assert final_loss(tmp_path) == 18.5


def test_a_run_without_a_log_has_no_loss(tmp_path):
    assert final_loss(tmp_path) is None


def test_the_empty_images_are_a_black_one_and_one_of_noise():
    seen = []
    network = Network(0.2, 0.3)
    network.predict = lambda imgs: seen.append(imgs) or Network.predict(network, imgs)
    assert best_on_empty_images(network) == pytest.approx((0.3, 0.3))
    (black, noise), = seen
    assert black.shape == noise.shape == (3, 30, 30) and not black.any()
    assert noise.min() < 5 and noise.max() > 250


def test_a_network_that_finds_nothing_in_empty_images_scores_0():
    assert best_on_empty_images(Network()) == (0, 0)


def test_boxes_are_compared_relative_to_their_images():
    images = make_images([[0, 0, 50, 50], [0, 0, 100, 100]], places(2))
    box = same_box(images, [(100, 100), (200, 200)])
    assert (box.label, box.n_image, box.share, box.true_share) == (0, 2, 1, 0)


def test_an_equal_box_of_another_class_is_another_box():
    images = make_images([FULL, FULL], [FULL, FULL])
    images[1] = [np.array([0], 'i'), np.array([1], 'i')]
    images[4] = [np.array([0], 'i'), np.array([1], 'i')]
    assert same_box(images, [SIZE] * 2)[1:] == (1, .5, .5)


def test_the_object_closest_to_the_box_is_compared():
    images = make_images([FULL], [FULL])
    images[3] = [np.array([[0, 0, 9, 9], FULL], 'f')]
    images[4] = [np.array([0, 0], 'i')]
    assert same_box(images, [SIZE]).true_share == 1


def test_of_many_images_a_part_is_compared(monkeypatch):
    monkeypatch.setattr('multibox.evaluation.signs.MAX_IMAGES', 4)
    images = make_images([FULL] * 9, places(9))
    assert same_box(images, [SIZE] * 9).n_image == 4


def test_without_a_detection_no_box_is_the_same():
    images = [[np.zeros((0, 4), 'f')], [np.zeros(0, 'i')], [np.zeros(0, 'f')], *GOOD[3:]]
    assert same_box([part[:1] for part in images], [SIZE]) is None


def test_a_good_run_is_not_accused(tmp_path):
    assert findings(GOOD, run=write_log(tmp_path, 5, 1.2)) == [PASSED]


def test_a_run_at_the_loss_of_a_constant_network_is_told(tmp_path):
    constant = constant_loss(np.array([3, 1]), 3)
    said, = findings(GOOD, run=write_log(tmp_path, constant))
    assert said.startswith('The confidence loss at the end of the run is 2.81.')
    assert 'reaches 2.81' in said and '--iteration' in said and '--model lite300' in said


def test_a_loss_clearly_below_that_of_a_constant_network_passes(tmp_path):
    loss = (1 - 1.1 * LEAST_GAIN) * constant_loss(np.array([3, 1]), 3)
    assert findings(GOOD, run=write_log(tmp_path, loss)) == [PASSED]


def test_a_formulation_with_another_divisor_has_no_loss_to_compare(tmp_path):
    run = write_log(tmp_path, 99)
    run.loss = 'super_gradients'
    result = examine(Network(), make_data(GOOD), GOOD, 0.5, run)
    assert result.findings == [PASSED] and result.conf_loss is result.constant_loss is None


def test_an_evaluation_has_no_loss():
    result = examine(Network(), make_data(GOOD), GOOD, 0.5)
    assert result.findings == [PASSED] and result.conf_loss is result.constant_loss is None


def test_a_network_that_finds_objects_in_empty_images_is_told():
    said, = findings(GOOD, Network(0.8))
    assert said.startswith('The best detection has a score of 0.80 in a black image and of 0.80 in '
                           'an image of noise, and detections count from 0.50 on')


def test_scores_slightly_above_the_threshold_pass():
    assert findings(GOOD, Network(0.51), threshold=0.5) == [PASSED]  # photographs: 0.9


def test_a_network_that_always_gives_the_same_box_is_told():
    said, *_ = findings(make_images([FULL] * 8, places(8)))
    assert said.startswith('In 100 % of the test images the best detection is one and the same '
                           'box, of the class cat. Such an object is in 0 % of the images')
    assert 'python -m multibox.data check' in said


def test_objects_that_always_fill_the_image_are_no_sign():
    assert findings(make_images([FULL] * 8, [FULL] * 8)) == [PASSED]


def test_few_images_agree_by_chance():
    said = findings(make_images([FULL] * 4, places(4)))
    assert not any('one and the same box' in each for each in said)


def test_a_run_without_a_right_detection_is_told():
    for threshold in None, 0.5:  # 0.5: the threshold of the weights, which are on other images now
        said, = findings(make_images([FULL] * 4, places(4)), threshold=threshold)
        assert said.startswith('No detection in the test images is right.')


def test_a_loss_on_the_test_images_that_rises_while_that_of_training_falls_is_told(tmp_path):
    def log(*losses):
        run = write_log(tmp_path, *[1] * len(losses))
        (tmp_path / 'log').write_text(json.dumps([
            {'iteration': 10 * i, 'main/loss/conf': 1, 'main/loss': 9 - i,
             'validation/main/loss': loss} for i, loss in enumerate(losses, start=1)]))
        return run
    said, = findings(GOOD, run=log(5, 4, 4.2, 4.3, 4.5))
    assert 'rose from 4.00 after iteration 20 to 4.50' in said and 'best.npz' in said
    assert findings(GOOD, run=log(5, 4, 4.2, 4.3, 4.3)) == [PASSED]


def test_without_test_images_the_other_signs_are_read(tmp_path):
    none = [[] for _ in GOOD]
    assert findings(none, threshold=None, run=write_log(tmp_path, 1)) == [PASSED]
    said, = findings(none, Network(0.8), None, write_log(tmp_path, 1))
    assert 'from 0.50 on' in said


@pytest.mark.parametrize('stored, threshold, expected', [
    (0.4, 0.4, (0.4, 'the threshold of the weights')),
    (None, 0.3, (0.3, 'the threshold of the best F1 on the test images')),
    (None, None, (0.5, 'the default, because no detection is right'))])
def test_the_origin_of_the_threshold_is_said(stored, threshold, expected):
    network = Network()
    network.threshold = stored
    result = examine(network, make_data(GOOD), GOOD, threshold)
    assert (result.threshold, result.threshold_from) == expected


def test_the_numbers_are_json():
    metrics = examine(Network(0.1), make_data(GOOD), GOOD, 0.5).metrics()
    written = json.loads(json.dumps(metrics))
    assert written['learning']['same_box']['n_image'] >= 1 and written['threshold'] == 0.5
    assert written['learning']['noise'] == pytest.approx(0.1)
    assert written['learning']['typical'] == pytest.approx(0.9)
