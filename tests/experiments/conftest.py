"""The server of the tests of downloads."""
import http.server
import threading
from types import SimpleNamespace

from experiments import fetch as fetching
from tests.support.server import CONTENT, Handler

import pytest


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(fetching, 'PAUSE', 0)
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.site = SimpleNamespace(
        files={'a.tar': CONTENT}, asked=[], cuts=[], ranges=True, status=200, shift=0, slow=0,
        length=True, type='application/octet-stream', url=f'http://127.0.0.1:{server.server_port}')
    threading.Thread(target=server.serve_forever, args=(.01,), daemon=True).start()
    yield server.site
    server.shutdown()
    server.server_close()
