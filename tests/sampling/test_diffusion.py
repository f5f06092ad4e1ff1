"""DHNS: its schedule and denoiser against plain numpy, what it learns on a toy, what it adds to another sampler."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple
from mans_jax.sampling import Corruption, Sampler, View, bernoulli, dhns, stateless
from mans_jax.sampling.diffusion import (
    LEVEL_MARGINS,
    LEVEL_WEIGHTS,
    add_noise,
    find_noise,
    generate,
    levels,
    linear_schedule,
    remove_noise,
)
from tests.graphs import quick_programs

E, R, M, D, B = 12, 2, 2, 6, 5
rng = np.random.default_rng(0)
TRAIN = np.unique(np.stack([rng.integers(0, n, 25) for n in (E, R, E)], axis=-1), axis=0)
POSITIVES = Triple.from_rows(jnp.asarray(TRAIN[:B], jnp.int32))
ENTITIES, RELATIONS = rng.normal(size=(E, M, D)).astype(np.float32), rng.normal(size=(R, D)).astype(np.float32)


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


def view_of(entities, relations=RELATIONS):
    """A view of a TransE."""

    def queries(parameters, side, kept, relation):
        direction = jnp.where(side == TAIL, 1, -1)[..., None, None]
        return parameters[0][kept] + direction * parameters[1][relation][..., None, :]

    return View(
        parameters=jax.tree.map(jnp.float32, (entities, relations)),
        entity_vectors_fn=lambda parameters, ids: parameters[0][ids],
        query_vectors_fn=queries,
    )


def sampler_of(base=None, *, present=None, **options):
    if base is None:
        base = bernoulli(KnownTriples.build(TRAIN, num_entities=E), 3)
    return dhns(base, num_modalities=M, dim=D, present=present, **{'steps': 10, **options})


@pytest.mark.parametrize('steps', [50, 7])
def test_the_schedule_equals_plain_numpy(steps):
    schedule, left = linear_schedule(steps), 1.0
    for t in range(steps):
        beta = 1e-4 + (0.02 - 1e-4) * t / (steps - 1)
        left *= 1 - beta
        np.testing.assert_allclose([schedule.beta[t], schedule.alpha_bar[t]], [beta, left], rtol=1e-5)


def test_noise_is_added_and_taken_away_as_the_formulas_say():
    schedule, rng = linear_schedule(50), np.random.default_rng(1)
    vectors, noise, more = (rng.normal(size=(4, 3)).astype(np.float32) for _ in range(3))
    steps = [1, 2, 25, 50]
    noisy = add_noise(schedule, jnp.asarray(vectors), jnp.array(steps), jnp.asarray(noise))
    for row, t in enumerate(steps):
        beta, left = schedule.beta[t - 1], np.prod(1 - schedule.beta[:t].astype(np.float64))
        np.testing.assert_allclose(
            noisy[row], math.sqrt(left) * vectors[row] + math.sqrt(1 - left) * noise[row], rtol=1e-4, atol=1e-6
        )
        back = remove_noise(schedule, *map(jnp.asarray, (vectors, t, noise, more)))
        mean = (vectors - beta / math.sqrt(1 - left) * noise) / math.sqrt(1 - beta)
        np.testing.assert_allclose(back, mean + (math.sqrt(beta) * more if t > 1 else 0), rtol=1e-4, atol=1e-6)


def test_the_first_step_is_taken_back_exactly_where_the_noise_is_found():
    schedule, noise = linear_schedule(50), jnp.array([[0.3, -2.0]])
    noisy = add_noise(schedule, jnp.array([[1.0, 2.0]]), jnp.array([1]), noise)
    np.testing.assert_allclose(remove_noise(schedule, noisy, jnp.int32(1), noise, noise), [[1, 2]], rtol=1e-5)


@pytest.mark.parametrize(('steps', 'want'), [(50, (0, 5, 6, 12, 25)), (8, (0, 0, 1, 2, 4))])
def test_levels_are_the_stated_shares_of_the_chain(steps, want):
    assert levels(steps) == want


def test_the_denoiser_equals_plain_numpy():
    denoiser = sampler_of().init(jax.random.key(0))['denoiser']
    denoiser = jax.tree.map(lambda x: x + 0.1 * jnp.asarray(rng.normal(size=x.shape), x.dtype), denoiser)
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), denoiser)
    vectors, condition, step = rng.normal(size=(4, D)), rng.normal(size=(4, D)), np.array([1, 3, 7, 10])

    def dense(name, x):
        return x @ p[name]['kernel'] + p[name]['bias']

    def norm(name, x):
        x = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        return x * p[name]['scale'] + p[name]['bias']

    waves = [[f(t * 10000 ** (-i / 2)) for f in (math.sin, math.cos) for i in range(3)] for t in step.tolist()]
    clock = dense('clock_1', np.array(waves))
    clock = dense('clock_2', 0.5 * clock * (1 + np.tanh(math.sqrt(2 / math.pi) * (clock + 0.044715 * clock**3))))
    hidden = norm('norm_1', np.concatenate([vectors, clock, condition], axis=1))
    hidden = norm('norm_2', np.maximum(dense('layer_1', hidden), 0))
    want = dense('output', dense('layer_2', hidden))
    got = find_noise(denoiser, jnp.float32(vectors), jnp.asarray(step), jnp.float32(condition))
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


def test_a_chain_is_the_steps_back_one_after_the_other_and_is_left_at_the_levels():
    denoiser = sampler_of().init(jax.random.key(1))['denoiser']
    schedule, condition = linear_schedule(8), jnp.asarray(rng.normal(size=(3, M, D)), jnp.float32)
    states = jax.jit(lambda key: generate(key, denoiser, schedule, condition))(jax.random.key(2))
    start_key, steps_key = jax.random.split(jax.random.key(2))
    vectors, seen = jax.random.normal(start_key, condition.shape), {}
    for t in range(8, 0, -1):
        noise = jax.random.normal(jax.random.fold_in(steps_key, t), condition.shape)
        found = find_noise(denoiser, vectors, jnp.full((3, M), t), condition)
        vectors = remove_noise(schedule, vectors, jnp.int32(t), found, noise)
        seen[t - 1] = vectors
    for state, level in zip(states, levels(8), strict=True):
        np.testing.assert_allclose(state, seen[level], rtol=1e-3, atol=1e-4)


def test_it_learns_to_make_up_what_looks_like_the_true_entity_the_more_the_harder():
    """Every entity's vectors are those that its neighbour and the relation ask for."""
    angle = 2 * np.pi * np.arange(E) / E
    entities = np.stack(
        [np.concatenate([np.cos(k * angle)[:, None], np.sin(k * angle)[:, None]], 1) for k in (1, 2, 3)], 1
    )
    entities = np.repeat(entities.reshape(E, 1, D), M, axis=1)
    rows = np.array([(e, 0, (e + 3) % E) for e in range(E)])

    def queries(parameters, side, kept, relation):
        return parameters[(kept + jnp.where(side == TAIL, 3, -3)) % E]

    view = View(parameters=jnp.float32(entities), entity_vectors_fn=lambda p, ids: p[ids], query_vectors_fn=queries)
    sampler = dhns(
        bernoulli(KnownTriples.build(rows, num_entities=E), 1), num_modalities=M, dim=D, steps=50, learning_rate=0.01
    )
    positives = Triple.from_rows(jnp.asarray(rows, jnp.int32))

    def step(state, i):
        corruption, state = sampler.sample(state, jax.random.fold_in(jax.random.key(1), i), positives, view)
        at_head = (corruption.side[:, :1] == HEAD)[..., None, None]
        true = jnp.where(at_head, entities[rows[:, 0]][:, None], entities[rows[:, 2]][:, None])
        norms = jnp.linalg.norm(corruption.vectors, axis=-1) * jnp.linalg.norm(true, axis=-1)
        return state, jnp.mean(jnp.sum(corruption.vectors * true, axis=-1) / norms, axis=(0, 2))

    _, likeness = jax.jit(lambda: jax.lax.scan(step, sampler.init(jax.random.key(0)), jnp.arange(400)))()
    before, after = np.mean(likeness[:20], axis=0), np.mean(likeness[-40:], axis=0)
    assert abs(before[0]) < 0.3 < 0.6 < after[0]
    assert np.all(np.diff(after) < 0.01) and after[4] < after[0] - 0.1


def test_what_is_made_up_stands_behind_the_other_sampler_s_negatives():
    known = KnownTriples.build(TRAIN, num_entities=E)
    base, key = bernoulli(known, 3), jax.random.key(4)
    sampler = sampler_of(base, weight=0.1)
    corruption, _ = jax.jit(sampler.sample)(sampler.init(jax.random.key(0)), key, POSITIVES, view_of(ENTITIES))
    alone, _ = jax.jit(base.sample)((), jax.random.split(jax.random.key(4), 3)[0], POSITIVES, View())
    for name in ('entity', 'side'):
        got, want = getattr(corruption, name), getattr(alone, name)
        np.testing.assert_array_equal(got, np.concatenate([want, np.repeat(want[:, :1], 5, axis=1)], axis=1))
    assert np.all(corruption.replaced) and corruption.replaced.shape == (B, 8, 1)
    # Together they weigh 0.1 * (0 + .5 + 1 + 1 + .5) / 4 against 1.
    np.testing.assert_allclose(
        corruption.weight, np.tile([1, 1, 1, *(0.1 * 3 / 4 * np.array(LEVEL_WEIGHTS))], (B, 1)), rtol=1e-5
    )
    np.testing.assert_allclose(corruption.margin_scale, np.tile([1, 1, 1, *LEVEL_MARGINS], (B, 1)), rtol=1e-6)
    assert corruption.vectors.shape == (B, 5, M, D) and np.all(np.isfinite(corruption.vectors))
    assert not np.any(known.contains(corruption.apply(POSITIVES)))


def test_weights_margins_vectors_and_state_of_the_other_sampler_stay():
    weight = jnp.array([[0.0, 2.0]] + [[1.0, 0.5]] * (B - 1))
    given = Corruption(
        jnp.zeros((B, 2), jnp.int32), jnp.ones((B, 2), jnp.int8), jnp.zeros((B, 2, M), bool), weight, 3 * weight
    )
    counting = Sampler(lambda key: jnp.int32(7), lambda state, key, positives, view: (given, state + 1))
    sampler = sampler_of(sampler_of(counting))
    corruption, state = jax.jit(sampler.sample)(
        sampler.init(jax.random.key(0)), jax.random.key(1), POSITIVES, view_of(ENTITIES)
    )
    assert int(state['base']['base']) == 8
    np.testing.assert_array_equal(corruption.weight[:, :2], weight)
    np.testing.assert_array_equal(corruption.margin_scale[:, :2], 3 * weight)
    np.testing.assert_array_equal(corruption.replaced[:, 1:, 0], np.tile([False, *[True] * 10], (B, 1)))
    assert corruption.vectors.shape == (B, 10, M, D)
    # What stands in where the first negative does not count would be no negative.
    assert np.all(np.asarray(corruption.weight[0, 2:]) == 0) and np.all(np.asarray(corruption.weight[1:, 3]) > 0)


def run_once(entities, present=None, view=None):
    sampler = sampler_of(present=present)
    state = sampler.init(jax.random.key(0))
    corruption, after = jax.jit(sampler.sample)(state, jax.random.key(3), POSITIVES, view or view_of(entities))
    return corruption, jax.tree.map(lambda moment: 10 * moment, after['optimizer'][0].mu)


def test_the_scale_of_the_model_s_vectors_makes_no_difference():
    (small, gradient), (large, other) = (
        run_once(ENTITIES),
        run_once(ENTITIES, view=view_of(100 * ENTITIES, 100 * RELATIONS)),
    )
    np.testing.assert_allclose(large.vectors, 100 * small.vectors, rtol=1e-3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-4), gradient, other)
    assert max(np.max(np.abs(leaf)) for leaf in jax.tree.leaves(gradient)) > 1e-3


def test_what_stands_for_an_absent_modality_is_not_learnt():
    present = np.ones((E, M), bool)
    present[np.asarray(POSITIVES.head[:2]), 1] = False
    other = ENTITIES.copy()
    other[~present] = 50
    _, gradient = run_once(ENTITIES, jnp.asarray(present))
    _, same = run_once(other, jnp.asarray(present))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), gradient, same)
    _, all_present = run_once(other)
    assert not np.allclose(gradient['output']['kernel'], all_present['output']['kernel'], rtol=1e-2)


def test_vmap_over_seeds_equals_single_runs():
    sampler, view = sampler_of(), view_of(ENTITIES)

    def train(seed):
        def step(state, i):
            return sampler.sample(state, jax.random.fold_in(jax.random.key(seed + 9), i), POSITIVES, view)[::-1]

        return jax.lax.scan(step, sampler.init(jax.random.key(seed)), jnp.arange(3))

    together = jax.jit(jax.vmap(train))(jnp.arange(2))
    for seed in range(2):
        alone = jax.jit(train)(seed)
        jax.tree.map(lambda a, b, i=seed: np.testing.assert_allclose(a[i], b, rtol=1e-3, atol=1e-4), together, alone)


@pytest.mark.parametrize('options', [{'steps': 0}, {'weight': -1.0}, {'learning_rate': 0.0}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match='must be at least 1, weight=.* at least 0 and learning_rate=.* above 0'):
        sampler_of(**options)


def test_a_view_without_queries_is_refused():
    sampler = sampler_of(stateless(lambda key, positives, view: Corruption(*(jnp.zeros((B, 1), int),) * 2, None)))
    with pytest.raises(ValueError, match=r'looks at query_vectors_fn, '):
        sampler.sample(
            sampler.init(jax.random.key(0)),
            jax.random.key(1),
            POSITIVES,
            View(parameters=ENTITIES, entity_vectors_fn=lambda p, ids: jnp.asarray(p)[ids]),
        )
