"""Detections of a network on a data set, and their scores by the rules of VOC and COCO."""
from multibox.evaluation.coco import coco_score
from multibox.evaluation.detection import detect
from multibox.evaluation.extension import Evaluation
from multibox.evaluation.learned import Learning, examine
from multibox.evaluation.submission import SUBMISSION, write_submission
from multibox.evaluation.threshold import ThresholdCurve, threshold_curve
from multibox.evaluation.voc import evaluate, precision_recall, score

__all__ = ['SUBMISSION', 'Evaluation', 'Learning', 'ThresholdCurve', 'coco_score', 'detect',
           'evaluate', 'examine', 'precision_recall', 'score', 'threshold_curve',
           'write_submission']
