"""A split without duplicates and leaks: test keeps its place, valid is drawn afresh."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from mans_jax.data import splits
from mans_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Resplit:
    """A clean split and what became of the old one; all numbers are of distinct triples.

    Attributes:
        triples: 'train', 'valid' and 'test' as int[N, 3] rows of (head, relation, tail) ids.
        left_test: how many test triples were left out, since train has them.
        joined_train: how many triples of the old valid, that neither train nor test had, are train triples now.
        wanted_valid: how many triples the old valid had; the new one has fewer where train cannot spare as many.
    """

    triples: Mapping[str, np.ndarray]
    left_test: int
    joined_train: int
    wanted_valid: int


def resplit(triples: Mapping[str, np.ndarray], *, seed: int) -> Resplit:
    """Makes a split without duplicates and leaks.

    - Test keeps its triples in their order, but for duplicates and those that stand in train. They leave test, not
      train, as in `splits.clean`: train is what published models saw.
    - Valid is drawn from the old train uniformly, without replacement, as many as the old valid had distinct ones. No
      entity and no relation loses its last train triple to it.
    - Train keeps the rest, in its order, and gains what only the old valid had, so that no fact is lost.

    Args:
        triples: 'train', 'valid' and 'test' as int[N, 3] rows of (head, relation, tail) ids.
        seed: a non-negative number; the same one draws the same valid.

    Returns:
        The split.

    Raises:
        InputError: nothing is left of test, or train cannot spare a triple.
    """
    marks = splits.mark(triples)
    kept = {
        split: triples[split][first & ~np.any([~first, *seen.values()], axis=0)]
        for split, (first, seen) in marks.items()
    }
    wanted = int(marks['valid'][0].sum())
    if not len(kept['test']):
        raise InputError('test: no triple is left, all of them stand in train; give other test triples')
    drawn = _draw(kept['train'], kept['valid'], wanted, seed)
    if not drawn.any():
        raise InputError('train: no triple can be spared for valid, each is the last one of an entity or a relation')
    new = {
        'train': np.concatenate([kept['train'][~drawn], kept['valid']]),
        'valid': kept['train'][drawn],
        'test': kept['test'],
    }
    left_test = int(marks['test'][0].sum()) - len(kept['test'])
    return Resplit(new, left_test=left_test, joined_train=len(kept['valid']), wanted_valid=wanted)


def _draw(train: np.ndarray, joining: np.ndarray, wanted: int, seed: int) -> np.ndarray:
    """Which train triples go to valid, bool[N]."""
    every = np.concatenate([train, joining])
    entity_triples = np.bincount(every[:, [0, 2]].ravel()).tolist()
    # The ends of a loop are one triple.
    for entity in every[every[:, 0] == every[:, 2], 0].tolist():
        entity_triples[entity] -= 1
    relation_triples = np.bincount(every[:, 1]).tolist()
    drawn = []
    for row in np.random.default_rng(seed).permutation(len(train)).tolist():
        if len(drawn) == wanted:
            break
        head, relation, tail = train[row].tolist()
        if min(entity_triples[head], relation_triples[relation], entity_triples[tail]) > 1:
            drawn.append(row)
            relation_triples[relation] -= 1
            for entity in {head, tail}:
                entity_triples[entity] -= 1
    mask = np.zeros(len(train), dtype=bool)
    mask[drawn] = True
    return mask
