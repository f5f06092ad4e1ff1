"""Writes features with their labels and where they come from, as safetensors."""

import hashlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mans_jax.data import lines
from mans_jax.encoders.rows import Encoded
from mans_jax.errors import InputError

DTYPES = {'float32': 'F32', 'float16': 'F16'}
"""The types that features are written in, and how safetensors calls them."""

_ROWS = 1 << 14


def check_output(path: Path) -> None:
    """Refuses a place that features cannot be written to, before they are made.

    Raises:
        InputError: the name has another ending, something is there already, or the folder is missing.
    """
    if path.suffix.lower() != '.safetensors':
        raise InputError(f'--output={path}: the name must end in .safetensors')
    if path.exists():
        raise InputError(f'--output={path}: is there already; delete it or choose another name')
    if not path.parent.is_dir():
        raise InputError(f'--output={path}: no such folder {path.parent}; make it first')


def partial_folder(path: Path) -> Path:
    """Where what is done so far is kept until the features are written."""
    return path.with_name(path.name + '.partial')


def write(path: Path, encoded: Encoded, *, dtype: str = 'float32') -> None:
    """Writes the tensor 'features' with the metadata 'labels', a JSON list, and 'provenance', a JSON object.

    The same arguments give the same bytes, which the safetensors library, whose metadata has no order, does not
    promise. Whatever happens on the way, the file is whole or not there.

    Args:
        path: the file, for which `features.read` takes it.
        encoded: the features.
        dtype: one of `DTYPES`.

    Raises:
        InputError: a value is not finite in this type, or the file cannot be written.
    """
    labels, values, record = encoded
    stored = [
        _checked(labels[start : start + _ROWS], values[start : start + _ROWS], dtype)
        for start in range(0, len(values), _ROWS)
    ]
    metadata = {'labels': _json(labels), 'provenance': _json({**record, **_circumstances(dtype, values.shape)})}
    size = sum(block.nbytes for block in stored)
    tensor = {'dtype': DTYPES[dtype], 'shape': list(values.shape), 'data_offsets': [0, size]}
    header = _json({'__metadata__': metadata, 'features': tensor}).encode()
    # The numbers then begin at a multiple of eight bytes.
    header += b' ' * (-len(header) % 8)
    temporary = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    try:
        with temporary.open('wb') as file:
            file.write(len(header).to_bytes(8, 'little') + header)
            for block in stored:
                file.write(block)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f'{path}: cannot be written ({error.strerror}); free space, then do the same again') from None


def _checked(labels: Sequence[str], values: np.ndarray, dtype: str) -> np.ndarray:
    with np.errstate(over='ignore'):
        block = np.ascontiguousarray(values, dtype=f'<f{np.dtype(dtype).itemsize}')
    wrong = np.argwhere(~np.isfinite(block))
    if len(wrong):
        row, column = wrong[0]
        cure = 'write float32' if np.isfinite(values[row, column]) else 'the model or its input is at fault'
        what = f'column {column} of {lines.quote(labels[row])} is {values[row, column]:g}, not finite in {dtype}'
        raise InputError(f'{what}; {cure}')
    return block


def _circumstances(dtype: str, shape: Sequence[int]) -> dict:
    return {
        'rows': shape[0],
        'width': shape[1],
        'dtype': dtype,
        'command': ['python', '-m', 'mans_jax.features', *sys.argv[1:]],
        'python': platform.python_version(),
    }


def _json(content) -> str:
    return json.dumps(content, ensure_ascii=False)


def versions(*libraries: str) -> dict[str, str | None]:
    """The installed version of each library, of this one too; None where it is not installed."""
    found = {}
    for library in ('mans_jax', *libraries):
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            found[library] = None
    return found


def file_digest(path: Path) -> str:
    """The SHA-256 of a file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open('rb') as file:
            return hashlib.file_digest(file, 'sha256').hexdigest()
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})') from None


def labels_digest(labels: Sequence[str] | None) -> str | None:
    """The SHA-256 of labels in their order; None without any."""
    return None if labels is None else hashlib.sha256(_json(list(labels)).encode()).hexdigest()
