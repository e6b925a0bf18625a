"""Training: network and loss, optimizers, precision, best weights, snapshots, signals, settings."""
from multibox.training.best import Best
from multibox.training.chain import NonFiniteLoss, TrainChain
from multibox.training.estimate import expected_time
from multibox.training.learning_rate import LearningRate, scaled_cuts
from multibox.training.log import Log
from multibox.training.loop import check, run
from multibox.training.normalization import share_batch_statistics
from multibox.training.optimizers import OPTIMIZERS, make_multi_node, make_optimizer
from multibox.training.precision import halve
from multibox.training.progress import Progress
from multibox.training.results import Results, without_ending
from multibox.training.schedule import Every
from multibox.training.snapshots import (
    check_settings,
    find_snapshots,
    is_finite,
    read_settings,
    resume,
    save_settings,
    snapshot,
)
from multibox.training.stop import Stop
from multibox.training.transfer import Transfer
from multibox.training.updater import Updater
from multibox.training.validation import ValidationLoss

__all__ = ['OPTIMIZERS', 'Best', 'Every', 'LearningRate', 'Log', 'NonFiniteLoss', 'Progress',
           'Results', 'Stop', 'TrainChain', 'Transfer', 'Updater', 'ValidationLoss', 'check',
           'check_settings', 'expected_time',
           'find_snapshots', 'halve', 'is_finite', 'make_multi_node', 'make_optimizer',
           'read_settings', 'resume', 'run', 'save_settings', 'scaled_cuts',
           'share_batch_statistics', 'snapshot', 'without_ending']
