"""Archives that are hostile, damaged or too large, and files that are in their way."""
import tarfile
import zipfile
from types import SimpleNamespace

from experiments import fetch as fetching
from experiments.unpack import unpack
from multibox.errors import UserError
from tests.support.server import tar, zipped

import pytest


def special(kind, target=''):
    info = tarfile.TarInfo('thing')
    info.type, info.linkname = kind, target
    return tar(info)


def linked_zip():
    info = zipfile.ZipInfo('thing')
    info.external_attr = 0o120777 << 16
    return zipped((info, '/etc'))


@pytest.mark.parametrize('content', [
    *(make((name, b'x')) for make in (tar, zipped)
      for name in ('../out', '/out', 'a/../../out', r'..\out', 'C:out')),
    special(tarfile.SYMTYPE, '/etc'), special(tarfile.LNKTYPE, 'VOC'), special(tarfile.CHRTYPE),
    special(tarfile.FIFOTYPE), linked_zip()], ids=[
        *(f'{kind}: {name}' for kind in ('tar', 'zip')
          for name in ('parent', 'root', 'parent of a folder', 'backslash', 'drive')),
        'symbolic link', 'hard link', 'device', 'pipe', 'link in a zip'])
def test_an_archive_that_leads_out_of_the_folder_is_refused(content, tmp_path):
    folder = tmp_path / 'in/side'
    folder.mkdir(parents=True)
    (tmp_path / 'a').write_bytes(content)
    with pytest.raises(UserError, match=r"a: was not unpacked, because '.*' (leads out|is a link)"):
        unpack(tmp_path / 'a', folder)
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['a', 'in', 'side']


@pytest.mark.parametrize('content', [
    b'', b'x' * 2000, b'PKxxxx', tar(('f', b'x' * 5000))[:3000], zipped(('f', 'x' * 99))[:60],
    zipped(('f', b'content')).replace(b'content', b'CONTENT')],
    ids=['empty', 'text', 'head of a zip', 'cut tar', 'cut zip', 'wrong checksum'])
def test_a_damaged_archive_is_named(content, tmp_path):
    (tmp_path / 'a').write_bytes(content)
    with pytest.raises(UserError, match=r'a: is damaged \(.*\); remove it'):
        unpack(tmp_path / 'a', tmp_path / 'b')
    assert not [path for path in tmp_path.rglob('*') if path.is_file() and path.name != 'a']


def test_an_archive_larger_than_the_disk_is_not_unpacked(tmp_path, monkeypatch):
    (tmp_path / 'a').write_bytes(tar(('f', b'x' * 99)))
    monkeypatch.setattr(fetching.shutil, 'disk_usage', lambda _: SimpleNamespace(free=50))
    with pytest.raises(UserError, match='the files of a need 99 bytes, and the disk has 50'):
        unpack(tmp_path / 'a', tmp_path)
    assert not (tmp_path / 'f').exists()


def test_files_of_the_user_stay_and_are_named(tmp_path, capsys):
    (tmp_path / 'a').write_bytes(zipped(('f', 'theirs'), ('g', 'new')))
    (tmp_path / 'f').write_text('mine, corrected')
    unpack(tmp_path / 'a', tmp_path)
    assert (tmp_path / 'f').read_text() == 'mine, corrected'
    assert (tmp_path / 'g').read_text() == 'new'
    assert capsys.readouterr().out.startswith(f'{tmp_path / "f"}: is another file than in a')
