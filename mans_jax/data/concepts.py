"""Which entity has which concepts, from a text file."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging

from mans_jax.data import lines
from mans_jax.errors import InputError


def read(path: str | os.PathLike, entities: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Reads lines 'entity<TAB>concept' without a heading; an entity has a line for each of its concepts.

    A warning counts and names the labels that are no entity, whose lines are left out, and counts the entities that
    have no concept.

    Args:
        path: the file, compressed or not.
        entities: the E labels of the graph.

    Returns:
        (entity, concept), int64[T] each: ids of entities, and of concepts in the order in which the file names them.

    Raises:
        InputError: the file cannot be read, a line is malformed, or none is about an entity of the graph.
    """
    path = Path(path)
    id_of = {label: i for i, label in enumerate(entities)}
    concepts, pairs, strangers = {}, {}, {}
    for number, line in lines.numbered(path):
        label, _, concept = line.partition('\t')
        if not label or not concept or '\t' in concept:
            raise lines.error(path, number, f'{lines.quote(line)}, expected "entity<TAB>concept"')
        if label in id_of:
            pairs[id_of[label], concepts.setdefault(concept, len(concepts))] = None
        else:
            strangers[label] = None
    if not pairs:
        said = f'the file has {lines.name_some(list(strangers))}; ' if strangers else ''
        raise InputError(
            f'{path}: no line is about an entity of the graph: {said}the graph has {lines.name_some(entities)}'
        )
    entity, concept = np.array(list(pairs)).T
    without = len(entities) - len(np.unique(entity))
    if strangers or without:
        said = f'{len(strangers)} labels are no entity and left out: {lines.name_some(list(strangers))}; '
        logging.warning('%s: %s%d of %d entities have no concept', path, said * bool(strangers), without, len(entities))
    return entity, concept
