"""The MMKG collection: one file of labelled triples a graph, without a split."""

import os
from pathlib import Path

import numpy as np

from mans_jax.data import lines
from mans_jax.errors import InputError


def read(path: str | os.PathLike) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, np.ndarray]]:
    """Reads a file of entity triples and splits it.

    A line is 'head relation tail', separated by spaces or tabs, with or without a ' .' at its end. Entities and
    relations are numbered in the order in which lines name them. Distinct triples are split 8 : 1 : 1, the same way
    every time. See "MMKG: Multi-Modal Knowledge Graphs", Liu et al., 2019 (arXiv 1903.05485).

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
    if len(distinct) < 10:
        raise InputError(f'{path}: {len(distinct)} distinct triples; a split 8 : 1 : 1 needs at least 10')
    entities = {
        label: i for i, label in enumerate(dict.fromkeys(e for head, _, tail in distinct for e in (head, tail)))
    }
    relations = {label: i for i, label in enumerate(dict.fromkeys(relation for _, relation, _ in distinct))}
    ids = np.array([(entities[h], relations[r], entities[t]) for h, r, t in distinct], dtype=np.int32)
    order = np.random.default_rng(0).permutation(len(ids))
    tenth = len(ids) // 10
    bounds = {'train': (2 * tenth, len(ids)), 'valid': (0, tenth), 'test': (tenth, 2 * tenth)}
    # Within a split, the order of the file.
    triples = {split: ids[np.sort(order[a:b])] for split, (a, b) in bounds.items()}
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
