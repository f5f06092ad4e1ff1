"""A folder that is there as a whole or not at all."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mans_jax.errors import InputError

MANIFEST = 'manifest.json'
FORMAT = 'mans_jax export'


def check_output(output: Path, overwrite: bool) -> None:
    """Refuses a place that an export cannot be written to, before it is made.

    Raises:
        InputError: something is there that may not be replaced, or the folder that it shall go to is missing.
    """
    if not output.parent.is_dir():
        raise InputError(f'--output={output}: no such folder {output.parent}; make it first')
    if not os.path.lexists(output):
        return
    if not output.is_dir() or output.is_symlink():
        raise InputError(f'--output={output}: is there already and no folder; choose another name')
    if any(output.iterdir()):
        if not _is_export(output):
            raise InputError(f'--output={output}: holds files that are no export; choose another name')
        if not overwrite:
            raise InputError(f'--output={output}: holds an export already; add --overwrite or choose another name')


@contextlib.contextmanager
def whole_folder(output: Path, overwrite: bool) -> Iterator[Path]:
    """Within it, an empty folder beside `output`, which takes that name once all is written.

    An export that is there stays as it is until then. Whatever is raised within, nothing is left.

    Raises:
        InputError: as `check_output`, or something cannot be written.
    """
    check_output(output, overwrite)
    # Absolute, as '.' and '..' have no name that another could stand beside.
    output = output.absolute()
    partial, old = (output.with_name(f'{output.name}.{os.getpid()}.{what}') for what in ('partial', 'old'))
    try:
        partial.mkdir()
        yield partial
        if output.exists():
            output.rename(old)
        partial.rename(output)
    except OSError as error:
        raise unwritable(output, error.strerror or str(error)) from error
    finally:
        if old.exists() and not output.exists():
            old.rename(output)
        for folder in (partial, old):
            shutil.rmtree(folder, ignore_errors=True)


def unwritable(output: Path, reason: str) -> InputError:
    """The error of a folder that something cannot be written to."""
    return InputError(f'--output={output}: cannot be written ({reason}); free space or choose another folder')


def _is_export(folder: Path) -> bool:
    try:
        return json.loads((folder / MANIFEST).read_text())['format'] == FORMAT
    except (OSError, ValueError, TypeError, KeyError):
        return False
