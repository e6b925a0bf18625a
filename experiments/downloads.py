"""The data sets of experiments/recipes/data.toml, and the archives that a folder lacks of them."""
from pathlib import Path

from experiments.fetch import check, check_room, fetch
from experiments.recipe import Recipe, read_toml
from experiments.unpack import unpack
from multibox.errors import UserError


def default_folder(data: str) -> Path:
    """The folder of a data set if ``--data`` is not given."""
    return Path(_read(data)['folder'])


def lacking(data: str, folder: Path, train: bool = True) -> tuple[Path, list[dict]]:
    """Find the archives that a folder lacks.

    Args:
        data: a data set of data.toml.
        folder: the folder of the data, or its parent.
        train: whether training images are needed besides the test images.

    Returns:
        The folder to unpack into, and the archives as in data.toml.
    """
    data_set = _read(data)
    archives = [*(data_set['train'] if train else ()), *data_set['test']]
    return min(((place, [archive for archive in archives if not _unpacked(place, archive)])
                for place in (folder, folder / data_set['folder'])), key=lambda pair: len(pair[1]))


def missing(data: str, folder: Path, train: bool = True) -> str | None:
    """List the downloads that a folder lacks.

    Args:
        data: a data set of data.toml.
        folder: the folder of the data, or its parent.
        train: whether training images are needed besides the test images.

    Returns:
        A message to the user, or None if the data are complete.
    """
    _, archives = lacking(data, folder, train)
    if not archives:
        return None
    paths = ', '.join(archive['holds'] for archive in archives)
    lines = '\n'.join(f'  {describe(archive)}' for archive in archives)
    return (f'{folder}: lacks {paths}. Download\n{lines}\n'
            f'unpack ({_read(data)["unpack"]}), and give the folder with --data. With '
            '--download, the command downloads and unpacks them itself.')


def download(data: str, folder: Path, train: bool = True, mirror: str | None = None) -> None:
    """Download, check and unpack the archives that a folder lacks.

    An archive under its own name in the folder is used and kept. A downloaded archive has the
    suffix .part and is removed after it was unpacked.

    Args:
        data: a data set of data.toml.
        folder: the folder of the data, or its parent.
        train: whether training images are needed besides the test images.
        mirror: an address to which the names of the archives are appended; None means the
            addresses of data.toml.

    Raises:
        UserError: an archive cannot be downloaded, has another size or MD5, or cannot be unpacked,
            or the disk is too small.
    """
    place, archives = lacking(data, folder, train)
    absent = [archive for archive in archives if not (place / archive['name']).exists()]
    for archive in absent:
        if mirror is None and archive.get('account'):
            raise UserError(f'{archive["url"]}: {archive["name"]} needs an account; download it '
                            f'with a browser into {place}, or give another server with --mirror '
                            'URL, then again')
    # An archive is removed before the next one is downloaded.
    sizes = [archive.get('bytes', 0) for archive in archives]
    fetched = max((archive.get('bytes', 0) for archive in absent), default=0)
    check_room(place, sum(sizes) + fetched, 'archives and their files')
    try:
        place.mkdir(parents=True, exist_ok=True)
        for archive in archives:
            path = place / archive['name']
            if archive in absent:
                path = path.with_name(f'{path.name}.part')
                _fetch(archive, path, mirror)
            elif fault := check(path, archive.get('bytes'), archive.get('md5')):
                raise UserError(f'{path}: {fault}; remove it, and the same command downloads it')
            _unpack(archive, path, place)
            if archive in absent:
                path.unlink()
    except OSError as error:
        raise UserError(f'{place}: cannot be written ({error.strerror}); give another folder with '
                        '--data') from None


def download_weights(weights: dict, path: Path, mirror: str | None = None) -> None:
    """Download a file of published weights.

    Args:
        weights: from :func:`find_weights`.
        path: the file to write; it has the suffix .part until it is complete.
        mirror: as for :func:`download`.

    Raises:
        UserError: the file cannot be downloaded or written.
    """
    part = path.with_name(f'{path.name}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fetch(weights, part, mirror)
        part.replace(path)
    except OSError as error:
        raise UserError(f'{path}: cannot be written ({error.strerror}); give the path in another '
                        'folder with --weights') from None


def find_weights(recipe: Recipe, wanted: Path) -> tuple[dict, Path]:
    """Find published weights by their owner or by the name of their file.

    Args:
        recipe: the recipe.
        wanted: the owner, or a path that ends in the name of the file.

    Returns:
        The name, size and url for :func:`download_weights`, and the path of the file.

    Raises:
        UserError: no weights or several fit, or their address is a page and not a file.
    """
    files = {each.url.rpartition('/')[2]: each for each in recipe.published}
    owned = [name for name, each in files.items() if each.owner.lower() == str(wanted).lower()]
    found = [wanted.name] if wanted.name in files else owned
    if len(found) != 1:
        known = ', '.join(f'{name} ({each.owner})' for name, each in files.items()
                          if '?' not in name) or 'none'
        raise UserError(f'--weights {wanted}: names {len(found)} published files of '
                        f'{recipe.name}; give the name of one: {known}')
    (name,) = found
    if '?' in name:
        raise UserError(f'--weights {wanted}: {files[name].url} is a page; download the file with '
                        'a browser, and give its path with --weights')
    path = wanted if wanted.name == name else Path(name)
    return {'name': name, 'size': 'size unknown', 'url': files[name].url}, path


def describe(archive: dict, mirror: str | None = None) -> str:
    """A download as a line of text: its name, size and address."""
    return f'{archive["name"]}, {archive["size"]}: {_address(archive, mirror)}'


def _address(archive, mirror):
    return archive['url'] if mirror is None else f'{mirror.rstrip("/")}/{archive["name"]}'


def _fetch(archive, part, mirror):
    url = _address(archive, mirror)
    if not url.startswith(('http://', 'https://')):
        raise UserError(f'{url}: is no address of HTTP; --mirror begins with http:// or https://')
    print(f'{url} -> {part}', flush=True)
    fetch(url, part, archive.get('bytes'))
    if fault := check(part, archive.get('bytes'), archive.get('md5')):
        part.unlink()
        raise UserError(f'{url}: the file {fault}, so it was removed; try again, or give another '
                        'server with --mirror URL')
    if 'md5' not in archive:
        print(f'{archive["name"]}: unchecked, because its MD5 is not known', flush=True)


def _unpack(archive, path, place):
    marker = _marker(place, archive)
    marker.touch()
    unpack(path, place, archive.get('top', ''))
    if not (place / archive['holds']).exists():
        raise UserError(f'{path}: holds no {archive["holds"]}; remove it, and get it from another '
                        'server with --mirror URL')
    marker.unlink()


def _unpacked(place, archive):
    return (place / archive['holds']).exists() and not _marker(place, archive).exists()


def _marker(place, archive):
    """A file that exists while an archive is being unpacked."""
    return place / f'.{archive["name"]}.unpacking'


def _read(name):
    """A data set, with its archives in place of their names."""
    content = read_toml('data')
    data_set = {**content['defaults'], **content['sets'][name]}
    for part in 'train', 'test':
        data_set[part] = [content['archives'][archive] for archive in data_set[part]]
    return data_set
