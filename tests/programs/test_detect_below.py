"""detect.py tells the best detection below the threshold."""
import json

import detect
from detect import BestBelow
from multibox.boxes import Coder
from tests.support.detecting import Detector, run

import numpy as np
import pytest


class Coded(Detector):
    """Its scores are those of one default box per class, which pass through a real coder."""

    def __init__(self, *scores):
        n = len(scores)
        self.coder = Coder(np.tile([15., 15, 10, 10], (n, 1)))
        self.logits = np.full((n, n + 1), -99, 'f')
        self.logits[:, 0] = np.log1p(-np.array(scores))
        self.logits[range(n), range(1, n + 1)] = np.log(scores)

    def predict(self, imgs):
        found = self.coder.decode_batch(np.zeros((1, len(self.logits), 4), 'f'),
                                        self.logits[None], self.nms_thresh, self.score_thresh)
        return [part * len(imgs) for part in found]


@pytest.mark.parametrize('scores, line', [
    ((.2, .33), 'nothing from 0.41 on; the best below is dog 0.33'), ((.009, .001), 'nothing'),
    ((.5, .33), 'cat 0.50')], ids=['below', 'none', 'above'])
def test_an_image_without_a_detection_is_told_with_the_best_below(
        photos, tmp_path, monkeypatch, capsys, scores, line):
    monkeypatch.setattr(detect, 'load_model', lambda path: (Coded(*scores), '', ('cat', 'dog')))
    (tmp_path / 'model.npz').touch()
    monkeypatch.chdir(tmp_path)
    run(photos / 'b.jpg', '--out', tmp_path / 'out', '--score', '.41')
    assert capsys.readouterr().out.startswith(f'{photos / "b.jpg"}: {line}\n')
    result = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert result['images'][0]['label'] == (['cat'] if line.startswith('cat') else [])


def decoded(coder, seed, score_thresh):
    rng = np.random.RandomState(seed)
    mb_loc = rng.normal(size=(len(coder.default_bbox), 4)).astype('f')
    mb_conf = rng.normal(scale=3, size=(len(coder.default_bbox), 4)).astype('f').round()
    found = BestBelow(coder).decode_batch(mb_loc[None], mb_conf[None], .45, score_thresh)
    return [part[0] for part in found], [
        coder.decode(mb_loc, mb_conf, .45, least) for least in (score_thresh, .01)]


@pytest.fixture(scope='module')
def coder():
    return Coder(np.random.RandomState(0).uniform([0, 0, 30, 30], [99, 99, 80, 80], (300, 4)))


@pytest.mark.parametrize('seed', range(3))
def test_detections_are_those_that_predict_gives_at_the_threshold(coder, seed):
    found, (expected, _) = decoded(coder, seed, score_thresh=.6)
    assert len(found[2])
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_best_below_is_the_best_of_all_detections(coder):
    (bbox, label, score), (none, every) = decoded(coder, 0, score_thresh=1.1)
    assert len(none[2]) == 0 and len(score) == 1 and score == every[2].max()
    best = np.flatnonzero(every[2] == score)
    assert bbox[0].tolist() in every[0][best].tolist() and label[0] in every[1][best]


def test_images_of_a_batch_get_their_own_best_below(coder):
    rng = np.random.RandomState(0)
    mb_locs, mb_confs = (rng.normal(size=(3, 300, 4)).astype('f') for _ in range(2))
    mb_confs[1, 7, 2] += 9  # the only image with a detection
    bboxes, _, scores = BestBelow(coder).decode_batch(mb_locs, mb_confs, .45, .97)
    assert [len(bbox) for bbox in bboxes] == [1, 1, 1]
    assert max(scores[0], scores[2]) < .97 < scores[1]
    for i in range(3):
        score = coder.decode(mb_locs[i], mb_confs[i], None, .01)[2]
        assert scores[i] == score.max()
