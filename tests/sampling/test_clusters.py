"""Entity-aware negatives: the numbering against plain loops, when it is made anew, and how far the intruders are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mans_jax.graph import KnownTriples, Triple
from mans_jax.sampling import View, eans
from mans_jax.sampling.clusters import ROUNDS, arrange, chain
from tests.draws import LOWEST_P, answers, check_sides, counts_by_query, draw_many, p_value

E = 24


@pytest.fixture(scope='module')
def rows():
    rng = np.random.default_rng(6)
    return np.unique(rng.integers(0, [E, 2, E], (50, 3)), axis=0)


def look_up(table, entities):
    return table[entities]


def view_of(vectors):
    """A view of vectors [E, M, D]; one function for all, as each is a program of its own."""
    return View(parameters=jnp.asarray(vectors), entity_vectors_fn=look_up)


def chained(centres):
    """The chain by a plain loop."""
    places, current = {0: 0}, 0
    while len(places) < len(centres):
        left = [i for i in range(len(centres)) if i not in places]
        current = min(left, key=lambda i: np.sum((centres[i] - centres[current]) ** 2))
        places[current] = len(places)
    return [places[i] for i in range(len(centres))]


def arranged(vectors, start, clusters):
    """K-means and the order by plain loops."""
    number = len(vectors)
    centres = [vectors[(start + i * (number // clusters)) % number] for i in range(clusters)]

    def nearest():
        return np.argmin([np.sum((vectors - c) ** 2, axis=1) for c in centres], axis=0)

    for _ in range(ROUNDS):
        label = nearest()
        centres = [vectors[label == i].mean(axis=0) if (label == i).any() else c for i, c in enumerate(centres)]
    places, label = chained(centres), nearest()
    return sorted(range(number), key=lambda e: (places[label[e]], e))


@pytest.mark.parametrize(('number', 'clusters', 'start'), [(30, 4, 0), (31, 7, 29), (12, 12, 5), (9, 1, 3)])
def test_the_order_is_that_of_clusters_in_a_chain(number, clusters, start):
    vectors = np.random.default_rng(number).normal(size=(number, 3)).astype(np.float32)
    got = jax.jit(arrange, static_argnums=2)(vectors, jnp.int32(start), clusters)
    assert got.dtype == np.int32 and got.tolist() == arranged(vectors, start, clusters)


def test_the_chain_goes_on_to_the_nearest_point_that_is_left():
    centres = np.random.default_rng(0).normal(size=(15, 2)).astype(np.float32)
    assert jax.jit(chain)(centres).tolist() == chained(centres)
    assert chain(jnp.zeros((1, 2))).tolist() == [0]


def test_a_cluster_without_members_stays_where_it_is():
    vectors = jnp.asarray([[0.0], [0.0], [5.0], [5.0]])
    assert arrange(vectors, jnp.int32(0), 4).tolist() == [0, 1, 2, 3]


def test_entities_are_numbered_anew_at_the_first_call_and_after_every_so_many(rows):
    known = KnownTriples.build(rows, num_entities=E)
    sampler = eans(known, 2, every=3, clusters=4)
    positives, rng = Triple.from_rows(jnp.asarray(rows[:5])), np.random.default_rng(0)
    sample, state, changed = jax.jit(sampler.sample), sampler.init(jax.random.key(0)), []
    for call in range(8):
        before = state
        vectors = rng.normal(size=(E, 2, 3)).astype(np.float32)
        _, state = sample(state, jax.random.key(call), positives, view_of(vectors))
        changed.append(not np.array_equal(before.entity, state.entity))
        np.testing.assert_array_equal(np.asarray(state.entity)[np.asarray(state.number)], np.arange(E))
        if changed[-1]:
            # From some start, it is the order of all modalities side by side.
            wide = vectors.reshape(E, -1)
            assert any(arranged(wide, start, 4) == state.entity.tolist() for start in range(E))
    assert changed == [True, False, False, True, False, False, True, False]
    assert int(state.calls) == 8


@pytest.mark.parametrize('spread', [1.0, 6.0, 40.0])
def test_distances_are_normal_around_the_number_of_the_replaced_entity(rows, spread):
    known, positives = KnownTriples.build(rows, num_entities=E), Triple.from_rows(jnp.asarray(rows))
    sampler = eans(known, 2, every=10**6, clusters=4, spread=spread)
    view = view_of(np.random.default_rng(1).normal(size=(E, 1, 3)).astype(np.float32))
    _, state = jax.jit(sampler.sample)(sampler.init(jax.random.key(0)), jax.random.key(9), positives, view)
    numbered = sampler._replace(init=lambda key: state)
    drawn = draw_many(numbered, positives, 2000, view=view)
    number = np.asarray(state.number)
    distances = np.arange(-400, 401)
    density = np.diff(stats.norm.cdf(np.append(distances - 0.5, 400.5) / spread))

    def distribution(side, head, relation, tail):
        original = head if side == 0 else tail
        at = np.bincount((number[original] + distances) % E, weights=density, minlength=E)
        return at[number] / at.sum()

    assert p_value(counts_by_query(rows, drawn, E), distribution) > LOWEST_P
    fair = numbered._replace(sample=eans(known, 2, clusters=4, sides='uniform').sample)
    check_sides(rows, draw_many(fair, positives, 200, view=view), lambda relation: 0.5)
    for b, row in enumerate(rows.tolist()):
        for side in (0, 1):
            at = drawn.side[:, b] == side
            is_known = np.isin(drawn.entity[:, b][at], list(answers(rows, side, *row)))
            np.testing.assert_array_equal(drawn.weight[:, b][at], np.where(is_known, 0, 1))


def test_mapped_over_seeds_it_clusters_only_when_it_is_due_and_draws_what_one_seed_draws(rows):
    known, positives = KnownTriples.build(rows, num_entities=E), Triple.from_rows(jnp.asarray(rows[:6]))
    sampler, calls = eans(known, 2, every=2, clusters=4), []

    def looked_at(table, entities):
        jax.debug.callback(lambda: calls.append(1))
        return table[entities]

    tables = jnp.asarray(np.random.default_rng(2).normal(size=(3, E, 1, 4)), jnp.float32)

    def step(state, key, table):
        return sampler.sample(state, key, positives, View(parameters=table, entity_vectors_fn=looked_at))

    mapped, alone = jax.jit(jax.vmap(step)), jax.jit(step)
    states = jax.vmap(sampler.init)(jax.random.split(jax.random.key(0), 3))
    singles = [sampler.init(jax.random.key(0))] * 3
    for call in range(3):
        keys = jax.random.split(jax.random.key(call), 3)
        calls.clear()
        drawn, states = mapped(states, keys, tables)
        jax.effects_barrier()
        assert bool(calls) == (call != 1)
        for i in range(3):
            one, singles[i] = alone(singles[i], jax.random.clone(keys)[i], tables[i])
            assert jax.tree.all(jax.tree.map(lambda a, b, i=i: np.array_equal(a[i], b), drawn, one))
            assert jax.tree.all(jax.tree.map(lambda a, b, i=i: np.array_equal(a[i], b), states, singles[i]))


def test_what_makes_no_sense_is_refused(rows):
    known = KnownTriples.build(rows, num_entities=E)
    with pytest.raises(ValueError, match='every is 0, but must be at least 1'):
        eans(known, every=0)
    with pytest.raises(ValueError, match='clusters is 100, but must be between 1 and the 24 entities'):
        eans(known)
    with pytest.raises(ValueError, match='spread is 0.0, but must be above 0 and at most 1e8'):
        eans(known, clusters=4, spread=0.0)
    with pytest.raises(ValueError, match="sides must be 'bernoulli' or 'uniform', not 'both'"):
        eans(known, clusters=4, sides='both')
    sampler = eans(known, clusters=4)
    with pytest.raises(ValueError, match='looks at entity_vectors_fn'):
        sampler.sample(sampler.init(jax.random.key(0)), jax.random.key(1), Triple.from_rows(jnp.asarray(rows)), View())
