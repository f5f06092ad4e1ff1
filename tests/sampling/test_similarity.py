"""MMRNS: its probabilities and losses against plain loops, its draws by frequency."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple
from mans_jax.sampling import View, mmrns
from mans_jax.sampling.similarity import contrastive_loss, cosines, preferences
from tests.graphs import quick_programs

E, R, M, D, W = 7, 2, 2, 4, 3
TRAIN = np.array([(0, 1, 3), (0, 1, 4), (2, 1, 3), (1, 0, 1), (4, 0, 2), (5, 0, 6)])
LOWEST_P = 1e-4

rng = np.random.default_rng(0)
ENTITIES, RELATIONS = rng.normal(size=(E, M, D)), rng.normal(size=(R, W))
PRESENT = np.array([[1, 1], [1, 0], [0, 1], [1, 1], [1, 1], [0, 1], [1, 0]], bool)
SCORES = rng.normal(size=(2, E))

VIEW = View(
    parameters=jax.tree.map(jnp.float32, (ENTITIES, RELATIONS, SCORES)),
    entity_vectors_fn=lambda p, ids: p[0][ids],
    relation_vectors_fn=lambda p, ids: p[1][ids],
    scores_fn=lambda p, positives, c: p[2][c.side, c.entity],
)


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


@pytest.fixture(scope='module')
def known():
    return KnownTriples.build(TRAIN, num_entities=E, num_relations=R)


def sampler_of(known, num_negatives, present=PRESENT, **options):
    present = None if present is None else jnp.asarray(present)
    sizes = {'num_modalities': M, 'dim': D, 'relation_width': W}
    return mmrns(known, num_negatives, **sizes, present=present, **{'candidates': E, **options})


def triples(*rows):
    return Triple.from_rows(jnp.array(rows, jnp.int32))


def project(projections, m, entity, relation):
    """What entity and relation look like in modality m, by loops."""
    p = {name: np.asarray(value, np.float64)[m] for name, value in projections.items()}
    projected = [sum(ENTITIES[entity, m, d] * p['kernel'][d, a] for d in range(D)) + p['bias'][a] for a in range(50)]
    gate = [
        sum(RELATIONS[relation, w] * p['gate_kernel'][w, a] for w in range(W)) + p['gate_bias'][a] for a in range(50)
    ]
    return np.array([max(x, 0.1 * x) / (1 + np.exp(-g)) for x, g in zip(projected, gate, strict=True)])


def cosine(projections, m, relation, true, candidate):
    a, b = (project(projections, m, entity, relation) for entity in (true, candidate))
    return a @ b / np.sqrt((a @ a) * (b @ b))


def preferred(projections, relation, true, tau, present):
    """{candidate: sum over modalities of softmaxed cosines}, by loops."""
    total = dict.fromkeys(range(E), 0.0)
    for m in range(M):
        having = [e for e in range(E) if present[e, m]] if present[true, m] else []
        weight = {e: np.exp(cosine(projections, m, relation, true, e) / tau) for e in having}
        for e in having:
            total[e] += weight[e] / sum(weight.values())
    return total


@pytest.fixture(scope='module')
def projections(known):
    """With biases that are not zero."""
    leaves = sampler_of(known, 1).init(jax.random.key(3))['projections']
    return jax.tree.map(
        lambda x: x + 0.1 * jnp.asarray(np.random.default_rng(x.size).normal(size=x.shape), x.dtype), leaves
    )


@pytest.mark.parametrize('present', [PRESENT, np.ones((E, M), bool)], ids=['some absent', 'all present'])
def test_preferences_equal_plain_loops(projections, present):
    relation, true, tau = [0, 1, 1], [1, 2, 4], 0.3
    has = jnp.asarray(present[true][:, :, None] & present.T)
    got = cosines(projections, *(jnp.float32(x) for x in (RELATIONS[relation], ENTITIES[true], ENTITIES)))
    got = preferences(got, has, jnp.float32(tau))
    for b in range(3):
        want = preferred(projections, relation[b], true[b], tau, present)
        np.testing.assert_allclose(got[b], list(want.values()), rtol=1e-4, atol=1e-6)
        assert np.ptp(list(want.values())) > 0.1


@pytest.mark.parametrize('present', [PRESENT, None], ids=['some absent', 'all present'])
def test_draws_are_without_replacement_by_the_preferences(known, projections, present):
    """Of a positive's candidates, all entities here, two at a time; of either side as often."""
    sampler = sampler_of(known, 2, present, temperature=1.0)
    state = {**sampler.init(jax.random.key(0)), 'projections': projections, 'step': jnp.int32(20)}
    tau = 1 / (1 + np.log(21))
    draw = jax.jit(jax.vmap(lambda key: sampler.sample(state, key, triples((0, 1, 3)), VIEW)[0]))
    drawn = jax.device_get(draw(jax.random.split(jax.random.key(1), 8000)))
    assert np.all(drawn.side[..., 0] == drawn.side[..., 1]) and drawn.weight is None
    assert stats.binomtest(int(np.sum(drawn.side[:, 0, 0] == HEAD)), 8000).pvalue > LOWEST_P
    for side, true, answers in ((HEAD, 0, {0, 2}), (TAIL, 3, {3, 4})):
        likely = preferred(projections, 1, true, tau, np.ones((E, M), bool) if present is None else present)
        likely = {e: p for e, p in likely.items() if e not in answers}
        want, total = {}, sum(likely.values())
        for first, second in itertools.permutations(likely, 2):
            chance = likely[first] / total * likely[second] / (total - likely[first])
            want[frozenset((first, second))] = want.get(frozenset((first, second)), 0) + chance
        rows = drawn.entity[:, 0][drawn.side[:, 0, 0] == side]
        got = [frozenset(row) for row in rows.tolist()]
        assert set(got) <= set(want)
        seen = [s for s in want if want[s] > 1e-9]
        counts, expected = np.array([got.count(s) for s in seen]), np.array([want[s] for s in seen])
        assert stats.chisquare(counts, counts.sum() * expected / expected.sum()).pvalue > LOWEST_P


def test_the_temperature_falls_with_the_steps(known, projections):
    def drawn(step, temperature):
        sampler = sampler_of(known, 2, temperature=temperature)
        state = {**sampler.init(jax.random.key(0)), 'projections': projections, 'step': jnp.int32(step)}
        corruption, after = jax.jit(sampler.sample)(state, jax.random.key(5), triples(*TRAIN.tolist()), VIEW)
        assert int(after['step']) == step + 1
        return corruption.entity

    np.testing.assert_array_equal(drawn(6, 2.0), drawn(0, 2 / (1 + np.log(7))))
    assert not np.array_equal(drawn(10**6, 0.5), drawn(0, 0.5))


@pytest.mark.parametrize('present', [PRESENT, np.ones((E, M), bool)], ids=['some absent', 'all present'])
def test_the_contrastive_loss_equals_plain_loops(present):
    rng = np.random.default_rng(4)
    cosine, weight, is_known = rng.uniform(-1, 1, (3, M, E)), rng.random((3, E)), rng.random((3, E)) < 0.4
    has = present[[0, 2, 5]][:, :, None] & present.T
    got = contrastive_loss(jnp.float32(cosine), jnp.asarray(has), jnp.asarray(is_known), jnp.float32(weight))
    want = 0
    for m in range(M):
        sums = {True: 0, False: 0}
        for b, c in np.ndindex(3, E):
            sums[bool(is_known[b, c])] += weight[b, c] * np.exp(cosine[b, m, c]) * has[b, m, c]
        want -= np.log(sums[True] / sums[False])
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_without_an_answer_among_the_candidates_nothing_is_learnt():
    cosine, has = jnp.zeros((2, M, E)), jnp.ones((1, M, 1), bool)

    def loss(cosine, is_known):
        return contrastive_loss(cosine, has, is_known, jnp.ones((2, E)))

    for is_known in (jnp.zeros((2, E), bool), jnp.ones((2, E), bool)):
        value, gradient = jax.value_and_grad(loss)(cosine, is_known)
        assert value == 0 and not np.any(gradient)


def test_the_step_is_one_of_adam_on_the_loss_with_drawn_ones_weighing_their_share(known, projections):
    sampler, rows = sampler_of(known, 2, learning_rate=0.01), TRAIN[:3]
    state = {**sampler.init(jax.random.key(0)), 'projections': projections}
    corruption, after = jax.jit(sampler.sample)(state, jax.random.key(2), triples(*rows.tolist()), VIEW)
    facts, weight, is_known, true = set(map(tuple, TRAIN.tolist())), np.ones((3, E)), np.zeros((3, E), bool), []
    for b, (head, relation, tail) in enumerate(rows.tolist()):
        at_head = int(corruption.side[b, 0]) == HEAD
        true.append(head if at_head else tail)
        is_known[b] = [((e, relation, tail) if at_head else (head, relation, e)) in facts for e in range(E)]
        drawn = np.asarray(corruption.entity[b])
        share = np.exp(SCORES[int(corruption.side[b, 0]), drawn] / 2)
        weight[b, drawn] = share / share.sum()
    vectors = [jnp.float32(x) for x in (RELATIONS[rows[:, 1]], ENTITIES[true], ENTITIES)]
    has = jnp.asarray(PRESENT[true][:, :, None] & PRESENT.T)

    def loss(projections):
        return contrastive_loss(cosines(projections, *vectors), has, jnp.asarray(is_known), jnp.float32(weight))

    gradient = jax.grad(loss)(projections)
    for name, want in gradient.items():
        np.testing.assert_allclose(10 * after['optimizer'][0].mu[name], want, rtol=1e-3, atol=1e-5)
        moved = np.asarray(after['projections'][name] - projections[name])
        assert np.max(np.abs(moved)) == pytest.approx(0.01, rel=1e-2)
    assert loss(after['projections']) < loss(projections)


def test_where_candidates_run_out_what_is_missing_does_not_count(known):
    """Seven entities, of which the first query has two as its answers: five are left for six negatives."""
    sampler = sampler_of(known, 6)
    state, positives = sampler.init(jax.random.key(0)), triples((0, 1, 3), (1, 0, 1))
    sample = jax.jit(sampler.sample)
    for seed in range(5):
        corruption, state = sample(state, jax.random.key(seed), positives, VIEW)
        assert np.sum(corruption.weight, axis=1).tolist() == [5, 6]
        counted = np.asarray(corruption.weight) > 0
        assert not np.any(np.asarray(known.contains(corruption.apply(positives))) & counted)
        for row, counts in zip(np.asarray(corruption.entity), counted, strict=True):
            assert len(set(row[counts].tolist())) == counts.sum()


def test_the_batch_shares_its_candidates(known):
    sampler = sampler_of(known, 2, candidates=3)
    drawn = []
    for seed in range(6):
        positives = triples(*TRAIN.tolist())
        corruption, _ = sampler.sample(sampler.init(jax.random.key(0)), jax.random.key(seed), positives, VIEW)
        drawn.append(frozenset(np.asarray(corruption.entity)[np.asarray(corruption.weight) > 0].tolist()))
    assert all(len(entities) <= 3 for entities in drawn) and len(set(drawn)) > 2


def test_vmap_over_seeds_equals_single_runs(known):
    sampler = sampler_of(known, 2)

    def train(seed):
        def step(state, i):
            key = jax.random.fold_in(jax.random.key(seed + 9), i)
            return sampler.sample(state, key, triples(*TRAIN.tolist()), VIEW)[::-1]

        return jax.lax.scan(step, sampler.init(jax.random.key(seed)), jnp.arange(4))

    together = jax.jit(jax.vmap(train))(jnp.arange(3))
    for seed in range(3):
        state, corruption = jax.jit(train)(seed)
        np.testing.assert_array_equal(together[1].entity[seed], corruption.entity)
        jax.tree.map(lambda a, b, i=seed: np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-6), together[0], state)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'candidates': 2}, 'candidates=2 must be at least the number of negatives, 3'),
        ({'temperature': 0.0}, 'temperature=0.0 and learning_rate=0.0001 must be above 0'),
        ({'learning_rate': 0.0}, 'temperature=10.0 and learning_rate=0.0 must be above 0'),
    ],
)
def test_options_that_make_no_sense_are_refused(known, options, message):
    with pytest.raises(ValueError, match=message):
        sampler_of(known, 3, **options)


def test_a_view_without_vectors_is_refused(known):
    sampler = sampler_of(known, 1)
    with pytest.raises(ValueError, match=r'looks at relation_vectors_fn, '):
        sampler.sample(sampler.init(jax.random.key(0)), jax.random.key(1), triples((0, 1, 3)), View())
