"""A server on this machine with the faults that downloads meet, and archives for it."""
import http.server
import io
import re
import tarfile
import time
import zipfile

CONTENT = bytes(range(256)) * 400


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the attributes of ``server.site`` say, and notes the ranges asked for."""

    def do_GET(self):
        site = self.server.site
        site.asked.append(self.headers.get('Range'))
        if site.status != 200:
            return self.send_error(site.status)
        if self.path.startswith('/moved/'):
            self.send_response(302)
            self.send_header('Location', self.path.removeprefix('/moved'))
            return self.end_headers()
        content = site.files.get(self.path.lstrip('/'))
        if content is None:
            return self.send_error(404)
        begun = re.fullmatch(r'bytes=(\d+)-', self.headers.get('Range') or '')
        begun = int(begun[1]) if begun and site.ranges else 0
        if begun and begun >= len(content):
            self.send_response(416)
            self.send_header('Content-Range', f'bytes */{len(content)}')
            return self.end_headers()
        self.send_response(206 if begun else 200)
        if begun:
            self.send_header('Content-Range', f'bytes {begun + site.shift}-{len(content) - 1}'
                                              f'/{len(content)}')
        self.send_header('Content-Type', site.type)
        if site.length:
            self.send_header('Content-Length', str(len(content) - begun))
        self.end_headers()
        for _ in range(site.slow):
            time.sleep(.05)
            self.wfile.flush()
        end = begun + site.cuts.pop(0) if site.cuts else len(content)
        self.wfile.write(content[begun:end])

    def log_message(self, *_):
        pass


def tar(*members):
    """An archive of (name, bytes) or of members of tarfile."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode='w') as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return stream.getvalue()


def zipped(*members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w') as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()
