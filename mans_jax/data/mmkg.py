"""The MMKG collection: one file of labelled triples a graph, without a split."""

import os
from pathlib import Path

import numpy as np

from mans_jax.data import lines
from mans_jax.data.ratios import split_by_ratios
from mans_jax.errors import InputError


def read(path: str | os.PathLike) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, np.ndarray]]:
    """Reads a file of entity triples and splits it.

    A line is 'head relation tail', separated by spaces or tabs, with or without a ' .' at its end. Entities and
    relations are numbered in the order in which lines name them. Distinct triples are split 8 : 1 : 1, the same way
    every time, and train names every entity. See "MMKG: Multi-Modal Knowledge Graphs", Liu et al., 2019 (arXiv
    1903.05485).

    Args:
        path: the file.

    Returns:
        (entities, relations, triples): E and R labels, the position is the id; 'train', 'valid' and 'test' as
        int32[N, 3] rows of (head, relation, tail).

    Raises:
        InputError: the file is missing, a line has not three labels, or there are too few triples to split.
    """
    path = Path(path)
    rows = [_labels(path, number, line) for number, line in enumerate(lines.read(path).splitlines(), start=1)]
    distinct = list(dict.fromkeys(rows))
    entities = {
        label: i for i, label in enumerate(dict.fromkeys(e for head, _, tail in distinct for e in (head, tail)))
    }
    relations = {label: i for i, label in enumerate(dict.fromkeys(relation for _, relation, _ in distinct))}
    ids = [(entities[head], relations[relation], entities[tail]) for head, relation, tail in distinct]
    try:
        triples = split_by_ratios(np.array(ids, dtype=np.int32).reshape(-1, 3), (0.8, 0.1, 0.1))
    except InputError as error:
        raise InputError(f'{path}: {error}') from None
    return tuple(entities), tuple(relations), triples


def _labels(path: Path, number: int, line: str) -> tuple[str, str, str]:
    labels = line.split()
    if len(labels) == 4 and labels[-1] == '.':
        labels.pop()
    if len(labels) != 3:
        raise lines.error(
            path, number, f'{lines.quote(line)} is not "head relation tail", with or without a final " ."'
        )
    return tuple(labels)
