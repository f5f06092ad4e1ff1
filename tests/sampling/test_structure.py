"""Structure-aware negatives: the sets against powers of the adjacency matrix, the draws against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mans_jax.graph import HEAD, KnownTriples, Triple
from mans_jax.sampling import View, neighbourhoods, sans, walk_ends
from mans_jax.sampling.pools import Segments
from tests.draws import LOWEST_P, answers, counts_by_query, draw_many, p_value, uniform_over

E = 40


@pytest.fixture(scope='module')
def rows():
    """A hub, a ring with a loop and a pair by itself; entities 36 to 39 have no triple."""
    rng = np.random.default_rng(3)
    rows = [(0, 0, t) for t in range(1, 8)] + [(i, 1, i + 1) for i in range(8, 30)] + [(30, 1, 8), (20, 2, 20)]
    rows += [(int(h), 2, int(t)) for h, t in rng.integers(0, 34, (12, 2))] + [(34, 0, 35)]
    return np.array(sorted(set(rows)))


@pytest.fixture(scope='module')
def known(rows):
    return KnownTriples.build(rows, num_entities=E)


def adjacency(rows):
    matrix = np.zeros((E, E), int)
    matrix[rows[:, 0], rows[:, 2]] = matrix[rows[:, 2], rows[:, 0]] = 1
    return matrix


def members(pools, entity):
    """Of one set, on the host; what the device makes of an index in it is seen in the draws."""
    if isinstance(pools.sets, Segments):
        return np.asarray(pools.sets.member)[slice(*np.asarray(pools.sets.start)[entity : entity + 2])].tolist()
    words = np.asarray(pools.sets.words).reshape(E, -1)
    return np.flatnonzero(np.unpackbits(words[entity].view(np.uint8), bitorder='little')).tolist()


@pytest.mark.parametrize('hops', [1, 2, 3, 5])
def test_neighbourhoods_are_the_support_of_two_powers_of_the_adjacency(rows, known, hops):
    powers = [np.linalg.matrix_power(adjacency(rows), k) for k in (hops - 1, hops)]
    pools = neighbourhoods(known, hops)
    for entity in range(E):
        assert members(pools, entity) == np.flatnonzero((powers[0] + powers[1])[entity]).tolist()


def test_every_walk_starts_at_its_entity_and_all_ends_are_found(rows, known):
    reachable = np.linalg.matrix_power(adjacency(rows), 3) > 0
    pools = walk_ends(known, 3, 4000)
    for entity in range(E):
        assert members(pools, entity) == np.flatnonzero(reachable[entity]).tolist()
    few = walk_ends(known, 3, 2)
    sizes = [len(members(few, entity)) for entity in range(E)]
    assert max(sizes) == 2 and sizes[36:] == [0] * 4


def test_walks_are_random():
    """Over 1,000 copies of one small graph, from each of whose entities one walk starts."""
    edges, copies = np.array([(0, 1), (0, 2), (2, 3), (3, 3), (3, 4), (4, 0)]), 1000
    every = (edges[None] + 5 * np.arange(copies)[:, None, None]).reshape(-1, 2)
    rows = np.stack([every[:, 0], np.zeros(len(every), int), every[:, 1]], axis=1)
    pools = walk_ends(KnownTriples.build(rows, num_entities=5 * copies), 2, 1)
    ends = np.asarray(pools.sets.member)[:-1].reshape(copies, 5) % 5
    matrix = np.zeros((5, 5))
    matrix[edges[:, 0], edges[:, 1]] = matrix[edges[:, 1], edges[:, 0]] = 1
    want = np.linalg.matrix_power(matrix / matrix.sum(axis=1, keepdims=True), 2)
    for entity in range(5):
        possible = np.flatnonzero(want[entity])
        counts = np.bincount(ends[:, entity], minlength=5)[possible]
        assert counts.sum() == copies and len(possible) > 1
        assert stats.chisquare(counts, copies * want[entity, possible]).pvalue > LOWEST_P


@pytest.mark.parametrize('variant', ['uniform', 'random_walk'])
def test_what_is_around_the_kept_entity_and_no_answer_is_equally_likely(rows, known, variant):
    pools = neighbourhoods(known, 3) if variant == 'uniform' else walk_ends(known, 3, 5)
    drawn = draw_many(sans(known, pools, 4), Triple.from_rows(jnp.asarray(rows)), 1500)
    assert drawn.entity.shape == (1500, len(rows), 4) and drawn.replaced.all()
    around = [set(members(pools, entity)) for entity in range(E)]
    nothing_left = []

    def distribution(side, head, relation, tail):
        known_answers = answers(rows, side, head, relation, tail)
        left = around[tail if side == HEAD else head] - known_answers
        nothing_left.append(not left)
        return uniform_over(left or set(range(E)) - known_answers, E)

    assert p_value(counts_by_query(rows, drawn, E), distribution) > LOWEST_P
    # Both cases have occurred: with 3 hops the pair has itself to draw from, with walks only the other one, its answer.
    assert any(nothing_left) == (variant == 'random_walk') and not all(nothing_left)


def test_positives_that_are_not_known_and_entities_without_a_triple_have_negatives(rows, known):
    everything = np.stack(np.meshgrid(*map(np.arange, (E, 3, E)), indexing='ij'), axis=-1).reshape(-1, 3)
    positives = Triple.from_rows(jnp.asarray(everything))
    for pools in (neighbourhoods(known, 2), walk_ends(known, 2, 7)):
        corruption, _ = jax.jit(sans(known, pools, 9).sample)((), jax.random.key(0), positives, View())
        assert not np.any(known.contains(corruption.apply(positives)))
        alone = (everything[:, 0] >= 36) & (everything[:, 2] >= 36)
        assert set(np.asarray(corruption.entity)[alone].ravel()) == set(range(E))


def test_blocks_do_not_change_the_sets(rows, known, monkeypatch):
    whole, walked = neighbourhoods(known, 3), walk_ends(known, 3, 4000)
    monkeypatch.setattr('mans_jax.sampling.structure._BLOCK_BYTES', 40)
    assert jax.tree.all(jax.tree.map(np.array_equal, whole, neighbourhoods(known, 3)))
    assert jax.tree.all(jax.tree.map(np.array_equal, walked, walk_ends(known, 3, 4000)))


def test_tables_that_would_not_fit_are_refused_with_a_cure(known, monkeypatch):
    monkeypatch.setattr('mans_jax.sampling.structure.MOST_BYTES', 100)
    with pytest.raises(ValueError, match="40 entities take .* GiB as bits, more than 1 GiB: set variant='random_walk'"):
        neighbourhoods(known, 3)
    with pytest.raises(ValueError, match='the ends of 9 walks from 40 entities take more than 1 GiB: lower walks'):
        walk_ends(known, 3, 9)


def test_what_makes_no_sense_is_refused(known):
    for make in (lambda: neighbourhoods(known, 0), lambda: walk_ends(known, 0, 5)):
        with pytest.raises(ValueError, match='hops is 0, but must be at least 1'):
            make()
    with pytest.raises(ValueError, match='walks is 0, but must be at least 1'):
        walk_ends(known, 2, 0)
    with pytest.raises(ValueError, match="sides must be 'bernoulli' or 'uniform', not 'both'"):
        sans(known, neighbourhoods(known, 2), sides='both')
