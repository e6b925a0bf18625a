"""The learning rate of a run, and that of a trunk, which has its own."""
import types

from multibox.training import LearningRate, make_optimizer

import chainer
import pytest


@pytest.mark.parametrize('name, attribute', [('adam', 'alpha'), ('momentum_sgd', 'lr')])
def test_the_trunk_learns_with_its_share_of_the_scheduled_rate(name, attribute):
    link = chainer.Sequential(chainer.links.Linear(2, 2), chainer.links.Linear(2, 2))
    optimizer = make_optimizer(name, link, 1e-2, weight_decay=0)
    schedule = LearningRate(attribute, 1e-2, cuts=[10], warmup=0, trunk=link[0], trunk_lr=0.1)
    for iteration, rate in (0, 1e-2), (10, 1e-3):
        updater = types.SimpleNamespace(iteration=iteration, get_optimizer=lambda _: optimizer)
        schedule.initialize(types.SimpleNamespace(updater=updater))
        rates = [getattr(part.W.update_rule.hyperparam, attribute) for part in link]
        assert rates == pytest.approx([0.1 * rate, rate])
