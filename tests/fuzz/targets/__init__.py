"""The readers under attack: per name its first files, its call and its documented errors."""
from tests.fuzz.targets import datasets, images, runs, weights
from tests.fuzz.targets.target import Target

TARGETS: dict[str, Target] = {**images.TARGETS, **datasets.TARGETS, **weights.TARGETS,
                              **runs.TARGETS}
