"""Labelled triples, in a folder with a file a split or in one file."""

import itertools
import os
from pathlib import Path

import numpy as np

from mans_jax.data import lines
from mans_jax.data.labels import Collision, LabelIds
from mans_jax.data.ntriples import read_ntriples
from mans_jax.data.tables import read_csv, read_tsv
from mans_jax.errors import InputError

FORMATS = {'.tsv': read_tsv, '.txt': read_tsv, '.csv': read_csv, '.nt': read_ntriples}
"""What reads a file, by its ending, behind which .gz or .zst may follow."""

SPLITS = ('train', 'valid', 'test')


def find_split(folder: Path, split: str) -> Path | None:
    """The one file of a split, in any format; None where there is none.

    Raises:
        InputError: there are several.
    """
    return lines.find(folder, [split + suffix for suffix in FORMATS])


def read(folder: str | os.PathLike) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, np.ndarray]]:
    """Reads `train`, `valid` and `test`, each a file of labelled triples in one of `FORMATS`.

    Entities and relations are numbered in the order in which train, valid and test, read line by line, first name
    them; in a line the head comes before the tail. Labels are taken as they stand: case and spaces count.

    Args:
        folder: the folder.

    Returns:
        (entities, relations, triples): E and R labels, the position is the id; 'train', 'valid' and 'test' as
        int32[N, 3] rows of (head, relation, tail), duplicates included.

    Raises:
        InputError: a file is missing, doubled or empty, or a line of it is malformed.
    """
    folder = Path(folder)
    paths = [find_split(folder, split) for split in SPLITS]
    for split, path in zip(SPLITS, paths, strict=True):
        if path is None:
            names = ' or '.join(split + suffix for suffix in FORMATS)
            raise InputError(f'{folder}: no {split} triples; looked for {names}')
    entities, relations, rows = _read_files(paths)
    return entities, relations, dict(zip(SPLITS, rows, strict=True))


def read_file(path: str | os.PathLike) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
    """Reads one file of labelled triples, numbered as by `read`.

    Returns:
        (entities, relations, triples): E and R labels, and int32[N, 3] rows of (head, relation, tail), duplicates
        included.

    Raises:
        InputError: the ending names no format, the file is empty, or a line of it is malformed.
    """
    path = Path(path)
    if lines.suffix(path) not in FORMATS:
        known = ', '.join(FORMATS)
        raise InputError(f'{path}: the ending tells no format of triples; known: {known}, each also with .gz or .zst')
    entities, relations, (rows,) = _read_files([path])
    return entities, relations, rows


def _read_files(paths):
    """Labels of entities and of relations, and the rows int32[N, 3] of each file."""
    for seed in itertools.count():
        try:
            entity_ids, relation_ids = LabelIds(seed), LabelIds(seed)
            rows = [_read_rows(path, entity_ids, relation_ids) for path in paths]
        except Collision:
            continue
        return tuple(entity_ids.labels), tuple(relation_ids.labels), rows


def _read_rows(path: Path, entity_ids: LabelIds, relation_ids: LabelIds) -> np.ndarray:
    blocks = []
    for block in FORMATS[lines.suffix(path)](path):
        ends = entity_ids.number(block.columns([0, 2])).reshape(-1, 2)
        relation = relation_ids.number(block.columns([1]))
        blocks.append(np.stack([ends[:, 0], relation, ends[:, 1]], axis=1))
    if not any(len(block) for block in blocks):
        raise InputError(f'{path}: no triple; a file of triples needs at least one line "head<TAB>relation<TAB>tail"')
    return np.concatenate(blocks)
