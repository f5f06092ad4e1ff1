"""Triples into train, valid and test by ratios."""

import math
from collections.abc import Sequence

import numpy as np
from absl import logging

from mans_jax.errors import InputError

_BLOCK = 1 << 18


def split_by_ratios(triples: np.ndarray, ratios: Sequence[float], seed: int = 0) -> dict[str, np.ndarray]:
    """Draws valid and test at random, so that train still names each of their entities and relations.

    The ratios are those of distinct triples; duplicates of a triple go where it goes, so that nothing leaks. Where a
    graph has too few triples that can be spared (a tree has none), valid and test become smaller, in proportion, and a
    warning says so.

    Args:
        triples: int[N, 3] rows of (head, relation, tail) ids.
        ratios: of train, valid and test, positive; they sum to 1.
        seed: of the drawing; the same triples and seed give the same splits.

    Returns:
        'train', 'valid' and 'test' as rows of `triples`, in their order.

    Raises:
        InputError: the ratios have no meaning, or nothing is left for a split.
    """
    shares = check_ratios(ratios)
    distinct, code = _distinct(triples)
    rng = np.random.default_rng(seed)
    wanted = [round(share * len(distinct)) for share in shares[1:]]
    # Later choices had fewer triples to choose from, so that valid and test are drawn anew from all of them.
    spared = rng.permutation(_spare(distinct, rng.permutation(len(distinct)), sum(wanted)))
    num_valid = wanted[0]
    if len(spared) < sum(wanted):
        num_valid = round(len(spared) * shares[1] / (shares[1] + shares[2]))
        logging.warning(
            'ratios %s: only %d of %d triples can be held out, as train must name every entity and relation',
            ', '.join(f'{share:g}' for share in shares),
            len(spared),
            sum(wanted),
        )
    split_of = np.zeros(len(distinct), dtype=np.int8)
    split_of[spared[:num_valid]], split_of[spared[num_valid:]] = 1, 2
    parts = {name: triples[split_of[code] == i] for i, name in enumerate(('train', 'valid', 'test'))}
    for name, rows in parts.items():
        if not len(rows):
            cure = 'give other ratios, or files train, valid and test in a folder'
            raise InputError(f'ratios: no triple for {name}, {len(spared)} of {len(distinct)} can be held out; {cure}')
    return parts


def check_ratios(ratios: Sequence[float], where: str = 'ratios') -> tuple[float, ...]:
    """The ratios as floats; `where` they stand is named in the error.

    Raises:
        InputError: they are not three positive numbers with the sum 1.
    """
    try:
        shares = tuple(float(share) for share in ratios)
    except (TypeError, ValueError):
        shares = ()
    if len(shares) != 3 or not all(share > 0 for share in shares) or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise InputError(f'{where}: {ratios!r} is not three positive shares with the sum 1, such as (0.8, 0.1, 0.1)')
    return shares


def _distinct(triples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows and, for each triple, which of them it is."""
    head, relation, tail = triples.astype(np.int64).T
    bound = triples.max(initial=0) + np.int64(1)
    # In two steps: bound**3 overflows for ids that int32 still holds.
    _, pair = np.unique(head * bound + tail, return_inverse=True)
    _, first, code = np.unique(pair * bound + relation, return_index=True, return_inverse=True)
    return triples[first], code


def _spare(triples: np.ndarray, order: np.ndarray, number: int) -> np.ndarray:
    """At most `number` triples without which the others still name all entities and relations, int64[...] rows."""
    ends = np.concatenate([triples[:, 0], triples[triples[:, 0] != triples[:, 2], 2]])
    # Plain lists: the loop touches one number at a time, at which they are faster than arrays.
    degree, uses = np.bincount(ends).tolist(), np.bincount(triples[:, 1]).tolist()
    spared = []
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        for i, h, r, t in zip(block.tolist(), *triples[block].T.tolist(), strict=True):
            if len(spared) == number:
                break
            if degree[h] > 1 and degree[t] > 1 and uses[r] > 1:
                degree[h] -= 1
                degree[t] -= h != t
                uses[r] -= 1
                spared.append(i)
    return np.array(spared, dtype=np.int64)
