"""Tests of downloads, against a server on this machine, and of archives, hostile ones among them."""

import contextlib
import hashlib
import http.server
import io
import re
import tarfile
import threading
import zipfile

import numpy as np
import pytest

from mans_jax.data import download
from mans_jax.errors import InputError

CONTENT = np.random.default_rng(0).bytes(700_000)
SHA256 = 'sha256:' + hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at every address, with the habits that a test gives it, and notes the ranges asked for."""

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.content, self.ranges = CONTENT, []
        self.knows_ranges, self.breaks, self.after, self.status, self.shift = True, 0, 300_000, None, 0
        self.url = f'http://127.0.0.1:{self.server_port}/data/file.bin'


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get('Range')
        server.ranges.append(asked)
        if server.status:
            self.send_error(server.status)
            return
        start = int(re.fullmatch(r'bytes=(\d+)-', asked)[1]) if asked and server.knows_ranges else 0
        total = len(server.content)
        if start >= total:
            self.send_response(416)
            self.send_header('Content-Range', f'bytes */{total}')
            self.end_headers()
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header('Content-Range', f'bytes {start + server.shift}-{total - 1}/{total}')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            body = body[: server.after]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, '_PAUSE', 0.0)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={'poll_interval': 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'new' / 'file.bin'


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())


def test_a_file_comes_whole_and_only_once(server, path):
    assert download.fetch(server.url, path, checksum=SHA256) == path
    assert path.read_bytes() == CONTENT and names(path.parent) == ['file.bin']
    download.fetch(server.url, path, checksum=SHA256)
    assert server.ranges == [None]


def test_git_names_a_file_as_git_does(tmp_path):
    (tmp_path / 'x').write_bytes(b'hello\n')  # printf 'hello\n' | git hash-object --stdin
    assert download.digest(tmp_path / 'x', 'git') == 'git:ce013625030ba8dba906f756967f9e9ca394464a'
    assert download.matches(tmp_path / 'x', 'git:ce013625030ba8dba906f756967f9e9ca394464a')
    assert not download.matches(tmp_path / 'x', SHA256)


def test_a_broken_transfer_goes_on_where_it_broke(server, path):
    server.breaks = 2
    download.fetch(server.url, path, checksum=SHA256)
    assert server.ranges == [None, 'bytes=300000-', 'bytes=600000-']
    assert path.read_bytes() == CONTENT and names(path.parent) == ['file.bin']


def test_a_later_command_resumes_what_a_hopeless_one_kept(server, path):
    server.breaks, server.after = 3, 100_000
    with pytest.raises(
        InputError, match=r'broke off 3 times \(300,000 of 700,000 bytes\); the 300,000 bytes that came'
    ):
        download.fetch(server.url, path, checksum=SHA256)
    assert names(path.parent) == ['file.bin.partial']
    assert (path.parent / 'file.bin.partial').read_bytes() == CONTENT[:300_000]
    download.fetch(server.url, path, checksum=SHA256)
    assert server.ranges[3:] == ['bytes=300000-'] and path.read_bytes() == CONTENT


def test_a_server_without_ranges_sends_everything_anew(server, path):
    server.breaks, server.knows_ranges = 1, False
    download.fetch(server.url, path, checksum=SHA256)
    assert server.ranges == [None, 'bytes=300000-'] and path.read_bytes() == CONTENT


def test_a_download_that_only_lacks_its_name_gets_it(server, path):
    path.parent.mkdir()
    path.with_name('file.bin.partial').write_bytes(CONTENT)
    download.fetch(server.url, path, checksum=SHA256)
    assert path.read_bytes() == CONTENT and names(path.parent) == ['file.bin']


@pytest.mark.parametrize('stale', [b'of an older version', b'longer than the file ' * 50_000])
def test_the_start_of_another_version_is_thrown_away(server, path, stale):
    path.parent.mkdir()
    path.with_name('file.bin.partial').write_bytes(stale)
    download.fetch(server.url, path, checksum=SHA256)
    assert path.read_bytes() == CONTENT and server.ranges[-1] is None


def test_a_wrong_checksum_leaves_nothing(server, path):
    expected = 'sha256:' + '0' * 64
    with pytest.raises(InputError) as caught:
        download.fetch(server.url, path, checksum=expected)
    message = str(caught.value)
    assert message.startswith(f'{server.url}: wrong checksum, {SHA256} instead of {expected}') and '\n' not in message
    assert names(path.parent) == []


def test_another_file_of_that_name_is_not_touched(server, path):
    path.parent.mkdir()
    path.write_text('mine')
    with pytest.raises(InputError, match=f'^{path}: not the file that {server.url} has .*; move it away'):
        download.fetch(server.url, path, checksum=SHA256)
    assert path.read_text() == 'mine' and server.ranges == []


def test_a_part_that_was_not_asked_for_is_refused(server, path):
    server.breaks, server.shift = 1, 5
    with pytest.raises(InputError, match='the server sent another part than the one asked for'):
        download.fetch(server.url, path, checksum=SHA256)
    assert names(path.parent) == ['file.bin.partial']


@pytest.mark.parametrize(
    ('status', 'requests', 'message'),
    [
        (404, 1, 'HTTP 404 Not Found; download all files by hand'),
        (503, 3, r'broke off 3 times \(HTTP 503 Service Unavailable'),
    ],
)
def test_what_the_server_refuses_is_said(server, path, status, requests, message):
    server.status = status
    with pytest.raises(InputError, match=f'^{server.url}: {message}'):
        download.fetch(server.url, path, checksum=SHA256)
    assert len(server.ranges) == requests and names(path.parent) == []


def test_a_server_that_is_not_there_is_said(server, path):
    server.server_close()
    with pytest.raises(InputError, match=f'^{server.url}: cannot be reached .*; download all files by hand'):
        download.fetch(server.url, path, checksum=SHA256)


def test_a_folder_that_cannot_be_made_is_said(server, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match='cannot be written'):
        download.fetch(server.url, tmp_path / 'file' / 'x', checksum=SHA256)


def test_the_bar_is_for_terminals(server, path, monkeypatch, capsys):
    download.fetch(server.url, path, checksum=SHA256)
    assert capsys.readouterr().err == ''
    monkeypatch.setattr('sys.stderr.isatty', lambda: True, raising=False)
    download.fetch(server.url, path.with_name('second'), checksum=SHA256)
    assert 'second' in capsys.readouterr().err


def make_zip(path, members):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive, contextlib.ExitStack() as stack:
        if len(members) != len(dict(members)):
            stack.enter_context(pytest.warns(UserWarning, match='Duplicate name'))
        for name, content in members:
            archive.writestr(name, content)


def make_tar(path, members):
    with tarfile.open(path, 'w:gz') as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize('make', [make_zip, make_tar])
def test_archives_give_back_what_was_put_in(tmp_path, make):
    make(tmp_path / 'archive', [('top.txt', b'1'), ('a/b/below.txt', CONTENT), ('./dot..txt', b'2')])
    folder = download.extract(tmp_path / 'archive', tmp_path / 'out')
    assert names(folder) == ['a/b/below.txt', 'dot..txt', 'top.txt']
    assert (folder / 'a' / 'b' / 'below.txt').read_bytes() == CONTENT


@pytest.mark.parametrize('make', [make_zip, make_tar])
@pytest.mark.parametrize('name', ['../out.txt', '/tmp/out.txt', 'a/../../out.txt', r'..\out.txt', 'C:/out.txt'])
def test_a_member_that_leaves_the_folder_is_refused(tmp_path, make, name):
    make(tmp_path / 'archive', [('good.txt', b'1'), (name, b'2')])
    with pytest.raises(InputError, match=r'archive: member .* leaves the folder; nothing was extracted') as caught:
        download.extract(tmp_path / 'archive', tmp_path / 'below' / 'out')
    assert name.replace('\\', '\\\\') in str(caught.value)
    assert names(tmp_path) == ['archive']


@pytest.mark.parametrize('kind', [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / 'archive', 'w') as archive:
        info = tarfile.TarInfo('odd')
        info.type, info.linkname = kind, '/etc/passwd'
        archive.addfile(info)
    with pytest.raises(InputError, match="member 'odd' is a link or a device"):
        download.extract(tmp_path / 'archive', tmp_path / 'out')
    assert names(tmp_path) == ['archive']


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo('odd')
    link.external_attr = 0o120777 << 16
    make_zip(tmp_path / 'archive', [(link, b'/etc/passwd')])
    with pytest.raises(InputError, match="member 'odd' is a link or a device"):
        download.extract(tmp_path / 'archive', tmp_path / 'out')


@pytest.mark.parametrize('make', [make_zip, make_tar])
def test_two_members_of_one_name_are_refused(tmp_path, make):
    make(tmp_path / 'archive', [('a/x', b'1'), ('a/x', b'2')])
    with pytest.raises(InputError, match="member 'a/x' is there twice"):
        download.extract(tmp_path / 'archive', tmp_path / 'out')


def test_a_file_that_another_needs_as_a_folder_is_refused(tmp_path):
    make_tar(tmp_path / 'archive', [('a', b'1'), ('a/x', b'2')])
    with pytest.raises(InputError, match='archive: cannot be extracted'):
        download.extract(tmp_path / 'archive', tmp_path / 'out')
    assert names(tmp_path) == ['archive']


@pytest.mark.parametrize('make', [make_zip, make_tar])
def test_a_damaged_archive_leaves_nothing(tmp_path, make):
    make(tmp_path / 'archive', [('x', CONTENT)])
    data = bytearray((tmp_path / 'archive').read_bytes())
    data[300_000:300_100] = bytes(100)
    (tmp_path / 'archive').write_bytes(data)
    with pytest.raises(InputError, match='archive: not a whole zip or tar archive') as caught:
        download.extract(tmp_path / 'archive', tmp_path / 'out')
    assert '\n' not in str(caught.value) and names(tmp_path) == ['archive']
    (tmp_path / 'archive').write_bytes(data[:200_000])
    with pytest.raises(InputError, match='archive: not a whole zip or tar archive'):
        download.extract(tmp_path / 'archive', tmp_path / 'out')


def test_what_is_no_archive_or_would_be_overwritten_is_refused(tmp_path):
    with pytest.raises(InputError, match='/absent: no such file'):
        download.extract(tmp_path / 'absent', tmp_path / 'out')
    (tmp_path / 'text').write_text('no archive')
    with pytest.raises(InputError, match='/text: not a whole zip or tar archive'):
        download.extract(tmp_path / 'text', tmp_path / 'out')
    make_zip(tmp_path / 'archive', [('x', b'1')])
    with pytest.raises(InputError, match=f'^{tmp_path}: exists already'):
        download.extract(tmp_path / 'archive', tmp_path)
