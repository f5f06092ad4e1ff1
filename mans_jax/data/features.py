"""Feature matrices of a graph's entities, from files of many formats."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import ml_dtypes
import numpy as np
from absl import logging

from mans_jax.data import lines
from mans_jax.data.feature_files import Stored, open_features
from mans_jax.errors import InputError

FLOATS = frozenset(
    ['float16', 'float32', 'float64', 'bfloat16']
    + [name for name in dir(ml_dtypes) if name.startswith('float8_e') and name != 'float8_e8m0fnu']
)
"""The types that features may have in a file."""

_ROWS = 1 << 14

_MAPPED = ('.npy', '.safetensors')


def read(
    path: str | os.PathLike, entities: Sequence[str], passed_over: Collection[str] = (), *, mapped: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Reads the features of one modality.

    A file with labels, its own or in a text file beside it, has them in any order; a warning counts and names the
    labels that are no entity and the entities that have no label. Without labels, row i is that of entity i.

    Args:
        path: a file in one of `feature_files.FORMATS` with floats [N, F]; a row that holds a NaN anywhere is missing.
        entities: the E labels of the graph.
        passed_over: labels that the file may have too, and that are not asked for.
        mapped: whether the features may be a map of the file, which nobody must change then. They are where a .npy or
            .safetensors has them as they are returned: float32, in the order of ids, no row missing.

    Returns:
        (features float32[E, F], present bool[E]); a missing row is all zeros and not present.

    Raises:
        InputError: the file cannot be read, is not such a matrix or another graph's, names an entity twice, holds an
            infinite value or has only missing rows.
    """
    path = Path(path)
    with open_features(path) as stored:
        _check_form(path, stored, len(entities))
        ids = np.arange(len(entities)) if stored.labels is None else match(path, stored, entities, passed_over)
        if mapped and _is_whole(path, stored, ids, len(entities)):
            return stored.values, np.ones(len(entities), dtype=bool)
        features = np.zeros((len(entities), stored.values.shape[1]), dtype=np.float32)
        present = np.zeros(len(entities), dtype=bool)
        for start in range(0, len(ids), _ROWS):
            known = ids[start : start + _ROWS]
            rows = start + np.flatnonzero(known >= 0)
            block, finite = _to_float32(path, stored.values[start : start + _ROWS][known >= 0], rows)
            features[known[known >= 0]], present[known[known >= 0]] = block, finite
    if not present.any():
        raise InputError(f'{path}: no usable row, each of the {len(entities)} holds a NaN; leave this modality out')
    return features, present


def _is_whole(path: Path, stored: Stored, ids: np.ndarray, num_entities: int) -> bool:
    """Whether a file is mapped and holds what `read` returns."""
    values = stored.values
    if path.suffix.lower() not in _MAPPED or values.dtype != np.float32 or not values.flags.c_contiguous:
        return False
    if len(ids) != num_entities or (ids != np.arange(num_entities)).any():
        return False
    return all(
        _to_float32(path, values[start : start + _ROWS], np.arange(start, len(values)))[1].all()
        for start in range(0, len(values), _ROWS)
    )


def _check_form(path: Path, stored: Stored, num_entities: int) -> None:
    values = stored.values
    if values.dtype.name not in FLOATS:
        raise InputError(f'{path}: dtype {values.dtype}; store features as float16 or float32')
    if values.ndim != 2 or not values.shape[1]:
        raise InputError(f'{path}: shape {values.shape}; store one row of features an entity, [{num_entities}, F]')
    if stored.labels is None and len(values) != num_entities:
        cure = 'store one row an entity id, NaN where an entity has none, or the labels of the rows'
        raise InputError(f'{path}: {len(values)} rows for {num_entities} entities; {cure}')
    if stored.labels is not None and len(stored.labels) != len(values):
        raise InputError(f'{stored.source}: {len(stored.labels)} labels for the {len(values)} rows of {path}')


def match(path: Path, stored: Stored, entities: Sequence[str], passed_over: Collection[str] = ()) -> np.ndarray:
    """The entity id of each row, int64[N]; -1 where its label is no entity.

    A warning counts and names the labels that are no entity and the entities that have no label.

    Args:
        path: the file that is meant, for messages.
        stored: its labels; the values do not matter.
        entities: the E labels of the graph.
        passed_over: labels that are no entity but may be there, too.

    Raises:
        InputError: a label comes twice, or none of them is an entity.
    """
    first = {}
    for row, label in enumerate(stored.labels):
        if first.setdefault(label, row) != row:
            where = f'rows {first[label]} and {row} (counted from 0)'
            if stored.source != path:
                where = f'lines {first[label] + 1} and {row + 1}'
            raise InputError(f'{stored.source}: label {lines.quote(label)} twice, in {where}; keep one')
    id_of = {label: i for i, label in enumerate(entities)}
    ids = np.fromiter((id_of.get(label, -1) for label in stored.labels), dtype=np.int64, count=len(stored.labels))
    expected = {*id_of, *passed_over}
    unknown = [label for label in stored.labels if label not in expected]
    if len(unknown) == len(ids):
        example = f'the file has {lines.name_some(unknown)}; the graph has {lines.name_some(entities)}'
        raise InputError(f"{path}: none of its {len(ids)} labels is an entity, so it is another graph's: {example}")
    missing = [label for label in entities if label not in first]
    said = []
    if unknown:
        said.append(f'{len(unknown)} of {len(ids)} labels are no entity and left out: {lines.name_some(unknown)}')
    if missing:
        said.append(f'{len(missing)} of {len(entities)} entities have no row: {lines.name_some(missing)}')
    if said:
        logging.warning('%s: %s', path, '; '.join(said))
    return ids


def _to_float32(path: Path, stored: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some rows as float32, zeros where they are missing, and which of them are not."""
    with np.errstate(over='ignore'):
        # A float64 beyond the range of float32 becomes infinite here and is refused as such below.
        block = np.array(stored, dtype=np.float32, order='C')
    finite = np.isfinite(block).all(axis=1)
    suspects = np.flatnonzero(~finite)
    infinite = np.argwhere(np.isinf(block[suspects]))
    if len(infinite):
        row, column = suspects[infinite[0, 0]], infinite[0, 1]
        value = f'{stored[row, column]} is infinite in float32'
        cure = 'store NaN in the row of an entity without data'
        raise InputError(f'{path}: row {rows[row]}, column {column}: {value}; {cure}')
    block[suspects] = 0.0
    return block, finite
