"""New rows stand where geometry says that they must, and nothing that was learned is lost."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.config import Config
from mans_jax.graph import KnowledgeGraph
from mans_jax.runs import make_run
from mans_jax.scoring import SCORES, unit
from mans_jax.training_step import init_state, make_training_loop
from mans_jax.warm_start import estimate_rows, extend_state

TRAINED, NEW, DIM = 60, 5, 4
E = TRAINED + NEW


@pytest.fixture(autouse=True)
def _quick_programs(tmp_path_factory):
    from tests.graphs import quick_programs

    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


def graph_of(triples, features=None, num_entities=E):
    features = features or {}
    present = np.ones((num_entities, 1 + len(features)), bool)
    for m, name in enumerate(features, start=1):
        present[:, m] = ~np.isnan(features[name]).any(axis=1)
    triples = np.array(triples, np.int32)
    return KnowledgeGraph(
        name='geometry',
        entities=tuple(f'e{i}' for i in range(num_entities)),
        relations=('r', 's'),
        train=triples,
        valid=triples[:1],
        test=triples[:1],
        features={name: np.nan_to_num(rows).astype(np.float32) for name, rows in features.items()},
        present=present,
    )


def run_of(graph, **fields):
    return make_run(Config(data='in memory', dim=DIM, batch_size=8, num_epochs=3, **fields).validate(), graph)


def trained_among(number=TRAINED):
    return np.arange(E) < number


def points(seed=0, number=E):
    return np.random.default_rng(seed).normal(size=(number, DIM)).astype(np.float32)


def old_triples(number=TRAINED):
    """Enough train triples that every old entity is named."""
    return [[i, 0, (i + 1) % number] for i in range(number)]


@pytest.mark.parametrize('score', ['transe_l1', 'transe_l2', 'rotate'])
def test_triples_tell_the_row_exactly_where_the_score_is_a_distance(score):
    """Every entity has the same place p, and relation r leads from p to q: new tails of r stand at q, new heads at p.

    The last two are known only through each other and through a new entity, so that one pass over triples would not do.
    """
    p = jnp.asarray(points()[0])
    relation = jnp.asarray(np.random.default_rng(1).normal(size=SCORES[score].relation_width(DIM)), jnp.float32)
    q = np.asarray(SCORES[score].query(p, relation, jnp.float32(1)))
    back = np.asarray(SCORES[score].query(p, relation, jnp.float32(-1)))
    new = [[3, 1, 60], [4, 1, 60], [61, 1, 7], [62, 1, 61], [62, 1, 61]]
    old = [[i, 0, (i + 1) % TRAINED] for i in range(TRAINED)]
    run = run_of(graph_of([*old, *new]), score=score, normalize=False)
    rows = np.tile(p, (E, 1))
    rows[TRAINED:] = 1e6
    nothing = np.zeros_like(relation)
    params = {'entity': jnp.asarray(rows), 'relation': jnp.asarray(np.stack([nothing, relation]))}
    estimates = estimate_rows(run, params, trained_among())
    assert estimates.estimated.tolist() == [False] * 60 + [True] * 3 + [False] * 2
    twice_back = np.asarray(SCORES[score].query(jnp.asarray(back), relation, jnp.float32(-1)))
    for entity, place in ((60, q), (61, back), (62, twice_back)):
        np.testing.assert_allclose(estimates.rows[entity], place, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(estimates.rows[~estimates.estimated], rows[~estimates.estimated])
    assert estimates.weight is None
    assert estimates.agreement > 0.999


def test_features_tell_the_row_where_rows_depend_on_them_linearly():
    """Two modalities of very different scale, either of which some entities lack; noise only in what is not asked."""
    rows = points()
    map_a, map_b = (np.random.default_rng(i).normal(size=(DIM, 6)) for i in (1, 2))
    features = {'a': 1000 * rows @ map_a + 5, 'b': 0.01 * rows @ map_b}
    features['a'][61], features['b'][62] = np.nan, np.nan
    features['a'][64], features['b'][64] = np.nan, np.nan
    run = run_of(graph_of(old_triples(), features))
    params = init_state(run.model, run.config, run.data).params
    given = jnp.asarray(np.where(trained_among()[:, None], rows, 1e6))
    estimates = estimate_rows(run, {**params, 'entity': given}, trained_among())
    assert estimates.estimated.tolist() == [False] * 60 + [True] * 4 + [False]
    cosine = np.sum(np.asarray(unit(jnp.asarray(estimates.rows)) * unit(jnp.asarray(rows))), axis=1)
    assert cosine[60:64].min() > 0.99
    median = np.median(np.linalg.norm(rows[:TRAINED], axis=1))
    np.testing.assert_allclose(np.linalg.norm(estimates.rows[60:64], axis=1), median, rtol=1e-4)
    assert estimates.agreement > 0.95 and estimates.weight >= 1


def test_useless_features_are_outweighed_by_triples():
    noise = np.random.default_rng(3).normal(size=(E, 6))
    place = np.tile(points()[0], (E, 1)) + 0.1 * points(4)
    run = run_of(graph_of([*old_triples(), [2, 0, 60]], {'noise': noise}), normalize=False)
    params = init_state(run.model, run.config, run.data).params
    params = {**params, 'entity': jnp.asarray(place), 'relation': jnp.zeros((2, DIM))}
    params |= {'noise_kernel': jnp.zeros((DIM, 6)), 'noise_bias': jnp.asarray(points()[0])}
    estimates = estimate_rows(run, params, trained_among())
    np.testing.assert_allclose(estimates.rows[60], points()[0], atol=0.3)


def test_too_few_trained_entities_leave_triples_alone():
    features = {'a': points() @ np.ones((DIM, 2))}
    run = run_of(graph_of([*old_triples(10), [2, 0, 60]], features))
    params = init_state(run.model, run.config, run.data).params
    estimates = estimate_rows(run, params, trained_among(10))
    assert (estimates.weight, estimates.agreement) == (None, None)
    assert np.flatnonzero(estimates.estimated).tolist() == [60]


def test_a_loop_and_a_neighbour_without_a_place_tell_nothing():
    run = run_of(graph_of([*old_triples(), [60, 0, 60], [61, 1, 62]]))
    params = init_state(run.model, run.config, run.data).params
    assert not estimate_rows(run, params, trained_among()).estimated.any()


@pytest.mark.parametrize(
    'optimizer',
    [
        'adam',
        'lazy_adam',
        *(pytest.param(name, marks=pytest.mark.slow) for name in ('adagrad', 'sgd', 'rowwise_adagrad')),
    ],
)
def test_what_was_learned_stays_and_training_goes_on(optimizer):
    features = {'a': points(2)}
    old = run_of(
        graph_of(old_triples(), {'a': features['a'][:TRAINED]}, TRAINED), optimizer=optimizer, learning_rate=0.1
    )
    loop = make_training_loop(old.model, old.config, old.steps_per_epoch)
    state = init_state(old.model, old.config, old.data)
    for _ in range(2):
        state = loop.train_steps(state, old.data, old.steps_per_epoch)
    graph = graph_of([*old_triples(), *([60, 0, i] for i in range(20)), [61, 1, 3]], features)
    new = run_of(graph, optimizer=optimizer, learning_rate=0.1)
    extended, estimates = extend_state(old, state, new)
    assert estimates.estimated.tolist() == [False] * 60 + [True] * 5
    assert int(extended.step) == 2 * new.steps_per_epoch != int(state.step)
    like = init_state(new.model, new.config, new.data)
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), (s.params, s.opt_state, s.totals)) for s in (extended, like)]
    assert shapes[0] == shapes[1]
    for name, value in state.params.items():
        np.testing.assert_array_equal(extended.params[name][: len(value)], value)
    before = dict(jax.tree_util.tree_flatten_with_path(state.opt_state)[0])
    for path, slot in jax.tree_util.tree_flatten_with_path(extended.opt_state)[0]:
        if any(getattr(part, 'key', None) == 'entity' for part in path):
            np.testing.assert_array_equal(slot[:TRAINED], before[path])
            mean = np.mean(before[path], axis=0).astype(slot.dtype)
            np.testing.assert_allclose(slot[TRAINED:], np.broadcast_to(mean, slot[TRAINED:].shape), rtol=1e-5)
        else:
            np.testing.assert_array_equal(slot, before[path])
    loop = make_training_loop(new.model, new.config, new.steps_per_epoch)
    rows = np.asarray(extended.params['entity'])
    after = loop.train_steps(extended, new.data, new.steps_per_epoch)
    assert np.isfinite(float(after.totals['loss'])) and np.any(np.asarray(after.params['entity'])[60:62] != rows[60:62])


def test_an_old_entity_that_gets_its_first_triple_is_estimated_too():
    """As an image that had only its pixels: its row was never trained."""
    features = {'a': points(2)}
    old = run_of(graph_of(old_triples(59), {'a': features['a'][:TRAINED]}, TRAINED))
    state = init_state(old.model, old.config, old.data)
    new = run_of(graph_of([*old_triples(59), [59, 0, 3], [60, 0, 4]], features))
    extended, estimates = extend_state(old, state, new)
    assert estimates.estimated[59] and np.any(extended.params['entity'][59] != state.params['entity'][59])
    assert dataclasses.asdict(estimates)['agreement'] is not None
