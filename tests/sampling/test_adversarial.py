"""KBGAN: what its generator chooses by frequency, its gradient against finite differences of the expected reward."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple
from mans_jax.sampling import View, kbgan
from mans_jax.sampling.adversarial import GENERATORS, policy_gradient
from tests.graphs import quick_programs

E, R, D, C = 5, 2, 2, 2
POSITIVE = (0, 1, 3)
TRAIN = np.array([(0, 1, 3), (0, 1, 4), (2, 1, 3), (1, 0, 1), (4, 0, 2)])
LOWEST_P = 1e-4


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


@pytest.fixture(scope='module')
def known():
    return KnownTriples.build(TRAIN, num_entities=E, num_relations=R)


@pytest.fixture(scope='module')
def parameters():
    rng = np.random.default_rng(0)
    return {
        name: jnp.asarray(rng.normal(size=(rows, D)), jnp.float32) for name, rows in (('entity', E), ('relation', R))
    }


REWARDS = np.random.default_rng(1).normal(size=(2, E)).astype(np.float32)
"""What the served model thinks of an entity on the head's and on the tail's side."""

VIEW = View(parameters=jnp.asarray(REWARDS), scores_fn=lambda table, positives, c: table[c.side, c.entity])


def triples(*rows):
    return Triple.from_rows(jnp.array(rows, jnp.int32))


def distmult(head, relation, tail):
    return np.sum(head * relation * tail)


def complex_(head, relation, tail):
    (a, b), (c, d), (e, f) = (np.split(v, 2) for v in (head, relation, tail))
    return np.sum(((a + 1j * b) * (c + 1j * d) * np.conj(e + 1j * f)).real)


SCORES = {'distmult': distmult, 'complex': complex_}


def choices(parameters, generator):
    """Every outcome for POSITIVE, with its probability: {(side, entity): probability}; both sides are as likely."""
    entity, relation = (np.asarray(parameters[name], np.float64) for name in ('entity', 'relation'))
    head, r, tail = POSITIVE
    facts, found = set(map(tuple, TRAIN.tolist())), {}
    for side in (HEAD, TAIL):
        full = [(e, r, tail) if side == HEAD else (head, r, e) for e in range(E)]
        others = [e for e in range(E) if full[e] not in facts]
        score = {e: SCORES[generator](entity[full[e][0]], relation[r], entity[full[e][2]]) for e in others}
        for drawn in itertools.product(others, repeat=C):
            weight = np.exp([score[e] for e in drawn])
            for e, w in zip(drawn, weight / weight.sum(), strict=True):
                found[side, e] = found.get((side, e), 0) + w / len(others) ** C / 2
    return found


@pytest.mark.parametrize('generator', GENERATORS)
def test_candidates_are_chosen_by_softmax_of_the_generators_scores(known, parameters, generator):
    sampler = kbgan(known, 2, dim=D, generator=generator, candidates=C, parameters=parameters)
    state = sampler.init(jax.random.key(0))
    draw = jax.jit(jax.vmap(lambda key: sampler.sample(state, key, triples(POSITIVE), VIEW)[0]))
    drawn = jax.device_get(draw(jax.random.split(jax.random.key(1), 6000)))
    want = choices(parameters, generator)
    for k in range(2):
        got = list(zip(drawn.side[:, 0, k].tolist(), drawn.entity[:, 0, k].tolist(), strict=True))
        assert set(got) == set(want)
        assert stats.chisquare([got.count(o) for o in want], [6000 * p for p in want.values()]).pvalue > LOWEST_P


def test_policy_gradient_is_in_the_mean_that_of_the_expected_advantage():
    rng = np.random.default_rng(2)
    logits, advantage = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))

    def probabilities(logits):
        weights = np.exp(logits)
        return weights / weights.sum(axis=-1, keepdims=True)

    def expected(logits):
        return -np.sum(probabilities(logits) * advantage)

    mean = sum(
        probabilities(logits)[:, [c]]
        * policy_gradient(jnp.asarray(logits, jnp.float32), jnp.full(3, c), jnp.asarray(advantage[:, c], jnp.float32))
        for c in range(4)
    )
    for index in np.ndindex(3, 4):
        moved = np.zeros((3, 4))
        moved[index] = 1e-5
        numerical = (expected(logits + moved) - expected(logits - moved)) / 2e-5
        np.testing.assert_allclose(mean[index], numerical, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('generator', GENERATORS)
def test_the_generators_gradient_is_in_the_mean_that_of_the_expected_reward(known, parameters, generator):
    """Over sides, candidates and choices; read from Adam's first moment, a tenth of the first step's gradient."""
    sampler = kbgan(known, 1, dim=D, generator=generator, candidates=C, parameters=parameters)
    state, number = sampler.init(jax.random.key(0)), 20000

    def gradient(key):
        after = sampler.sample(state, key, triples(POSITIVE), VIEW)[1]
        return jax.tree.map(lambda moment: 10 * moment, after['optimizer'][0].mu)

    found = jax.device_get(jax.jit(jax.vmap(gradient))(jax.random.split(jax.random.key(3), number)))

    def expected(name, index, step):
        moved = {key: np.asarray(value, np.float64) for key, value in parameters.items()}
        moved[name][index] += step
        return -sum(p * REWARDS[outcome] for outcome, p in choices(moved, generator).items())

    nonzero = 0
    for name, gradients in found.items():
        for index in np.ndindex(gradients.shape[1:]):
            want = (expected(name, index, 1e-4) - expected(name, index, -1e-4)) / 2e-4
            values = gradients[:, *index].astype(np.float64)
            error = max(values.std() / np.sqrt(number), 1e-7)
            assert abs(values.mean() - want) < 4.5 * error, (name, index)
            nonzero += abs(want) > 10 * error
    assert nonzero >= 6


def test_the_baseline_is_the_mean_reward_of_the_epoch_before(known):
    """5 triples are 2 steps of 2 positives an epoch."""
    sampler = kbgan(known, 3, dim=D, candidates=C)
    state, seen, baselines = sampler.init(jax.random.key(0)), [], []
    sample = jax.jit(sampler.sample)
    for step in range(5):
        corruption, state = sample(state, jax.random.key(step), triples(POSITIVE, (4, 0, 2)), VIEW)
        seen.append(np.mean(REWARDS[np.asarray(corruption.side), np.asarray(corruption.entity)]))
        baselines.append(float(state['baseline']))
    np.testing.assert_allclose(baselines, [0, *[np.mean(seen[:2])] * 2, *[np.mean(seen[2:4])] * 2], rtol=1e-5)


def test_the_baseline_is_taken_off_the_reward(known, parameters):
    sampler = kbgan(known, 1, dim=D, candidates=C, parameters=parameters)
    state = sampler.init(jax.random.key(0))
    sample = jax.jit(lambda state: sampler.sample(state, jax.random.key(2), triples(POSITIVE), VIEW))

    def moments(baseline):
        return sample({**state, 'baseline': jnp.float32(baseline)})[1]['optimizer'][0].mu['entity']

    corruption, _ = sample(state)
    reward = REWARDS[int(corruption.side[0, 0]), int(corruption.entity[0, 0])]
    assert np.any(moments(0)) and not np.any(moments(reward))
    np.testing.assert_allclose(moments(2 * reward), -moments(0), rtol=1e-5)


def test_the_generator_learns_what_the_model_finds_plausible(known):
    sampler = kbgan(known, 4, dim=4, candidates=3, learning_rate=0.05)
    positives = triples(*TRAIN[:3].tolist())

    def step(state, i):
        corruption, state = sampler.sample(state, jax.random.fold_in(jax.random.key(1), i), positives, VIEW)
        return state, jnp.mean(VIEW.scores(positives, corruption))

    _, rewards = jax.jit(lambda: jax.lax.scan(step, sampler.init(jax.random.key(0)), jnp.arange(200)))()
    assert np.mean(rewards[-50:]) > np.mean(rewards[:20]) + 0.3


def test_vmap_over_seeds_equals_single_runs(known):
    sampler = kbgan(known, 2, dim=D, candidates=C)

    def train(seed):
        def step(state, i):
            key = jax.random.fold_in(jax.random.key(seed + 9), i)
            return sampler.sample(state, key, triples(POSITIVE, (4, 0, 2)), VIEW)[::-1]

        return jax.lax.scan(step, sampler.init(jax.random.key(seed)), jnp.arange(4))

    together = jax.jit(jax.vmap(train))(jnp.arange(3))
    for seed in range(3):
        state, corruption = jax.jit(train)(seed)
        np.testing.assert_array_equal(together[1].entity[seed], corruption.entity)
        jax.tree.map(lambda a, b, i=seed: np.testing.assert_allclose(a[i], b, rtol=1e-5), together[0], state)


def test_the_first_scores_have_the_stated_deviation():
    known = KnownTriples.build(np.array([[0, 0, 1]]), num_entities=500)
    start = kbgan(known, dim=50).init(jax.random.key(0))['parameters']
    scores = np.einsum('id,d,jd->ij', start['entity'], start['relation'][0], start['entity'])
    assert {name: value.shape for name, value in start.items()} == {'entity': (500, 50), 'relation': (1, 50)}
    assert np.std(scores) == pytest.approx(0.2, rel=0.3)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'generator': 'rotate'}, "generator must be one of distmult, complex, not 'rotate'"),
        ({'candidates': 0}, 'candidates=0 must be at least 1 and learning_rate=0.001 above 0'),
        ({'learning_rate': 0.0}, 'candidates=20 must be at least 1 and learning_rate=0.0 above 0'),
        ({'generator': 'complex', 'dim': 3}, 'a complex generator needs vectors of an even width, not 3'),
    ],
)
def test_options_that_make_no_sense_are_refused(known, options, message):
    with pytest.raises(ValueError, match=message):
        kbgan(known, **{'dim': D, **options})


def test_a_graph_without_negatives_is_refused():
    known = KnownTriples.build(np.array([[0, 0, 0], [0, 0, 1]]), num_entities=2)
    with pytest.raises(ValueError, match='a query has all 2 entities as its answers'):
        kbgan(known, dim=D)
