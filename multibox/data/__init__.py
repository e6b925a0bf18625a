"""Data: folders of images and their checks, the built-in set, augmentation, the loader."""
from multibox.data.augmentation import AUGMENTATIONS, augment, seed_all
from multibox.data.load import describe, load_data
from multibox.data.loader import Loader
from multibox.data.ring import Batch
from multibox.data.sequence import TrainingSequence
from multibox.data.splits import SPLITS
from multibox.data.synthetic import drawn_set
from multibox.data.targets import MakeTargets
from multibox.data.voc import VOCDataset, relabel, voc2012_test

__all__ = ['AUGMENTATIONS', 'SPLITS', 'Batch', 'Loader', 'MakeTargets', 'TrainingSequence',
           'VOCDataset', 'augment', 'describe', 'drawn_set', 'load_data', 'relabel', 'seed_all',
           'voc2012_test']
