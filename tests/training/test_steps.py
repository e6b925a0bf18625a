"""The choice of the augmentation's steps and of the matching rule of a run."""
import json

import train
from multibox.data import AUGMENTATIONS, MakeTargets, augment, seed_all
from multibox.data.synthetic import draw_set
from multibox.matching import RULES

import numpy as np
import pytest
from chainercv import transforms

MEAN = np.array((123, 117, 104), 'f')[:, None, None]
BBOX = np.array([[5, 10, 40, 50], [20, 30, 55, 75]], 'f')


def photograph():
    return np.random.RandomState(0).uniform(0, 255, (3, 60, 80)).astype('f')


def augmented(name, seed):
    seed_all(seed)
    return augment(photograph(), BBOX, np.arange(2, dtype='i'), 40, MEAN, AUGMENTATIONS[name])


def test_flips_alone_leave_the_resized_image_or_its_mirror():
    plain = transforms.resize(photograph(), (40, 40))
    mirrored = set()
    for seed in range(8):
        img, bbox, label = augmented('flip', seed)
        mirrored.add(np.allclose(img, plain[:, :, ::-1], atol=1))
        assert mirrored <= {True, False} and (
            np.allclose(img, plain, atol=1) or np.allclose(img, plain[:, :, ::-1], atol=1))
        x_min = [5, 15] if np.allclose(img, plain, atol=1) else [15, 2.5]
        np.testing.assert_allclose(bbox[:, 1], x_min, rtol=1e-5)
        assert label.tolist() == [0, 1]
    assert mirrored == {True, False}


def share_of_mean_colour(img):
    return (abs(img - MEAN).max(axis=0) < 0.5).mean()


def test_without_expansion_no_image_lies_on_a_canvas():
    shares = {name: [share_of_mean_colour(augmented(name, seed)[0]) for seed in range(20)]
              for name in ('full', 'no-expansion')}
    assert max(shares['no-expansion']) < 0.05 < 0.3 < max(shares['full'])


def test_without_expansion_images_are_still_distorted_and_cropped():
    sizes = {tuple((bbox[0, 2:] - bbox[0, :2]).round(3)) for bbox in (
        augmented('no-expansion', seed)[1] for seed in range(20)) if len(bbox)}
    assert len(sizes) > 5
    means = [augmented('no-expansion', seed)[0].mean() for seed in range(20)]
    assert np.std(means) > 5 > np.std([augmented('flip', seed)[0].mean() for seed in range(20)])


def test_a_run_takes_the_augmentation_and_the_rule_it_is_given(tmp_path, monkeypatch):
    draw_set(tmp_path / 'set', n_train=2, n_test=1)
    made = []

    def make(*args, **steps):
        made.append((*args, *steps.values()))
        return MakeTargets(*args, **steps)
    monkeypatch.setattr(train, 'MakeTargets', make)
    train.main(['--data', str(tmp_path / 'set'), '--model', 'slim300', '--iteration', '1',
                '--batchsize', '2', '--loader-processes', '0', '--cuts', '--augmentation', 'flip',
                '--match', 'forced', '--out', str(tmp_path / 'out')])
    assert made[0][-2:] == (RULES['forced'], AUGMENTATIONS['flip'])
    settings = json.loads((tmp_path / 'out' / 'metrics.json').read_text())['settings']
    assert (settings['augmentation'], settings['match']) == ('flip', 'forced')


@pytest.mark.parametrize('flag', ['--augmentation=none', '--match=best', '--split=12'])
def test_a_name_that_does_not_exist_is_refused(flag):
    with pytest.raises(SystemExit):
        train.main([flag])


def test_targets_are_made_with_the_steps_given():
    class Coder:
        def encode(self, bbox, label, match):
            return bbox, label
    targets = MakeTargets(Coder(), 40, MEAN, steps=AUGMENTATIONS['flip'])
    seed_all(1)
    img, bbox, _ = targets(photograph(), BBOX, np.arange(2, dtype='i'))
    np.testing.assert_allclose(img + MEAN, augmented('flip', 1)[0], rtol=1e-5)
    assert len(bbox) == 2
