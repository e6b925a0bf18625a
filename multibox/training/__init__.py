"""The chain that joins network and loss, the rules of the update, and what a run leaves behind."""
from multibox.training.chain import NonFiniteLoss, TrainChain
from multibox.training.curves import plot_curves
from multibox.training.detections import draw_detections
from multibox.training.extensions import Evaluation, LearningRate
from multibox.training.metrics import evaluate, versions, write_metrics
from multibox.training.optimizer import OPTIMIZERS, make_optimizer, scaled_cuts
from multibox.training.progress import Progress
from multibox.training.snapshots import (
    check_settings,
    find_snapshots,
    is_finite,
    read_settings,
    resume,
    save_settings,
    snapshot,
)

__all__ = ['OPTIMIZERS', 'Evaluation', 'LearningRate', 'NonFiniteLoss', 'Progress', 'TrainChain',
           'check_settings', 'draw_detections', 'evaluate', 'find_snapshots', 'is_finite',
           'make_optimizer', 'plot_curves', 'read_settings', 'resume', 'save_settings',
           'scaled_cuts', 'snapshot', 'versions', 'write_metrics']
