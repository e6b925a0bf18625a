"""The data and the weights of a recipe by one command, from a server on this machine."""
import hashlib
import os
import re
from pathlib import Path
from types import SimpleNamespace

from experiments import __main__ as cli
from experiments import downloads
from experiments import fetch as fetching
from experiments.downloads import download, lacking, missing
from multibox.errors import UserError
from tests.support.server import tar

import pytest

NOBODY = 'http://127.0.0.1:1'


def archives():
    """Archives with the names of those of VOC2007, and their entries for data.toml."""
    made = {'VOCtrainval_06-Nov-2007.tar': 'trainval', 'VOCtest_06-Nov-2007.tar': 'test'}
    return {name: tar((f'VOCdevkit/VOC2007/ImageSets/Main/{split}.txt', b'000001\n'),
                      (f'VOCdevkit/VOC2007/JPEGImages/{split}.jpg', b'x' * 9999))
            for name, split in made.items()}


@pytest.fixture
def voc(site, monkeypatch):
    """The server has the archives of VOC2007, and data.toml their sizes and MD5."""
    content = downloads.read_toml('data')
    site.files = archives()
    for archive in content['archives'].values():
        if archive['name'] in site.files:
            file = site.files[archive['name']]
            archive.update(bytes=len(file), md5=hashlib.md5(file).hexdigest(),
                           url=f'{site.url}/{archive["name"]}')
    monkeypatch.setattr(downloads, 'read_toml', lambda _: content)
    return content['archives']


@pytest.mark.parametrize('name', ['VOCdevkit', 'data'])
def test_the_data_of_a_recipe_come_by_one_call_and_only_once(voc, site, tmp_path, name):
    folder = tmp_path / name
    download('07', folder)
    assert missing('07', folder) is None
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*.*')) == [
        f'VOC2007/{path}' for path in ('ImageSets/Main/test.txt', 'ImageSets/Main/trainval.txt',
                                       'JPEGImages/test.jpg', 'JPEGImages/trainval.jpg')]
    download('07', folder)
    assert len(site.asked) == 2


def test_only_the_archives_that_are_lacking_come_into_the_devkit_below(voc, site, tmp_path):
    path = tmp_path / 'VOCdevkit/VOC2007/ImageSets/Main/trainval.txt'
    path.parent.mkdir(parents=True)
    path.touch()
    download('07', tmp_path)
    assert len(site.asked) == 1 and (tmp_path / 'VOCdevkit/VOC2007/JPEGImages/test.jpg').exists()


def test_an_interrupted_unpacking_is_not_taken_for_data(voc, site, tmp_path, monkeypatch):
    replace, calls = os.replace, []

    def interrupted(*paths):
        calls.append(paths)
        if len(calls) == 2:
            raise SystemExit(130)
        replace(*paths)
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr('os.replace', interrupted)
        download('07', tmp_path, train=False)
    assert (tmp_path / voc['test2007']['holds']).exists()
    assert missing('07', tmp_path, train=False)
    download('07', tmp_path, train=False)
    assert missing('07', tmp_path, train=False) is None
    assert len(site.asked) == 1 and (tmp_path / 'VOC2007/JPEGImages/test.jpg').exists()
    assert [path.name for path in tmp_path.iterdir()] == ['VOC2007']


def test_a_wrong_md5_is_named_and_the_file_removed(voc, tmp_path):
    voc['test2007']['md5'] = '0' * 32
    with pytest.raises(UserError, match=r'/VOCtest_06-Nov-2007\.tar: the file has the MD5 .* '
                                        r'instead of 0+, so it was removed; try again'):
        download('07', tmp_path, train=False)
    assert not list(tmp_path.iterdir())


def test_an_archive_that_the_user_has_downloaded_is_used_and_kept(voc, site, tmp_path):
    path = tmp_path / 'VOCtest_06-Nov-2007.tar'
    path.write_bytes(site.files[path.name][:-1] + b'x')
    with pytest.raises(UserError, match=r'tar: has the MD5 .* remove it'):
        download('07', tmp_path, train=False)
    path.write_bytes(site.files[path.name])
    download('07', tmp_path, train=False)
    assert path.exists() and not site.asked and missing('07', tmp_path, train=False) is None


def test_an_archive_without_the_data_is_named(voc, site, tmp_path):
    voc['test2007']['holds'] = 'VOC2007/elsewhere.txt'
    with pytest.raises(UserError, match=r'part: holds no VOC2007/elsewhere\.txt; remove it'):
        download('07', tmp_path, train=False)


def test_an_archive_without_known_md5_is_called_unchecked(voc, tmp_path, capsys):
    del voc['test2007']['md5']
    download('07', tmp_path, train=False)
    assert 'tar: unchecked, because its MD5 is not known' in capsys.readouterr().out


def test_a_disk_too_small_for_all_archives_is_found_before_the_first(site, tmp_path):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UserError) as error:
        patch.setattr(fetching.shutil, 'disk_usage', lambda _: SimpleNamespace(free=3 * 10 ** 10))
        download('coco', tmp_path / 'COCO', mirror=site.url)
    assert str(error.value).startswith(f'{tmp_path / "COCO"}: archives and their files need 39,74')
    assert not site.asked and not (tmp_path / 'COCO').exists()


def test_an_archive_behind_an_account_is_asked_for_before_others_come(voc, site, tmp_path):
    with pytest.raises(UserError, match=r'VOC2012test\.tar needs an account; download it with a '
                                        'browser into .*, or give another server with --mirror'):
        download('07++12', tmp_path)
    assert not site.asked


def test_a_mirror_has_the_archives_by_their_names(voc, site, tmp_path):
    voc['test2007']['url'] = f'{NOBODY}/nothing.tar'
    download('07', tmp_path, train=False, mirror=f'{site.url}/moved/')
    assert missing('07', tmp_path, train=False) is None
    with pytest.raises(UserError, match=r'file:///etc/.*: is no address of HTTP'):
        download('07', tmp_path, mirror='file:///etc')


def test_the_folder_that_cannot_be_written_is_named(voc, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'file/VOC: cannot be written \(Not a directory\); give'):
        download('07', tmp_path / 'file/VOC')


RUN = ['run', 'ssd300-07+12-expansion', '--download']


def test_the_command_downloads_data_and_weights_of_an_owner(
        voc, site, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, 'call', lambda command: 0)
    site.files['ssd300_mAP_77.43_v2.pth'] = b'weights'
    cli.main([*RUN, '--weights', 'SSD.pytorch', '--mirror', site.url])
    assert (tmp_path / 'ssd300_mAP_77.43_v2.pth').read_bytes() == b'weights'
    assert missing('07', tmp_path / 'VOCdevkit', train=False) is None
    said = capsys.readouterr().out
    assert 'convert ssd300_mAP_77.43_v2.pth' in said and 'v2.pth: unchecked' in said
    cli.main([*RUN, '--weights', 'SSD.pytorch', '--mirror', site.url])
    assert len(site.asked) == 2  # both files are there already


def test_a_dry_run_prints_the_downloads_with_sizes_and_fetches_none(voc, site, tmp_path, capsys):
    name = 'ssd300_voc0712_trained_2017_08_08.npz'
    cli.main([*RUN, '--weights', str(tmp_path / name), '--data', str(tmp_path), '--dry-run'])
    assert capsys.readouterr().out.splitlines()[:2] == [
        f'# download {name}, size unknown: https://chainercv-models.preferred.jp/{name}',
        f'# download VOCtest_06-Nov-2007.tar, 451 MB: {site.url}/VOCtest_06-Nov-2007.tar']
    assert not site.asked


@pytest.mark.parametrize('wanted, n_found', [('ChainerCV', 2), ('nobody', 0)])
def test_weights_of_no_single_name_are_listed(wanted, n_found):
    with pytest.raises(UserError, match=f'--weights {wanted}: names {n_found} published files of '
                                        r'.*; give the name of one: .*, ssd300_mAP_77.43_v2\.pth'):
        cli.main([*RUN, '--weights', wanted])


def test_weights_behind_a_page_are_linked():
    with pytest.raises(UserError, match=r'--weights authors: https://drive\S+ is a page; download'):
        cli.main([*RUN, '--weights', 'authors'])


def test_a_mirror_without_download_is_refused():
    with pytest.raises(UserError, match='--mirror is for --download; give both'):
        cli.main(['run', 'ssd300-07', '--mirror', NOBODY])


def test_every_archive_of_the_table_has_an_md5_and_its_own_address():
    for data in ('07++12', 'coco'):
        for archive in lacking(data, Path('nowhere'))[1]:
            assert re.fullmatch('[0-9a-f]{32}', archive['md5'])
            assert archive.get('account') or archive['url'].endswith('/' + archive['name'])
