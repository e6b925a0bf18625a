"""VOC folders and their checks, the built-in drawn set, the paper's augmentation, the loader."""
from multibox.data.augmentation import augment, seed_all
from multibox.data.drawn import drawn_set
from multibox.data.loader import Loader
from multibox.data.sequence import TrainingSequence
from multibox.data.targets import MakeTargets
from multibox.data.voc import VOCDataset, load_voc, relabel

__all__ = ['Loader', 'MakeTargets', 'TrainingSequence', 'VOCDataset', 'augment', 'drawn_set',
           'load_voc', 'relabel', 'seed_all']
