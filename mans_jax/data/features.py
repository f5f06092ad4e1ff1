"""Feature matrices: one row an entity id, NaN where an entity has none."""

import os
from pathlib import Path

import numpy as np

from mans_jax.errors import InputError


def read_npy(path: str | os.PathLike, num_entities: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads the features of one modality.

    Args:
        path: a .npy file with float16, float32 or float64 [E, F]; a row that holds a NaN anywhere is a missing one.
        num_entities: E.

    Returns:
        (features float32[E, F], present bool[E]); a missing row is all zeros and not present.

    Raises:
        InputError: the file cannot be read, is not such a matrix, holds an infinite value or has only missing rows.
    """
    stored = _open(Path(path))
    _check_form(path, stored, num_entities)
    with np.errstate(over='ignore'):
        # A float64 beyond the range of float32 becomes infinite here and is refused as such below.
        features = np.array(stored, dtype=np.float32, order='C')
    present = np.isfinite(features).all(axis=1)
    suspects = np.flatnonzero(~present)
    infinite = np.isinf(features[suspects])
    if infinite.any():
        suspect, column = np.argwhere(infinite)[0]
        row = suspects[suspect]
        value = f'{stored[row, column]} is infinite in float32'
        raise InputError(f'{path}: row {row}, column {column}: {value}; store NaN in the row of an entity without data')
    if not present.any():
        raise InputError(f'{path}: no usable row, each of the {num_entities} holds a NaN; leave this modality out')
    features[suspects] = 0.0
    return features, present


def _open(path: Path) -> np.ndarray:
    """The array on disk; a memory map, so that a matrix of the wrong form is refused before it is read."""
    try:
        # Maps the file itself and nothing that it names: a pickled object is an error, never run.
        return np.lib.format.open_memmap(path, mode='r')
    except FileNotFoundError:
        raise InputError(f'{path}: no such file') from None
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})') from None
    except Exception as error:  # What NumPy raises over a damaged header depends on the damage; TokenError for one.
        reason = ' '.join(str(error).split())
        raise InputError(f'{path}: not a whole .npy file of numbers ({reason}); write it with numpy.save') from None


def _check_form(path: Path, stored: np.ndarray, num_entities: int) -> None:
    if stored.dtype.kind != 'f' or stored.dtype.itemsize not in (2, 4, 8):
        raise InputError(f'{path}: dtype {stored.dtype}; store features as float16 or float32')
    if stored.ndim != 2 or not stored.shape[-1]:
        raise InputError(f'{path}: shape {stored.shape}; store one row of features an entity, [{num_entities}, F]')
    if len(stored) != num_entities:
        cure = 'store one row an entity id, NaN where an entity has none'
        raise InputError(f'{path}: {len(stored)} rows for {num_entities} entities; {cure}')
