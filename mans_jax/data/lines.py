"""Text files, compressed or not, with plain line ends, and the place of what is wrong in them."""

import codecs
import contextlib
import gzip
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from mans_jax.data.extras import import_for
from mans_jax.errors import InputError

COMPRESSIONS = ('', '.gz', '.zst')
"""What may follow the name of any text file: nothing, or the ending of gzip or of Zstandard."""

_BLOCK_BYTES = 1 << 25
"""How much `blocks` reads at once: large beside what a block costs, small beside the memory of any machine."""


def find(folder: Path, names: Sequence[str]) -> Path | None:
    """The one file in a folder that has one of several names, compressed or not; None where there is none.

    Raises:
        InputError: there are several.
    """
    paths = [folder / f'{name}{compression}' for name in names for compression in COMPRESSIONS]
    found = [path for path in paths if path.exists()]
    if len(found) > 1:
        all_names = ' and '.join(path.name for path in found)
        raise InputError(f'{folder}: {all_names} {"both" if len(found) == 2 else "all"} exist; keep the one that holds')
    return found[0] if found else None


def suffix(path: Path) -> str:
    """The ending that tells a file's format, in small letters: '.tsv' of 'Train.TSV.gz'."""
    compressed = path.suffix.lower() in COMPRESSIONS[1:]
    return (path.with_suffix('') if compressed else path).suffix.lower()


@contextlib.contextmanager
def open_binary(path: Path):
    """Within it, a file to read bytes from, decompressed where the name ends in .gz or .zst.

    Raises:
        InputError: also in place of what is raised within: the file cannot be read or is damaged.
    """
    compression = path.suffix.lower()
    zstd = _zstd(path) if compression == '.zst' else None
    damage = (zlib.error, gzip.BadGzipFile, zstd.ZstdError) if zstd else (zlib.error, gzip.BadGzipFile)
    try:
        with path.open('rb') as file:
            if compression == '.gz':
                yield gzip.GzipFile(fileobj=file)
            elif zstd:
                yield zstd.ZstdFile(file)
            else:
                yield file
    except FileNotFoundError:
        raise InputError(f'{path}: no such file') from None
    except EOFError:
        raise InputError(f'{path}: the compressed data is cut off; copy or download the file again') from None
    except damage as error:
        raise InputError(f'{path}: not a whole {compression} file ({error}); copy or download it again') from None
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})') from None


def _zstd(path):
    return import_for(path, 'compression.zstd' if sys.version_info >= (3, 14) else 'backports.zstd')


def blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    r"""Reads a UTF-8 text file some megabytes at a time, whatever system wrote it.

    Args:
        path: the file, compressed or not.

    Yields:
        (number, text): some whole lines as UTF-8, and the number of the first of them, counted from 1. Every line ends
        in '\n'; there is no byte order mark, and no empty lines at the end of the file.

    Raises:
        InputError: the file cannot be read or is not UTF-8.
    """
    number, blank = 1, b''
    with open_binary(path) as file:
        while data := file.read(_BLOCK_BYTES):
            data += file.readline()
            _check_utf8(path, number + len(blank), data)
            if number + len(blank) == 1:
                data = data.removeprefix(codecs.BOM_UTF8)
            # Most files have none, and looking for one costs a tenth of replacing what is not there.
            text = blank + (data.replace(b'\r\n', b'\n') if b'\r' in data else data)
            kept = text.rstrip(b'\n')
            if kept:
                yield number, kept + b'\n'
                number += kept.count(b'\n') + 1
            # What might turn out to be the end of the file waits for a line that is not empty.
            blank = text[len(kept) + 1 :] if kept else text


def _check_utf8(path: Path, number: int, data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + number
        byte = data[error.start]
        raise InputError(f'{path}, line {line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8') from None


def read(path: Path) -> str:
    """All the text of `blocks` at once.

    Raises:
        InputError: the file cannot be read or is not UTF-8.
    """
    return b''.join(text for _, text in blocks(path)).decode()


def numbered(path: Path) -> Iterator[tuple[int, str]]:
    r"""The lines of a file without their ends, and their numbers from 1.

    Only '\n' ends a line: a label may hold what `str.splitlines` takes for an end too, such as U+2028.

    Raises:
        InputError: the file cannot be read or is not UTF-8.
    """
    for first, text in blocks(path):
        yield from enumerate(text.decode()[:-1].split('\n'), start=first)


def error(path: Path, line: int, message: str) -> InputError:
    """The error at a line of a file, counted from 1."""
    return InputError(f'{path}, line {line}: {message}')


def quote(text: str, *, width: int = 60) -> str:
    """Text for a one-line message: quoted, with control characters escaped, cut at `width`."""
    return repr(text if len(text) <= width else text[: width - 3] + '...')


def name_some(labels: Sequence[str], *, number: int = 3) -> str:
    """The first few of some labels, for a one-line message."""
    return ', '.join(map(quote, labels[:number])) + (', ...' if len(labels) > number else '')


def cell(value) -> str:
    """A value as a cell of one line of a table, in which a label must not end the cell or the line.

    Backslash, tab, line feed and carriage return become \\\\, \\t, \\n and \\r; None is empty, a bool as in JSON.
    """
    if value is None or isinstance(value, bool):
        return '' if value is None else json.dumps(value)
    return str(value).translate(_ESCAPES)


_ESCAPES = str.maketrans({'\\': r'\\', '\t': r'\t', '\n': r'\n', '\r': r'\r'})
