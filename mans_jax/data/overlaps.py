"""Relations that give each other's triples away: inverse, symmetric and parallel ones."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Two relations, or one with itself, whose pairs of entities are largely the same.

    Attributes:
        first: the label of a relation.
        second: that of another; of the same for kind 'symmetric'.
        kind: 'inverse' where (h, first, t) goes with (t, second, h), 'symmetric' where both are one relation,
            'parallel' where (h, first, t) goes with (h, second, t).
        shared: how many pairs of `first` stand for `second` too.
        share_of_first: `shared` by the number of pairs of `first`.
        share_of_second: the same of `second`.
        trivial_test: how many test triples follow from a train triple by this overlap.
    """

    first: str
    second: str
    kind: str
    shared: int
    share_of_first: float
    share_of_second: float
    trivial_test: int


def find(
    new: Mapping[str, np.ndarray], relations: Sequence[str], *, threshold: float, min_shared: int
) -> tuple[tuple[Overlap, ...], dict[str, np.ndarray]]:
    """Finds the relations that give others away, and the evaluation triples that they make trivial.

    A relation gives another one away, or itself, where at least `threshold` of its pairs (h, t) stand for the other one
    too, the same way round or reversed. Pairs are counted over all splits together: a split drawn at random tears many
    of them apart. A triple is trivial where a train triple of a relation that gives its own away holds the same pair.
    Pairs of an entity with itself do not count, as they have no direction.

    Args:
        new: 'train', 'valid' and 'test' as int[N, 3] rows of (head, relation, tail) ids, no triple twice among them.
        relations: R labels.
        threshold: the share of a relation's pairs from which on it gives the other away.
        min_shared: the least number of such pairs.

    Returns:
        (overlaps, those that make most test triples trivial first; for 'valid' and 'test' bool[N], which triples are
        trivial).
    """
    number = len(relations)
    looped = {split: rows[:, 0] == rows[:, 2] for split, rows in new.items()}
    rows = {split: new[split][~loop].astype(np.int64) for split, loop in looped.items()}
    every = np.concatenate(list(rows.values()))
    size = np.bincount(every[:, 1], minlength=number)
    links, shared = np.unique(_links(every, every, number)[0], return_counts=True)
    reverse, premise, conclusion = _decode(links, number)
    # The same way round every triple of a relation goes with itself.
    gives_away = (shared >= min_shared) & (shared >= threshold * size[premise]) & (reverse | (premise != conclusion))
    rules, shared = links[gives_away], shared[gives_away]
    trivial, follows = {}, {}
    for split in ('valid', 'test'):
        found, triple = _links(rows['train'], rows[split], number)
        ruled = np.isin(found, rules)
        trivial[split] = np.zeros(len(new[split]), dtype=bool)
        trivial[split][np.flatnonzero(~looped[split])[triple[ruled]]] = True
        # A triple that follows from one pair of relations both ways round counts once.
        once = set(zip(_unordered(found[ruled], number), triple[ruled].tolist(), strict=True))
        follows[split] = Counter(key for key, _ in once)
    overlaps = [
        _overlap(key, relations, size, together, follows['test'][key])
        for key, together in dict(zip(_unordered(rules, number), shared.tolist(), strict=True)).items()
    ]
    return tuple(sorted(overlaps, key=lambda x: (-x.trivial_test, -x.shared, x.first, x.second))), trivial


def _overlap(key: tuple[bool, int, int], relations: Sequence[str], size, shared: int, trivial_test: int) -> Overlap:
    reverse, first, second = key
    return Overlap(
        first=relations[first],
        second=relations[second],
        kind=('symmetric' if first == second else 'inverse') if reverse else 'parallel',
        shared=shared,
        share_of_first=shared / int(size[first]),
        share_of_second=shared / int(size[second]),
        trivial_test=trivial_test,
    )


def _links(premises: np.ndarray, conclusions: np.ndarray, num_relations: int) -> tuple[np.ndarray, np.ndarray]:
    """Every two triples of one pair of entities: the code of (reversed, premise, conclusion), row of the conclusion."""
    bound = max(rows[:, [0, 2]].max(initial=0) for rows in (premises, conclusions)) + 1
    codes, triples = [], []
    for reverse, head, tail in ((0, 0, 2), (1, 2, 0)):
        i, j = _matches(premises[:, head] * bound + premises[:, tail], conclusions[:, 0] * bound + conclusions[:, 2])
        codes.append((reverse * num_relations + premises[i, 1]) * num_relations + conclusions[j, 1])
        triples.append(j)
    return np.concatenate(codes), np.concatenate(triples)


def _decode(links: np.ndarray, num_relations: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(reversed, premise, conclusion) of the codes."""
    rest, conclusion = np.divmod(links, num_relations)
    reverse, premise = np.divmod(rest, num_relations)
    return reverse == 1, premise, conclusion


def _unordered(links: np.ndarray, num_relations: int) -> list[tuple[bool, int, int]]:
    """(reversed, relation, relation) of the codes, the lower id first."""
    reverse, premise, conclusion = _decode(links, num_relations)
    lower, upper = np.minimum(premise, conclusion), np.maximum(premise, conclusion)
    return list(zip(reverse.tolist(), lower.tolist(), upper.tolist(), strict=True))


def _matches(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All (i, j) with left[i] == right[j]."""
    order = np.argsort(right, kind='stable')
    start, end = (np.searchsorted(right[order], left, side=side) for side in ('left', 'right'))
    number = end - start
    i = np.repeat(np.arange(len(left)), number)
    within = np.arange(len(i)) - np.repeat(np.cumsum(number) - number, number)
    return i, order[start[i] + within]
