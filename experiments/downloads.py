"""The data sets of experiments/recipes/data.toml, and the archives that a folder lacks of them."""
from pathlib import Path

from experiments.recipe import read_toml


def default_folder(data: str) -> Path:
    """The folder of a data set if ``--data`` is not given."""
    return Path(_read(data)['folder'])


def missing(data: str, folder: Path, train: bool = True) -> str | None:
    """List the downloads that a folder lacks.

    Args:
        data: a data set of data.toml.
        folder: the folder of the data, or its parent.
        train: whether training images are needed besides the test images.

    Returns:
        A message to the user, or None if the data are complete.
    """
    data_set = _read(data)
    archives = [*(data_set['train'] if train else ()), *data_set['test']]
    lacking = min(([archive for archive in archives if not (place / archive['holds']).exists()]
                   for place in (folder, folder / data_set['folder'])), key=len)
    if not lacking:
        return None
    paths = ', '.join(archive['holds'] for archive in lacking)
    lines = '\n'.join('  {name}, {size}: {url}'.format_map(archive) for archive in lacking)
    return (f'{folder}: lacks {paths}. Download\n{lines}\n'
            f'unpack ({data_set["unpack"]}), and give the folder with --data.')


def _read(name):
    """A data set, with its archives in place of their names."""
    content = read_toml('data')
    data_set = {**content['defaults'], **content['sets'][name]}
    for part in 'train', 'test':
        data_set[part] = [content['archives'][archive] for archive in data_set[part]]
    return data_set
