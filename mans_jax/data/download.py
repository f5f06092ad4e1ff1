"""Downloads that go on where they broke off and are checked, and archives whose members stay in their folder."""

import contextlib
import gzip
import hashlib
import http.client
import lzma
import os
import re
import shutil
import stat
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tqdm import tqdm

from mans_jax.errors import InputError

_CHUNK = 1 << 18
_ATTEMPTS = 3
_PAUSE = 1.0  # Seconds before the second attempt; twice that before the third.
_TIMEOUT = 30.0  # Seconds without a byte.
_BY_HAND = 'download all files by hand and name their folder, --source=FOLDER'

# RuntimeError and NotImplementedError are what zipfile raises over encryption and unknown compression.
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    NotImplementedError,
)


def fetch(url: str, path: str | os.PathLike, *, checksum: str) -> Path:
    """Downloads a file, or goes on with a download that broke off; a file that is there and right is left alone.

    The bytes arrive in `path` + '.partial' and get their name only after the checksum is found right, so that what has
    the name is whole. A server that cannot continue a file sends it anew.

    Args:
        url: an http or https address.
        path: where the file goes; folders on the way are made.
        checksum: 'sha256:' or 'git:' (the id of a blob in a git repository), then the digest in hexadecimal.

    Returns:
        The path.

    Raises:
        InputError: the server has no such file, cannot be reached or broke off repeatedly (what has come is kept), the
            checksum is wrong (nothing is kept), or the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(path.name + '.partial')
    try:
        if path.exists():
            if matches(path, checksum):
                return path
            raise InputError(f'{path}: not the file that {url} has ({checksum} expected); move it away and try again')
        path.parent.mkdir(parents=True, exist_ok=True)
        resumed = partial.exists()
        _receive(url, partial)
        if resumed and not matches(partial, checksum):
            # What lay there may be the start of another version.
            partial.unlink()
            _receive(url, partial)
        if not matches(partial, checksum):
            found = digest(partial, checksum.partition(':')[0])
            partial.unlink()
            raise InputError(f'{url}: wrong checksum, {found} instead of {checksum}; deleted, nothing was kept of it')
        partial.replace(path)
    except OSError as error:
        raise InputError(f'{path}: cannot be written ({error.strerror}); free space or choose another folder') from None
    return path


def digest(path: Path, algorithm: str) -> str:
    """The checksum of a file, written as `fetch` takes it; `algorithm` is 'sha256' or 'git'."""
    if algorithm == 'git':
        # Git names a file by its content: the SHA-1 of a header with its size, then its bytes.
        state = hashlib.sha1(f'blob {path.stat().st_size}\0'.encode(), usedforsecurity=False)
    else:
        state = hashlib.new(algorithm)
    with path.open('rb') as file:
        while block := file.read(_CHUNK):
            state.update(block)
    return f'{algorithm}:{state.hexdigest()}'


def matches(path: Path, checksum: str) -> bool:
    """Whether a file has a checksum."""
    return digest(path, checksum.partition(':')[0]) == checksum


def extract(archive: str | os.PathLike, folder: str | os.PathLike) -> Path:
    """Unpacks a zip or tar archive (plain, gzip, bzip2, xz) of files and folders.

    All names are looked at before the first byte is written, and the folder gets its name only when it is whole.

    Args:
        archive: the file.
        folder: where its content goes; must not exist yet.

    Returns:
        The folder.

    Raises:
        InputError: it is no such archive or a damaged one, a member leaves the folder, is a link or a device or has the
            name of another, the folder exists, or it cannot be written.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise InputError(f'{folder}: exists already; move it away or extract {archive.name} elsewhere')
    partial = folder.with_name(folder.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with _members(archive) as members:
            _check_names(archive, [name for name, _ in members])
            partial.mkdir(parents=True)
            for name, opener in members:
                target = partial.joinpath(*PurePosixPath(name).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with opener() as source, target.open('xb') as file:
                    shutil.copyfileobj(source, file, _CHUNK)
        partial.rename(folder)
    except _DAMAGE as error:
        # What no form fits is told for every form, one after the other.
        reason = ' '.join(str(error).partition('\n')[0].split()).removesuffix(':')
        raise InputError(f'{archive}: not a whole zip or tar archive ({reason}); fetch it again') from None
    except OSError as error:
        raise InputError(f'{archive}: cannot be extracted ({error.strerror or error})') from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _receive(url: str, partial: Path) -> None:
    """Completes a partial file, with a few attempts after a transfer that breaks off."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _receive_once(url, partial)
            return
        except _BrokenOff as error:
            if attempt == _ATTEMPTS:
                size = partial.stat().st_size if partial.exists() else 0
                cure = f'the {size:,} bytes that came are kept: the same command goes on from there'
                raise InputError(f'{url}: broke off {_ATTEMPTS} times ({error}); {cure}') from None
            time.sleep(attempt * _PAUSE)


class _BrokenOff(Exception):
    """A transfer ended early, and another attempt may go on."""


def _receive_once(url: str, partial: Path) -> None:
    start = partial.stat().st_size if partial.exists() else 0
    # Compressed on the way, a byte range would mean something else.
    headers = {'Accept-Encoding': 'identity', 'User-Agent': 'mans_jax'}
    if start:
        headers['Range'] = f'bytes={start}-'
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            # Nothing lies behind the end: the file is complete already, or longer than the one that the server has.
            if error.headers.get('Content-Range') != f'bytes */{start}':
                partial.unlink()
                raise _BrokenOff('what had come before is not a part of the file') from None
            return
        if error.code >= 500 or error.code in (408, 429):
            raise _BrokenOff(f'HTTP {error.code} {error.reason}') from None
        raise InputError(f'{url}: HTTP {error.code} {error.reason}; {_BY_HAND}') from None
    except (ConnectionError, TimeoutError, http.client.HTTPException) as error:
        raise _BrokenOff(_reason(error)) from None
    except urllib.error.URLError as error:
        raise InputError(f'{url}: cannot be reached ({_reason(error.reason)}); {_BY_HAND}') from None
    with response:
        if response.status == 206 and not re.match(f'bytes {start}-', response.headers.get('Content-Range', '')):
            raise InputError(f'{url}: the server sent another part than the one asked for; delete {partial}')
        _append(response, partial, start if response.status == 206 else 0)


def _append(response, partial: Path, start: int) -> None:
    """Writes the body of a response from byte `start` on."""
    length = response.headers.get('Content-Length')
    total = start + int(length) if length else None
    name = partial.name.removesuffix('.partial')
    received = start
    with (
        partial.open('ab' if start else 'wb') as file,
        tqdm(
            desc=name,
            total=total,
            initial=start,
            unit='B',
            unit_scale=True,
            leave=False,
            disable=not sys.stderr.isatty(),
        ) as bar,
    ):
        while True:
            try:
                block = response.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _BrokenOff(_reason(error)) from None
            if not block:
                break
            file.write(block)
            received += len(block)
            bar.update(len(block))
    # A connection that is closed early looks like the end of the file to `read`.
    if total is not None and received < total:
        raise _BrokenOff(f'{received:,} of {total:,} bytes')


def _reason(error) -> str:
    return ' '.join(str(getattr(error, 'strerror', None) or error or type(error).__name__).split())


@contextlib.contextmanager
def _members(archive: Path) -> Iterator[list]:
    """The files of an archive: (name, function that opens it)."""
    if not archive.is_file():
        raise InputError(f'{archive}: no such file')
    with contextlib.ExitStack() as stack:
        if zipfile.is_zipfile(archive):
            opened = stack.enter_context(zipfile.ZipFile(archive))
            yield [(m.filename, lambda m=m: opened.open(m)) for m in opened.infolist() if _is_zip_file(archive, m)]
        else:
            opened = stack.enter_context(tarfile.open(archive))
            members = [(m.name, lambda m=m: _open_tar(opened, m)) for m in opened if _is_tar_file(archive, m)]
            # A compressed tar has its checksum at the very end, behind what tarfile reads.
            while opened.fileobj.read(_CHUNK):
                pass
            yield members


def _open_tar(opened: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    return opened.extractfile(member)


def _is_zip_file(archive: Path, member: zipfile.ZipInfo) -> bool:
    mode = stat.S_IFMT(member.external_attr >> 16)
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(archive, member.filename, 'is a link or a device')
    return not member.is_dir()


def _is_tar_file(archive: Path, member: tarfile.TarInfo) -> bool:
    if not (member.isreg() or member.isdir()):
        raise _refused(archive, member.name, 'is a link or a device')
    return member.isreg()


def _check_names(archive: Path, names: list[str]) -> None:
    seen = set()
    for name in names:
        path = PurePosixPath(name)
        # Backslashes and drives mean something on Windows only, but no graph needs them.
        if path.is_absolute() or '..' in path.parts or re.search(r'[\\\0]|^[A-Za-z]:', name) or not path.parts:
            raise _refused(archive, name, 'leaves the folder')
        if path in seen:
            raise _refused(archive, name, 'is there twice')
        seen.add(path)


def _refused(archive: Path, name: str, fault: str) -> InputError:
    return InputError(f'{archive}: member {name!r} {fault}; nothing was extracted')
