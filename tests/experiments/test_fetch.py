"""Files from a server on this machine that has every fault."""
from types import SimpleNamespace

from experiments import fetch as fetching
from experiments.fetch import fetch
from multibox.errors import UserError
from tests.support.server import CONTENT

import pytest


def test_a_file_arrives_also_by_a_redirection_and_without_its_length(site, tmp_path):
    fetch(f'{site.url}/moved/a.tar', tmp_path / 'a.part', len(CONTENT))
    site.length = False
    fetch(f'{site.url}/a.tar', tmp_path / 'b.part')
    assert (tmp_path / 'a.part').read_bytes() == (tmp_path / 'b.part').read_bytes() == CONTENT


@pytest.mark.parametrize('size', [len(CONTENT), None])
def test_broken_connections_are_continued(site, tmp_path, size):
    site.cuts += [1000, 2000, 0, 3000, 1000, 1000]
    fetch(f'{site.url}/a.tar', tmp_path / 'a.part', size)
    assert (tmp_path / 'a.part').read_bytes() == CONTENT
    assert site.asked == [None, *(f'bytes={begun}-' for begun in (
        1000, 3000, 3000, 6000, 7000, 8000))]


@pytest.mark.parametrize('size', [len(CONTENT), None])
def test_the_next_call_goes_on_and_a_whole_file_is_not_sent_again(site, tmp_path, size):
    part = tmp_path / 'a.part'
    part.write_bytes(CONTENT[:5000])
    fetch(f'{site.url}/a.tar', part, size)
    fetch(f'{site.url}/a.tar', part, size)
    assert part.read_bytes() == CONTENT
    assert site.asked == ['bytes=5000-', f'bytes={len(CONTENT)}-'][:1 + (size is None)]


def test_a_server_without_ranges_starts_anew(site, tmp_path):
    part = tmp_path / 'a.part'
    part.write_bytes(b'x' * 5000)
    site.ranges = False
    fetch(f'{site.url}/a.tar', part, len(CONTENT))
    assert part.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_starts_anew(site, tmp_path):
    for size in len(CONTENT), None:
        part = tmp_path / f'{size}.part'
        part.write_bytes(CONTENT + b'x')
        fetch(f'{site.url}/a.tar', part, size)
        assert part.read_bytes() == CONTENT


@pytest.mark.parametrize('change, size, fault', [
    ({'status': 404}, None, 'the server answers 404 Not Found; give another server'),
    ({'status': 503}, None, '503 Service Unavailable; .* and the same command goes on'),
    ({'type': 'text/html'}, None, 'answers with a page instead of a file; download'),
    ({}, 7, 'the server has 102,400 bytes instead of 7; give'),
    ({'length': False}, 7, 'the server sends more than 7 bytes; give'),
    ({'shift': 1}, None, 'sends another part of the file than asked for; give'),
    ({'cuts': [0] * 9}, None, 'the connection ended after 9 of 102,400 bytes; .*a.part holds 9 ')])
def test_a_fault_of_the_server_is_one_line_with_the_address(site, tmp_path, change, size, fault):
    vars(site).update(change)
    part = tmp_path / 'a.part'
    if size is None:
        part.write_bytes(CONTENT[:9])
    with pytest.raises(UserError, match=rf'^http://127.0.0.1:\d+/a.tar: .*{fault}') as error:
        fetch(f'{site.url}/a.tar', part, size)
    assert '\n' not in str(error.value) and len(site.asked) <= fetching.TRIES
    assert size or part.read_bytes() == CONTENT[:9]


def test_a_silent_server_and_no_server_end_after_some_tries(site, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, 'TIMEOUT', .05)
    monkeypatch.setattr(fetching, 'TRIES', 2)
    site.slow, site.cuts = 4, [0, 0]
    with pytest.raises(UserError, match=r'timed out; .* or give another server'):
        fetch(f'{site.url}/a.tar', tmp_path / 'a.part', len(CONTENT))
    with pytest.raises(UserError, match=r'refused; .* or give another server'):
        fetch('http://127.0.0.1:1/a.tar', tmp_path / 'a.part')


def test_a_disk_too_small_is_found_before_a_byte_is_written(site, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching.shutil, 'disk_usage', lambda _: SimpleNamespace(free=50))
    with pytest.raises(UserError, match=r'a\.part need 102,400 bytes, and the disk has 50 bytes'):
        fetch(f'{site.url}/a.tar', tmp_path / 'a.part')
    assert not (tmp_path / 'a.part').exists()


def test_a_signal_leaves_the_bytes_that_arrived(site, tmp_path, monkeypatch):
    class Bar(fetching.tqdm):
        def update(self, _):
            raise SystemExit(130)
    monkeypatch.setattr(fetching, 'tqdm', Bar)
    with pytest.raises(SystemExit):
        fetch(f'{site.url}/a.tar', tmp_path / 'a.part')
    assert CONTENT.startswith((tmp_path / 'a.part').read_bytes())
    assert (tmp_path / 'a.part').stat().st_size > 0
