"""Negatives that somebody has chosen for train triples, from a text file."""

import os
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mans_jax.data import lines
from mans_jax.errors import InputError
from mans_jax.graph import HEAD, TAIL, KnowledgeGraph

LABEL, ID = 'label', 'id'
KEYS = (LABEL, ID)
"""What entities and relations are named by."""

_SIDES = {'head': HEAD, 'tail': TAIL}
_EXPECTED = '"head<TAB>relation<TAB>tail<TAB>side<TAB>negative<TAB>..."'


def read(
    path: str | os.PathLike, graph: KnowledgeGraph, keys: str = LABEL
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads lines 'head<TAB>relation<TAB>tail<TAB>side<TAB>negative<TAB>negative<TAB>...' without a heading.

    The first three name a train triple; side is 'head' or 'tail', the end that the negatives, one or more entities,
    take the place of. A triple may have several lines.

    Args:
        path: the file, compressed or not.
        graph: the graph.
        keys: whether entities and relations are named by their label or by their id.

    Returns:
        (triples int64[T, 3], side int64[T], entity int64[T]), one row a negative, in the order of the file.

    Raises:
        InputError: the file cannot be read or holds nothing, a line is malformed, names what the graph does not have or
            a triple that is not in train, or a negative of it makes a train triple.
        ValueError: `keys` is neither.
    """
    path = Path(path)
    if keys not in KEYS:
        raise ValueError(f"keys must be '{LABEL}' or '{ID}', not {keys!r}")
    entity_id, relation_id = (_ids(labels, keys) for labels in (graph.entities, graph.relations))
    rows, sides, negatives, numbers = [], [], [], []
    for number, line in tqdm(lines.numbered(path), desc=path.name, disable=not sys.stderr.isatty(), leave=False):
        head, relation, tail, side, *drawn = cells = _split(path, number, line)
        try:
            rows.append((entity_id[head], relation_id[relation], entity_id[tail]))
            negatives.append([entity_id[cell] for cell in drawn])
        except KeyError:
            raise _stranger(path, number, cells, entity_id, relation_id, keys) from None
        if side not in _SIDES:
            raise lines.error(path, number, f"the side is {lines.quote(side)}, but must be 'head' or 'tail'")
        sides.append(_SIDES[side])
        numbers.append(number)
    if not rows:
        raise InputError(f'{path}: no negative in it; a line is {_EXPECTED}')
    rows, sides, numbers = (np.array(column, np.int64) for column in (rows, sides, numbers))
    counts = [len(drawn) for drawn in negatives]
    triples, side, entity = np.repeat(rows, counts, axis=0), np.repeat(sides, counts), np.concatenate(negatives)
    _check_train(path, graph, numbers, rows)
    _check_unknown(path, graph, np.repeat(numbers, counts), triples, side, entity)
    return triples, side, entity


def _ids(labels, keys):
    return {str(i) if keys == ID else label: i for i, label in enumerate(labels)}


def _split(path, number, line):
    cells = line.split('\t')
    if len(cells) < 5:
        raise lines.error(
            path, number, f'{lines.quote(line)} has {len(cells)} columns separated by tabs, expected {_EXPECTED}'
        )
    if not all(cells):
        raise lines.error(path, number, f'{lines.quote(line)} has an empty column, expected {_EXPECTED}')
    return cells


def _stranger(path, number, cells, entity_id, relation_id, keys):
    """The error at the first name that the graph does not have."""
    for i, cell in enumerate(cells):
        known, what = (relation_id, 'relation') if i == 1 else (entity_id, 'entity')
        if i != 3 and cell not in known:
            break
    cure = f'name {what} ids, 0 to {len(known) - 1}' if keys == ID else "correct it, or set keys='id' where it is an id"
    return lines.error(path, number, f'column {i + 1}, {lines.quote(cell)}, is no {what} of the graph: {cure}')


def _codes(graph, rows):
    return (rows[:, 0].astype(np.int64) * graph.num_relations + rows[:, 1]) * graph.num_entities + rows[:, 2]


def _in_train(graph, rows):
    return np.isin(_codes(graph, rows), _codes(graph, graph.train))


def _check_train(path, graph, numbers, rows):
    missing = ~_in_train(graph, rows)
    if missing.any():
        i = missing.argmax()
        what = f'{graph.describe(rows[i])} is not a train triple, and only those have negatives'
        raise lines.error(path, numbers[i], f'{what}: leave the line out')


def _check_unknown(path, graph, numbers, triples, side, entity):
    corrupted = triples.copy()
    corrupted[np.arange(len(entity)), np.where(side == HEAD, 0, 2)] = entity
    known = _in_train(graph, corrupted)
    if known.any():
        i = known.argmax()
        what = f'{lines.quote(graph.entities[entity[i]])} is no negative, as {graph.describe(corrupted[i])} is in train'
        others = f' ({known.sum()} such in the file)' if known.sum() > 1 else ''
        raise lines.error(path, numbers[i], f'{what}: leave it out{others}')
