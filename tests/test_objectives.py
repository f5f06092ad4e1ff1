"""What is minimised without sampling, value and gradient, against plain sums over all entities and all triples."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax import fusion, scoring
from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple
from mans_jax.losses import binary_cross_entropy, cross_entropy
from mans_jax.models import FROZEN, PARAMS, frozen_variables, init_params, model_for
from mans_jax.objectives import OBJECTIVES, QUERIES_PER_BLOCK, SCORES_FOR
from mans_jax.scoring import SCORES
from tests.graphs import quick_programs

DIM, WEIGHT = 6, 0.01


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


@pytest.fixture(scope='module')
def graph(make_graph):
    """Some entities lack structure, image or text; some queries have several answers."""
    return make_graph(0, num_entities=14, num_relations=3, number=80)


def model_of(graph, name, normalize=True):
    return model_for(graph, SCORES[name], dim=DIM, normalize=normalize)


def all_scores(model, variables):
    """The plausibility of every triple, [E, R, E]."""
    ids = np.indices((model.num_entities, model.num_relations, model.num_entities))
    return model.apply(variables, Triple(*(jnp.asarray(i) for i in ids)), method=model.score_triples)


def by_entities(model, variables, graph, rows):
    """Scores of every entity as the head and as the tail of each row [2B, E], the true one [2B], all that are true."""
    scores, is_fact = all_scores(model, variables), np.zeros((graph.num_entities, 3, graph.num_entities), bool)
    is_fact[tuple(graph.train.T)] = True
    head, relation, tail = np.asarray(rows).T

    def both(of_triples, stack):
        return stack([of_triples[:, relation, tail].T, of_triples[head, relation]])

    return both(scores, jnp.concatenate), np.concatenate([head, tail]), both(is_fact, np.concatenate)


def one_vs_all(model, variables, graph, rows):
    scores, true, _ = by_entities(model, variables, graph, rows)
    share = jnp.exp(scores) / jnp.sum(jnp.exp(scores), axis=1, keepdims=True)
    return -jnp.mean(jnp.log(share[np.arange(len(true)), true]))


def k_vs_all(model, variables, graph, rows):
    scores, _, labels = by_entities(model, variables, graph, rows)
    probability, weight = 1 / (1 + jnp.exp(-scores)), 1 / labels.sum(axis=1)
    terms = -jnp.mean(jnp.log(jnp.where(labels, probability, 1 - probability)), axis=1)
    return jnp.sum(weight * terms) / np.sum(weight)


def non_sampling(model, variables, graph, rows):
    """A loop over pairs of modalities, and within it a sum over all triples: facts here, all others there."""
    views = model.apply(variables, jnp.arange(graph.num_entities), method=model.embed)
    relations = model.apply(variables, jnp.arange(graph.num_relations), method=model.relations)
    weight, is_fact = fusion.weights(views.present), np.zeros((14, 3, 14), bool)
    is_fact[tuple(graph.train.T)] = True
    total = 0
    for m, n in np.ndindex(3, 3):
        head, tail = views.vectors[:, None, None, m], views.vectors[None, None, :, n]
        relation = relations[None, :, None]
        if model.score is scoring.TRANSE_L2:
            # A fact should have distance 0, what is none 3: that of vectors at right angles.
            distance = jnp.sum(jnp.square(head + relation - tail), axis=-1)
            of_fact, of_other = distance**2, (3 - distance) ** 2
        else:
            score = model.score.score(head, relation, tail)
            of_fact, of_other = (1 - score) ** 2, score**2
        terms = jnp.where(is_fact, of_fact, WEIGHT * of_other)
        total += jnp.sum(weight[:, None, None, m] * weight[None, None, :, n] * terms)
    return total / len(graph.train)


SECOND_FORMULAS = {'one_vs_all': one_vs_all, 'k_vs_all': k_vs_all, 'non_sampling': non_sampling}
"""Name in OBJECTIVES -> (model, variables, graph, rows of the batch) -> the value, by sums over what there is."""


def value_and_gradient(function, model, graph):
    variables = {PARAMS: init_params(model, jax.random.key(0)), FROZEN: frozen_variables(graph)}

    def value(params):
        return function({**variables, PARAMS: params})

    return jax.jit(jax.value_and_grad(value))(variables[PARAMS])


def objective(name, model, graph, rows):
    sizes = {'num_entities': graph.num_entities, 'num_relations': graph.num_relations}
    known, positives = KnownTriples.build(graph.train, **sizes), Triple.from_rows(jnp.asarray(rows))
    return value_and_gradient(
        lambda variables: OBJECTIVES[name](WEIGHT)(model, variables, known, positives), model, graph
    )


def assert_equal(got, want):
    np.testing.assert_allclose(got[0], want[0], rtol=1e-4)
    for parameter, gradient in want[1].items():
        scale = np.max(np.abs(gradient))
        assert scale > 1e-6, parameter
        np.testing.assert_allclose(got[1][parameter] / scale, gradient / scale, atol=2e-4, err_msg=parameter)


@pytest.mark.parametrize('name', SECOND_FORMULAS)
def test_equals_second_formula(graph, name):
    """With every score that it is for; more queries than a block, and no multiple of one."""
    rows = graph.train
    assert 2 * len(rows) > QUERIES_PER_BLOCK and 2 * len(rows) % QUERIES_PER_BLOCK
    for score in SCORES_FOR[name][0]:
        model = model_of(graph, score)
        want = value_and_gradient(lambda v, model=model: SECOND_FORMULAS[name](model, v, graph, rows), model, graph)
        assert_equal(objective(name, model, graph, rows), want)


@pytest.mark.parametrize(('name', 'score'), [('one_vs_all', 'complex'), ('k_vs_all', 'distmult')])
def test_a_batch_asks_its_own_queries_alone(graph, name, score):
    model, rows = model_of(graph, score, normalize=False), graph.train[3:8]
    want = value_and_gradient(lambda v: SECOND_FORMULAS[name](model, v, graph, rows), model, graph)
    assert_equal(objective(name, model, graph, rows), want)


@pytest.mark.parametrize('score', ['transe_l2', 'complex'])
def test_non_sampling_by_batches_is_in_the_mean_that_of_all_facts(graph, score):
    model = model_of(graph, score)
    batches = [objective('non_sampling', model, graph, rows) for rows in np.split(graph.train, 4)]
    mean = jax.tree.map(lambda *parts: sum(parts) / 4, *batches)
    assert_equal(mean, objective('non_sampling', model, graph, graph.train))
    assert len({float(value) for value, _ in batches}) == 4


def test_non_sampling_needs_no_more_for_many_relations_and_entities(make_graph, tmp_path):
    """No array of all pairs of entities, let alone of all triples."""
    graph = make_graph(1, num_entities=3000, num_relations=40, number=64)
    graph = dataclasses.replace(graph, features={}, present=np.ones((3000, 1), bool))
    assert temporary_bytes('non_sampling', graph, tmp_path) < 3000 * 3000


def test_scores_of_a_block_of_queries_alone_are_in_memory(make_graph, tmp_path):
    graph = make_graph(1, num_entities=3000, num_relations=3, number=1024)
    graph = dataclasses.replace(graph, features={}, present=np.ones((3000, 1), bool))
    assert 2 * len(graph.train) == 16 * QUERIES_PER_BLOCK
    for name in ('one_vs_all', 'k_vs_all'):
        assert temporary_bytes(name, graph, tmp_path) < 4 * (2 * len(graph.train)) * 3000 / 2


def temporary_bytes(name, graph, folder):
    model = model_of(graph, 'distmult')
    known = KnownTriples.build(graph.train, num_entities=3000, num_relations=graph.num_relations)
    positives, frozen = Triple.from_rows(jnp.asarray(graph.train)), frozen_variables(graph)

    def value(params):
        return OBJECTIVES[name](WEIGHT)(model, {PARAMS: params, FROZEN: frozen}, known, positives)

    params = init_params(model, jax.random.key(0))
    with quick_programs(folder, optimized=True):
        return jax.jit(jax.grad(value)).lower(params).compile().memory_analysis().temp_size_in_bytes


def test_cross_entropies_equal_plain_numpy():
    rng = np.random.default_rng(0)
    scores, labels, answer = 3 * rng.normal(size=(4, 6)), rng.random((4, 6)) < 0.4, np.array([0, 5, 2, 2])
    probability = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        cross_entropy(jnp.float32(scores), jnp.asarray(answer)), -np.log(probability[np.arange(4), answer]), rtol=1e-5
    )
    sigma = 1 / (1 + np.exp(-scores))
    want = -np.mean(np.where(labels, np.log(sigma), np.log(1 - sigma)), axis=1)
    np.testing.assert_allclose(binary_cross_entropy(jnp.float32(scores), jnp.asarray(labels)), want, rtol=1e-5)
    for loss, target in ((cross_entropy, jnp.asarray(answer)), (binary_cross_entropy, jnp.asarray(labels))):
        assert np.all(np.isfinite(loss(1e4 * jnp.float32(scores), target)))


def test_sides_are_not_mixed_up(graph):
    """With one triple, the head is asked for beside its tail, and the tail beside its head."""
    model, row = model_of(graph, 'transe_l1'), graph.train[:1]
    variables = {PARAMS: init_params(model, jax.random.key(0)), FROZEN: frozen_variables(graph)}
    scores = np.asarray(all_scores(model, variables), np.float64)
    (head, relation, tail), terms = row[0], {}
    for side, line, true in ((HEAD, scores[:, relation, tail], head), (TAIL, scores[head, relation], tail)):
        terms[side] = np.log(np.sum(np.exp(line))) - line[true]
    assert terms[HEAD] != pytest.approx(terms[TAIL])
    assert objective('one_vs_all', model, graph, row)[0] == pytest.approx(np.mean(list(terms.values())), rel=1e-4)
