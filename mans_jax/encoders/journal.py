"""Work in batches that goes on where it was stopped."""

import contextlib
import json
import os
import shutil
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from absl import logging
from tqdm import tqdm

from mans_jax.errors import InputError

_HEAD = struct.Struct('<IIII')
"""Before a record: the CRC-32 of all that follows it, rows, width, and the bytes of the notes."""


class Batch(NamedTuple):
    """The result of a batch.

    Attributes:
        values: float32[N, F], for any N.
        notes: what there is to say of single items, by name.
    """

    values: np.ndarray
    notes: dict[str, str]


def run(
    folder: Path, settings: Mapping[str, Any], batches: Sequence[Sequence], encode: Callable[[Sequence], Batch]
) -> Iterator[Batch]:
    """Yields `encode(batch)` for each batch, of those that an earlier run has done from the folder.

    A result is added to the folder before it is yielded, and what a killed process left unfinished is done again. So
    results do not depend on interruptions as long as `encode` gives the same for the same batch.

    Args:
        folder: made where it is missing; `clear` takes it away.
        settings: all that the results depend on, as JSON. If the folder has others it starts over, and says why.
        batches: the items of each batch.
        encode: batch -> result.

    Raises:
        InputError: the folder cannot be written.
    """
    total, done = sum(map(len, batches)), 0
    with _refusing(folder):
        _begin(folder, json.loads(json.dumps(settings)))
        file = (folder / 'batches').open('r+b')
    with file, tqdm(total=total, disable=not sys.stderr.isatty(), leave=False) as bar:
        for batch in batches:
            start = file.tell()
            result = _read(file)
            if result is None:
                if done:
                    logging.info('%s: %d of %d are done, going on behind them', folder, done, total)
                result, done = encode(batch), 0
                with _refusing(folder):
                    _write(file, start, result)
            else:
                done += len(batch)
            bar.update(len(batch))
            yield result


def clear(folder: Path) -> None:
    """Deletes the folder of `run`, where there is one."""
    shutil.rmtree(folder, ignore_errors=True)


def _begin(folder: Path, settings: dict) -> None:
    """Makes the folder ready; a record of other settings goes."""
    path, batches = folder / 'settings.json', folder / 'batches'
    folder.mkdir(exist_ok=True)
    try:
        earlier = json.loads(path.read_text(encoding='utf-8'))
    except (FileNotFoundError, ValueError):
        earlier = None
    if earlier != settings:
        batches.unlink(missing_ok=True)
        if isinstance(earlier, dict):
            changed = ', '.join(sorted(k for k in earlier | settings if earlier.get(k) != settings.get(k)))
            logging.warning('%s: begun with another %s; starting over', folder, changed)
        path.write_text(json.dumps(settings), encoding='utf-8')
    batches.touch()


def _write(file: BinaryIO, start: int, result: Batch) -> None:
    values = np.ascontiguousarray(result.values, dtype='<f4')
    notes = json.dumps(result.notes).encode()
    content = struct.pack('<III', *values.shape, len(notes)) + notes + values.tobytes()
    file.seek(start)
    file.truncate()
    file.write(struct.pack('<I', zlib.crc32(content)) + content)
    # The system has it then: only a machine that stops, not a process that is killed, can lose it.
    file.flush()


@contextlib.contextmanager
def _refusing(folder: Path):
    try:
        yield
    except OSError as error:
        cure = 'free space or choose another place, then do the same again'
        raise InputError(f'{folder}: cannot be written ({error.strerror}); {cure}') from None


def _read(file: BinaryIO) -> Batch | None:
    """The next record; None where there is no whole one."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    checksum, rows, width, size = _HEAD.unpack(head)
    # A damaged head could name any size: what is not there is not asked for.
    wanted = size + 4 * rows * width
    if wanted > os.fstat(file.fileno()).st_size - file.tell():
        return None
    body = file.read(wanted)
    if zlib.crc32(head[4:] + body) != checksum:
        return None
    values = np.frombuffer(body, dtype='<f4', offset=size).reshape(rows, width)
    return Batch(values.astype(np.float32), json.loads(body[:size]))
