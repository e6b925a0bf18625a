"""The chain that joins network and loss, the rules of the update, and what a run leaves behind."""
from multibox.training.chain import NonFiniteLoss, TrainChain
from multibox.training.coco import coco_score, import_pycocotools
from multibox.training.curves import plot_curves, plot_precision_recall
from multibox.training.detections import draw_boxes, draw_detections
from multibox.training.evaluation import detect, evaluate, precision_recall, score
from multibox.training.extensions import Evaluation, LearningRate
from multibox.training.interruption import Stop
from multibox.training.metrics import versions, write_metrics
from multibox.training.normalization import share_batch_statistics
from multibox.training.optimizer import OPTIMIZERS, make_optimizer, scaled_cuts
from multibox.training.precision import halve, use_precision
from multibox.training.processes import (
    COMMUNICATORS,
    check_same,
    check_split,
    ending_together,
    join_processes,
    local_device,
    make_multi_node,
    place,
)
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
from multibox.training.submission import write_submission
from multibox.training.transfer import Transfer

__all__ = ['COMMUNICATORS', 'OPTIMIZERS', 'Evaluation', 'LearningRate',
           'NonFiniteLoss', 'Progress', 'Stop', 'TrainChain', 'Transfer', 'check_same',
           'check_settings', 'check_split', 'coco_score', 'detect', 'draw_boxes',
           'draw_detections', 'ending_together', 'evaluate', 'find_snapshots', 'halve',
           'import_pycocotools', 'is_finite', 'join_processes', 'local_device', 'make_multi_node',
           'make_optimizer', 'place', 'plot_curves', 'plot_precision_recall', 'precision_recall',
           'read_settings', 'resume', 'save_settings', 'scaled_cuts', 'score',
           'share_batch_statistics', 'snapshot', 'use_precision', 'versions', 'write_metrics',
           'write_submission']
