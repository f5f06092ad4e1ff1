"""The training step: exact whatever calls its steps are spread over, and what a hand-written step would do."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mans_jax.data import load_graph
from mans_jax.graph import Triple
from mans_jax.losses import LOSSES
from mans_jax.models import FROZEN, PARAMS, model_for
from mans_jax.samplers import FAMILIES, Family
from mans_jax.sampling import Corruption, Sampler, uniform
from mans_jax.scoring import SCORES
from mans_jax.training_step import init_state, make_training_loop, training_data
from tests.graphs import quick_programs, short_recipe, write_openke

STEPS = 16
"""Steps of an epoch of the graph below, at 16 triples a step."""


@pytest.fixture(scope='module')
def programs(tmp_path_factory):
    return tmp_path_factory.getbasetemp() / 'programs'


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(programs):
    with quick_programs(programs):
        yield


@pytest.fixture(scope='module')
def make_run(tmp_path_factory):
    """(fields of the recipe) -> (config, model, data, loop, state before the first step); one loop for a recipe."""
    folder = write_openke(tmp_path_factory.mktemp('graph'))

    @functools.cache
    def make(**overrides):
        config = short_recipe(folder, **overrides)
        graph, _ = load_graph(config.data, config.features)
        model = model_for(
            graph,
            SCORES[config.score],
            dim=config.dim,
            normalize=config.normalize,
            substitutes=config.substitution_weight > 0,
        )
        data = training_data(config, graph)
        loop = make_training_loop(model, config, STEPS)
        assert len(graph.train) == STEPS * config.batch_size
        return config, model, data, loop, init_state(model, config, data)

    def make_with_own_state(**overrides):
        *fixed, state = make(**overrides)
        return *fixed, copy_of(state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, 'recording', Family(recording))
        yield make_with_own_state


def recording(inputs, inner, tables):
    """The sampler 'recording': uniform, with a state that remembers its last call and counts the positives."""
    known, num_negatives = inputs.known, inputs.num_negatives
    base = uniform(known, num_negatives)
    shape = (known.num_entities, known.num_relations, known.num_entities)

    def init(key):
        negatives = (16, num_negatives)
        replaced = jnp.zeros((*negatives, 1), bool)
        last = Corruption(jnp.zeros(negatives, jnp.int32), jnp.zeros(negatives, jnp.int8), replaced)
        # Every leaf is a buffer of its own, as it must be where a state is donated.
        positives = Triple(*(jnp.zeros(16, jnp.int32) for _ in range(3)))
        return {
            'drawn': jnp.zeros(shape, jnp.int32),
            'last': (positives, last),
            'keys': jnp.zeros((4 * STEPS, 2), jnp.uint32),
            'progress': jnp.zeros(4 * STEPS),
            'step': jnp.int32(0),
        }

    def sample(state, key, positives, view):
        corruption, _ = base.sample((), key, positives, view)
        step = state['step']
        return corruption, {
            'drawn': state['drawn'].at[positives.head, positives.relation, positives.tail].add(1),
            'last': (positives, corruption),
            'keys': state['keys'].at[step].set(jax.random.key_data(jax.random.clone(key))),
            'progress': state['progress'].at[step].set(view.need_progress()),
            'step': step + 1,
        }

    return Sampler(init, sample)


MANS_A = {'strategy': 'mans_a', 'marks': 'per_sample'}
MANS_T = {'strategy': 'mans_t', 'share': 0.3}
WITH_REPLACEMENT = {'with_replacement': True}
LAZY = {**MANS_A, 'optimizer': 'lazy_adam'}
# Adam makes a step of full length of a gradient that is nothing but rounding, and programs round differently.
SMOOTH = {name: {**MANS_A, 'optimizer': name} for name in ('adagrad', 'sparse_adagrad')}
BY_HAND = {'sampler': 'recording', 'num_negatives': 3, 'loss': 'self_adversarial', 'temperature': 0.5}
BY_HAND_SGD = {**BY_HAND, 'optimizer': 'sgd', 'with_replacement': True}


def run_steps(loop, state, data, calls):
    for num_steps in calls:
        state = loop.train_steps(state, data, num_steps)
    return state


def bits_of(tree) -> dict[str, bytes]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}


def copy_of(tree):
    return jax.tree.map(jnp.copy, tree)


@pytest.mark.parametrize(
    'strategy',
    [MANS_A, MANS_T, WITH_REPLACEMENT, LAZY],
    ids=['mans_a', 'mans_t', 'with_replacement', 'lazy_adam'],
)
def test_how_steps_are_spread_over_calls_changes_no_bit(make_run, programs, strategy):
    _, _, data, loop, start = make_run(**strategy)
    with quick_programs(programs, optimized=True):
        whole = run_steps(loop, copy_of(start), data, [STEPS] * 4)
    one_by_one = run_steps(loop, copy_of(start), data, [1] * (4 * STEPS))
    uneven = run_steps(loop, copy_of(start), data, [3, 13, 15, 1, 0, 16, 7, 9])
    assert int(whole.step) == 4 * STEPS
    assert bits_of(whole) == bits_of(one_by_one) == bits_of(uneven) != bits_of(start)
    assert loop.train_steps._cache_size() == 1, 'compiled again for another number of steps'


def test_the_given_state_is_donated_and_the_data_is_not(make_run):
    _, _, data, loop, state = make_run(**WITH_REPLACEMENT)
    after = loop.train_steps(state, data, 2)
    tables = {'params': state.params, 'opt_state': state.opt_state}
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(tables))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves((after, data)))


def test_an_epoch_takes_every_train_triple_once_in_a_new_order(make_run):
    _, _, data, loop, state = make_run(**BY_HAND)
    train = np.zeros(state.sampler_state['drawn'].shape, int)
    np.add.at(train, tuple(np.stack([data.triples.head, data.triples.relation, data.triples.tail])), 1)
    lasts = []
    for epoch in range(1, 4):
        state = run_steps(loop, state, data, [5, STEPS - 5])
        np.testing.assert_array_equal(state.sampler_state['drawn'], epoch * train)
        lasts.append(bits_of(state.sampler_state['last'][0]))
    assert lasts[0] != lasts[1] != lasts[2] != lasts[0], 'the order is that of the epoch before'


def test_drawing_with_replacement_repeats_some_triples_and_misses_others(make_run):
    _, _, data, loop, state = make_run(**BY_HAND_SGD)
    drawn = np.asarray(run_steps(loop, state, data, [STEPS]).sampler_state['drawn'])
    of_train = drawn[tuple(np.stack([data.triples.head, data.triples.relation, data.triples.tail]))]
    assert of_train.sum() == drawn.sum() == STEPS * 16
    # Of n draws from n, 1 / e are expected to be missed: 94 of 256 here, with a standard deviation below 5.
    assert 70 < (of_train == 0).sum() < 120


def test_every_step_has_a_key_of_its_own_and_knows_the_progress(make_run):
    _, _, data, loop, state = make_run(**BY_HAND)
    seen = run_steps(loop, state, data, [STEPS] * 4).sampler_state
    assert len(np.unique(seen['keys'], axis=0)) == 4 * STEPS
    np.testing.assert_allclose(seen['progress'], np.arange(4 * STEPS) / (4 * STEPS), rtol=1e-6)


def test_the_seed_decides_the_start_and_the_steps(make_run):
    starts = [make_run(with_replacement=True, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (bits_of(state.params) for *_, state in starts)
    assert first == again
    assert all(first[name] != other[name] for name in first)


@pytest.mark.parametrize('recipe', [BY_HAND, BY_HAND_SGD], ids=['adam', 'sgd'])
def test_a_step_is_what_a_hand_written_step_does(make_run, recipe):
    config, model, data, loop, state = make_run(**recipe)
    # Not the first step of all, where the moments are zero, but the last before an epoch ends.
    state = run_steps(loop, state, data, [STEPS - 1])
    before = copy_of(state)
    gradient_norm, update_norm = loop.next_norms(state, data)
    assert bits_of(state) == bits_of(before), 'looking at the next step has changed the state'
    after = loop.train_steps(state, data, 1)

    positives, corruption = after.sampler_state['last']
    loss_of = LOSSES['self_adversarial'](config.margin, config.temperature)

    def loss_fn(params):
        variables = {PARAMS: params, FROZEN: data.frozen}
        return loss_of(*model.apply(variables, positives, corruption, method=model.score_batch))

    loss, gradients = jax.jit(jax.value_and_grad(loss_fn))(before.params)
    optimizer = {'adam': optax.adam, 'sgd': optax.sgd}[config.optimizer](config.learning_rate)
    updates, _ = optimizer.update(gradients, before.opt_state, before.params)
    expected = optax.apply_updates(before.params, updates)
    assert float(optax.tree.norm(updates)) > 1e-3
    for name, value in expected.items():
        np.testing.assert_allclose(after.params[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(after.totals['loss'] - before.totals['loss'], loss, rtol=1e-4)
    np.testing.assert_allclose(gradient_norm, optax.tree.norm(gradients), rtol=1e-4)
    np.testing.assert_allclose(update_norm, optax.tree.norm(updates), rtol=1e-4)


SGD, ADAGRAD = ('sparse_sgd', 'sgd'), ('sparse_adagrad', 'adagrad')


# Each sampler with one of the two, since each program takes seconds to compile.
@pytest.mark.parametrize(
    ('sampler', 'sparse', 'dense', 'fields'),
    [
        ('mans_a(bernoulli)', *SGD, {}),
        ('mans_a(bernoulli)', *ADAGRAD, {}),
        ('mans_h(chunk_pool(chunk=4, num_negatives=2), share=0.5)', *SGD, {}),
        ('nscaching(cache_size=5)', *SGD, {}),
        ('eans(clusters=4, every=3)', *ADAGRAD, {}),
        ('mans_v(eans(clusters=4))', *SGD, {'loss': 'softplus', 'substitution_weight': 0.5}),
        ('dhns(bernoulli, steps=5)', *ADAGRAD, {}),
    ],
)
def test_steps_on_rows_are_those_on_the_whole_table(make_run, sampler, sparse, dense, fields):
    """With few negatives, so that a step touches some of the rows, and by a rate that makes them differ."""
    fields = {**fields, 'sampler': sampler, 'num_negatives': 1, 'learning_rate': 0.05, 'batch_size': 16}
    (_, _, data, of_rows, state), (_, _, _, of_table, other) = (
        make_run(**fields, optimizer=optimizer) for optimizer in (sparse, dense)
    )
    start = copy_of(state.params)
    state, other = of_rows.train_steps(state, data, STEPS), of_table.train_steps(other, data, STEPS)
    for name, value in other.params.items():
        np.testing.assert_allclose(state.params[name], value, rtol=1e-3, atol=2e-5, err_msg=name)
    for name in {'entity', 'substitution'}.intersection(start):
        assert not np.allclose(state.params[name], start[name], atol=1e-3)


def test_a_lazy_step_leaves_the_rows_that_it_does_not_look_at(make_run):
    _, _, data, loop, state = make_run(**BY_HAND, optimizer='lazy_adam')
    state = loop.train_steps(state, data, STEPS)
    before = copy_of(state)
    state = loop.train_steps(state, data, 1)
    positives, corruption = state.sampler_state['last']
    touched = np.zeros(len(before.params['entity']), bool)
    touched[np.concatenate([positives.head, positives.tail, np.ravel(corruption.entity)])] = True
    assert 0 < touched.mean()
    moved = np.any(np.asarray(state.params['entity']) != np.asarray(before.params['entity']), axis=1)
    assert not np.any(moved & ~touched) and np.any(moved)
    counts = [np.asarray(s.opt_state['entity'][0].count) for s in (before, state)]
    np.testing.assert_array_equal(counts[1] - counts[0], touched)


@pytest.mark.parametrize('recipe', SMOOTH.values(), ids=SMOOTH)
def test_norms_are_those_of_the_step_that_follows_also_across_epochs(make_run, recipe):
    _, _, data, loop, state = make_run(**recipe)
    for calls in ([], [5], [STEPS - 5], [STEPS]):
        state = run_steps(loop, state, data, calls)
        before = copy_of(state.params)
        _, update_norm = loop.next_norms(state, data)
        stepped = loop.train_steps(copy_of(state), data, 1)
        moved = optax.tree.norm(jax.tree.map(jnp.subtract, stepped.params, before))
        np.testing.assert_allclose(update_norm, moved, rtol=1e-3)
    assert loop.next_norms._cache_size() == 1


@pytest.mark.parametrize(
    ('recipe', 'expected'),
    [
        (WITH_REPLACEMENT, [0, 0, 0, 0]),
        # 0.3 of 64 steps: the first 20 are virtual.
        (MANS_T, [1, 4 / 16, 0, 0]),
        ({'strategy': 'mans_v', 'sampler': 'uniform'}, [1, 1, 1, 1]),
        ({'strategy': 'mans_h', 'sampler': 'uniform', 'share': 0.3, 'num_negatives': 3}, [14 / 48] * 4),
    ],
    ids=['normal', 'mans_t', 'mans_v', 'mans_h'],
)
def test_the_share_of_virtual_negatives_is_the_strategys(make_run, recipe, expected):
    """On a graph where every entity has every modality."""
    _, _, data, loop, state = make_run(**recipe)
    shares = [float((state := loop.train_steps(state, data, STEPS)).totals['virtual_share']) / STEPS for _ in expected]
    np.testing.assert_allclose(shares, expected, atol=1e-6)


def test_totals_are_those_of_the_running_epoch(make_run):
    _, _, data, loop, state = make_run(**WITH_REPLACEMENT)
    for _ in range(2):
        sums = [float((state := loop.train_steps(state, data, 1)).totals['loss']) for _ in range(STEPS)]
        losses = np.diff([0, *sums])
        assert (losses > 0).all() and sums[0] < 3 * np.mean(losses), 'the epoch before is counted'


def test_the_loss_falls(make_run):
    _, _, data, loop, state = make_run(**MANS_A)
    losses = [float((state := loop.train_steps(state, data, STEPS)).totals['loss']) for _ in range(10)]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize('recipe', SMOOTH.values(), ids=SMOOTH)
def test_one_program_serves_all_seeds_and_mapped_over_them_it_does_what_each_does_alone(make_run, recipe):
    """The seed is data: no retracing, and a vmap over it equals runs one after the other.

    Not with MANS-A, where a rounding decides once in a while which modalities are exchanged.
    """
    config, model, data, loop, _ = make_run(**recipe | {'strategy': 'mans_h', 'share': 0.5})
    seeds = jnp.arange(3, dtype=jnp.uint32)
    each = data.replace(triples=None, known=None, frozen=None, tables=None, seed=0)
    many = data.replace(seed=seeds)
    # Traced, so that all states have one optimiser: another would be another program's.
    init = jax.jit(lambda data: init_state(model, config, data))
    states = jax.jit(jax.vmap(init, in_axes=(each,)))(many)
    train_steps = inspect.unwrap(loop.train_steps)
    states = jax.jit(jax.vmap(train_steps, in_axes=(0, each, None)))(states, many, STEPS)
    programs = set()
    for i in range(3):
        alone = data.replace(seed=seeds[i])
        state = loop.train_steps(init(alone), alone, STEPS)
        programs.add(loop.train_steps._cache_size())
        for one, of_all in zip(jax.tree.leaves(state.params), jax.tree.leaves(states.params), strict=True):
            np.testing.assert_allclose(one, of_all[i], rtol=1e-4, atol=1e-5)
    assert len(programs) == 1, 'compiled again for another seed'
    assert not np.allclose(states.params['entity'][0], states.params['entity'][1], atol=1e-2)
