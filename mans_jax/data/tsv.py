"""Folders of labelled triples: one 'head<TAB>relation<TAB>tail' a line."""

import os
import re
from itertools import chain
from pathlib import Path

import numpy as np

from mans_jax.data import lines
from mans_jax.errors import InputError

SUFFIXES = ('.tsv', '.txt')
"""The endings under which a split may be stored."""

# The whole of a file is matched at once; where the match ends, the first malformed line starts.
# An atomic group, not a possessive `(?:...)*+`: Python 3.11.2, which Debian 12 has, matches the latter wrongly.
_TRIPLE_LINES = re.compile(r'(?>(?:[^\t\n]++\t[^\t\n]++\t[^\t\n]++\n)*)')


def read(folder: str | os.PathLike) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, np.ndarray]]:
    """Reads `train`, `valid` and `test`, each a .tsv or .txt file of labelled triples without a heading.

    Entities and relations are numbered in the order in which train, valid and test, read line by line, first name
    them; in a line the head comes before the tail. Labels are taken as they stand: case and spaces count.

    Args:
        folder: the folder.

    Returns:
        (entities, relations, triples): E and R labels, the position is the id; 'train', 'valid' and 'test' as
        int32[N, 3] rows of (head, relation, tail), duplicates included.

    Raises:
        InputError: a file is missing, doubled or empty, or a line has not three labels.
    """
    columns = {split: _read_columns(_find(Path(folder), split)) for split in ('train', 'valid', 'test')}
    # A dict keeps the order of first insertion, and hashing strings is many times faster than sorting them.
    in_order = (chain.from_iterable(zip(head, tail, strict=True)) for head, _, tail in columns.values())
    entity_ids = _number(chain.from_iterable(in_order))
    relation_ids = _number(chain.from_iterable(relation for _, relation, _ in columns.values()))
    triples = {
        split: np.stack([_ids(entity_ids, head), _ids(relation_ids, relation), _ids(entity_ids, tail)], axis=1)
        for split, (head, relation, tail) in columns.items()
    }
    return tuple(entity_ids), tuple(relation_ids), triples


def _find(folder: Path, split: str) -> Path:
    """The one file of a split."""
    paths = [folder / f'{split}{suffix}' for suffix in SUFFIXES]
    found = [path for path in paths if path.exists()]
    names = ' and '.join(path.name for path in paths)
    if len(found) > 1:
        raise InputError(f'{folder}: {names} both exist; keep the one that holds the {split} triples')
    if not found:
        raise InputError(f'{folder}: no {split} triples; looked for {names}')
    return found[0]


def _read_columns(path: Path) -> tuple[list[str], list[str], list[str]]:
    """The labels of heads, relations and tails, line by line."""
    text = lines.read(path)
    if not text:
        raise InputError(f'{path}: no triple; every split needs at least one line "head<TAB>relation<TAB>tail"')
    good = _TRIPLE_LINES.match(text).end()
    if good != len(text):
        line = text[good : text.index('\n', good)]
        found = line.count('\t') + 1
        fault = f'has {found} columns separated by tabs' if found != 3 else 'has an empty label'
        number = text.count('\n', 0, good) + 1
        raise lines.error(path, number, f'{lines.quote(line)} {fault}, expected "head<TAB>relation<TAB>tail"')
    labels = text[:-1].replace('\n', '\t').split('\t')
    return labels[0::3], labels[1::3], labels[2::3]


def _number(labels) -> dict[str, int]:
    """Labels with their positions in the order of first appearance."""
    return {label: i for i, label in enumerate(dict.fromkeys(labels))}


def _ids(numbers: dict[str, int], labels: list[str]) -> np.ndarray:
    return np.fromiter(map(numbers.__getitem__, labels), dtype=np.int32, count=len(labels))
