"""Many draws of a sampler, and whether they are distributed as a plain loop says.

Seeds are fixed and every p-value must exceed LOWEST_P, so a sampler that is right passes for good. With other seeds a
module with n such tests would fail by chance with a probability of n x LOWEST_P at most: below 0.002 for each module.
"""

import jax
import numpy as np
from scipy import stats

from mans_jax.graph import HEAD, TAIL, Triple
from mans_jax.sampling import Corruption, Sampler, View

LOWEST_P = 1e-4

_FEWEST = 8
"""Expected counts below it are added up: chi-square is an approximation."""


def draw_many(sampler: Sampler, positives: Triple, draws: int, seed: int = 0, view: View | None = None) -> Corruption:
    """Independent draws from the first state, as NumPy arrays [draws, B, K]."""
    keys = jax.random.split(jax.random.key(seed), draws + 1)
    state = sampler.init(keys[0])
    sample = jax.jit(jax.vmap(lambda key: sampler.sample(state, key, positives, view or View())[0]))
    return jax.device_get(sample(keys[1:]))


def counts_by_query(rows: np.ndarray, drawn: Corruption, num_entities: int) -> dict[tuple, np.ndarray]:
    """How often each entity was drawn for each positive and side: {(side, head, relation, tail): int[E]}."""
    counts = {}
    for b, row in enumerate(rows.tolist()):
        for side in (HEAD, TAIL):
            entity = drawn.entity[:, b][drawn.side[:, b] == side]
            count = np.bincount(entity.ravel(), minlength=num_entities)
            counts[side, *row] = counts.get((side, *row), 0) + count
    return counts


def answers(rows: np.ndarray, side: int, head: int, relation: int, tail: int) -> set[int]:
    """The known answers of a positive's query, by a loop over all triples."""
    if side == HEAD:
        return {h for h, r, t in rows.tolist() if (r, t) == (relation, tail)}
    return {t for h, r, t in rows.tolist() if (h, r) == (head, relation)}


def p_value(counts: dict[tuple, np.ndarray], distribution) -> float:
    """Of chi-square over all queries together.

    Args:
        counts: from `counts_by_query`.
        distribution: (side, head, relation, tail) -> float[E], the stated probabilities; what has 0 is never drawn.
    """
    statistic = freedom = 0
    for query, count in counts.items():
        want = np.asarray(distribution(*query), float)
        assert np.isclose(want.sum(), 1), query
        assert not count[want == 0].any(), query
        expected = want * count.sum()
        rare = expected < _FEWEST
        observed = np.append(count[~rare], count[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
        observed, expected = observed[expected > 0], expected[expected > 0]
        if len(expected) > 1:
            statistic += np.sum((observed - expected) ** 2 / expected)
            freedom += len(expected) - 1
    assert freedom > 30
    return float(stats.chi2.sf(statistic, freedom))


def check_sides(rows: np.ndarray, drawn: Corruption, probability) -> None:
    """The head is corrupted with the probability (relation) -> float."""
    for relation in np.unique(rows[:, 1]):
        sides = drawn.side[:, rows[:, 1] == relation]
        want = probability(relation)
        assert stats.binomtest(int((sides == HEAD).sum()), sides.size, want).pvalue > LOWEST_P, relation


def uniform_over(members, num_entities: int) -> np.ndarray:
    """Equal probabilities for some entities, float[E]."""
    members = sorted(members)
    probability = np.zeros(num_entities)
    probability[members] = 1 / len(members)
    return probability
