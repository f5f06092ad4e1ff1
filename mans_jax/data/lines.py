"""Text files with plain line ends, and the place of what is wrong in them."""

from pathlib import Path

from mans_jax.errors import InputError


def read(path: Path) -> str:
    r"""Reads a UTF-8 text file, whatever system wrote it.

    Args:
        path: the file.

    Returns:
        The text with '\n' at the end of every line; no byte order mark and no empty lines at the end.

    Raises:
        InputError: the file cannot be read or is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f'{path}: no such file') from None
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})') from None
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        # The positions in the error count from behind a byte order mark, `error.object` starts there too.
        line = error.object.count(b'\n', 0, error.start) + 1
        byte = error.object[error.start]
        raise InputError(f'{path}, line {line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8') from None
    text = text.replace('\r\n', '\n').rstrip('\n')
    return text + '\n' if text else ''


def error(path: Path, line: int, message: str) -> InputError:
    """The error at a line of a file, counted from 1."""
    return InputError(f'{path}, line {line}: {message}')


def quote(text: str, *, width: int = 60) -> str:
    """Text for a one-line message: quoted, with control characters escaped, cut at `width`."""
    return repr(text if len(text) <= width else text[: width - 3] + '...')
