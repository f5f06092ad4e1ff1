"""Link prediction against brute force: every triple scored by itself, every candidate compared by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.errors import InputError, NonFiniteScore
from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple
from mans_jax.models import FROZEN, PARAMS, frozen_variables, init_params, model_for
from mans_jax.ranking import pack
from mans_jax.scoring import SCORES
from mans_jax.tasks import link_prediction, query_blocks
from mans_jax.tasks.link_prediction import TripleCounts, link_prediction_metrics, predict_links

E, R = 30, 3


@pytest.fixture(scope='module')
def graph(make_graph):
    return make_graph(0, num_entities=E, num_relations=R, number=300)


@pytest.fixture(scope='module')
def known(graph):
    triples = np.concatenate([graph.train, graph.valid, graph.test])
    return KnownTriples.build(triples, num_entities=E, num_relations=R)


@pytest.fixture(scope='module')
def setting(graph):
    """Model, parameters and features; entities 0 to 4 are alike in everything, so that their scores are tied."""
    model = model_for(graph, SCORES['distmult'], dim=4, normalize=True)
    params, frozen = init_params(model, jax.random.key(0)), frozen_variables(graph)
    params['entity'] = params['entity'].at[:5].set(params['entity'][0])
    frozen['present'] = frozen['present'].at[:5].set(True)
    frozen['features'] = {name: rows.at[:5].set(1) for name, rows in frozen['features'].items()}
    return model, params, frozen


def all_scores(setting):
    """float32[E, R, E], a triple at a time."""
    model, params, frozen = setting
    triples = Triple(*(jnp.asarray(ids) for ids in np.meshgrid(range(E), range(R), range(E), indexing='ij')))
    score = jax.jit(lambda t: model.apply({PARAMS: params, FROZEN: frozen}, t, method=model.score_triples))
    return np.asarray(score(triples))


def brute_force(scores, triples, filtered):
    """(better, tied) int[2, N]; scores within 1e-5 of each other are tied."""
    counts = np.zeros((2, 2, len(triples)), int)
    filtered = {tuple(row) for row in filtered.tolist()}
    for i, (h, r, t) in enumerate(triples.tolist()):
        for side, candidates in (
            (HEAD, [(e, r, t) for e in range(E) if e != h]),
            (TAIL, [(h, r, e) for e in range(E) if e != t]),
        ):
            others = np.array([scores[triple] for triple in candidates if triple not in filtered])
            difference = others - scores[h, r, t]
            counts[:, side, i] = np.sum(difference > 1e-5), np.sum(np.abs(difference) <= 1e-5)
    return TripleCounts(*counts)


def test_counts_equal_brute_force_in_the_order_of_the_triples(graph, known, setting):
    """Over several blocks, with targets that the filter knows (test) and does not know (made up)."""
    made_up = np.array([(h, r, (h + 7) % E) for h in range(E) for r in range(R)])
    triples = np.concatenate([graph.test, made_up, graph.test[:3]])
    assert len(triples) > 128
    got = predict_links(*setting, graph, triples, known)
    want = brute_force(all_scores(setting), triples, np.concatenate([graph.train, graph.valid, graph.test]))
    assert got.better.dtype == got.tied.dtype == np.int64
    np.testing.assert_array_equal(got.better, want.better)
    np.testing.assert_array_equal(got.tied, want.tied)
    assert np.any(got.tied[HEAD]) and np.any(got.tied[TAIL])


def test_compiles_once_whatever_the_triples(graph, known, setting):
    seen = []

    def progress(blocks):
        seen.append(len(blocks))
        return blocks

    predict_links(*setting, graph, graph.test, known, progress)
    compiled = link_prediction._rank_block._cache_size()
    predict_links(*setting, graph, graph.test[:1], known, progress)
    predict_links(*setting, graph, graph.train, known, progress)
    assert link_prediction._rank_block._cache_size() == compiled
    assert seen[:2] == [1, 1] and seen[2] > 2


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_an_error_that_names_its_triple(graph, known, setting, value):
    model, params, frozen = setting
    broken = int(graph.test[0, 2])
    params = {**params, 'entity': params['entity'].at[broken, 0].set(value)}
    frozen = {**frozen, 'present': jnp.ones((E, 3), bool)}
    with pytest.raises(NonFiniteScore) as error:
        predict_links(model, params, frozen, graph, graph.test[:1], known)
    assert isinstance(error.value, InputError)
    message = str(error.value)
    assert '\n' not in message and 'is not finite' in message and 'learning_rate' in message
    # The query that keeps the entity comes first, and every candidate of it is bad.
    assert f'of (entity 0, relation {graph.test[0, 1]}, entity {broken})' in message


@pytest.mark.parametrize('side', [HEAD, TAIL])
def test_the_named_triple_stands_the_right_way_round(graph, known, setting, side):
    """A NaN that a single candidate of a query meets: only the triple of both is named."""
    model, params, frozen = setting
    head, relation, tail = graph.test[0].tolist()
    broken = next(e for e in range(E) if e not in (head, tail))
    params = {**params, 'entity': params['entity'].at[broken].set(np.nan)}
    frozen = {**frozen, 'present': jnp.ones((E, 3), bool)}
    counts = link_prediction._rank_block(
        model,
        {PARAMS: params, FROZEN: frozen},
        link_prediction.embed_candidates(model, {PARAMS: params, FROZEN: frozen}),
        known,
        block_of(side, (tail, head)[side], relation, (head, tail)[side]),
    )
    assert (counts.bad_query, counts.bad_entity) == (0, broken)
    want = (broken, relation, tail) if side == HEAD else (head, relation, broken)
    with pytest.raises(NonFiniteScore) as error:
        query_blocks._raise_non_finite(graph, block_of(side, (tail, head)[side], relation, 0), 0, broken)
    assert str(error.value).startswith(f'the score of {graph.describe(np.array(want))} is not finite')


def test_ranks_do_not_depend_on_how_many_queries_are_scored_together(graph, known, setting, monkeypatch):
    """With so many candidates that there are two queries and four targets in a block."""
    model, params, frozen = setting
    want = predict_links(model, params, frozen, graph, graph.test, known)
    monkeypatch.setattr(query_blocks, 'block_sizes', lambda num_candidates: (2, 4))
    got = predict_links(model, params, frozen, graph, graph.test, known)
    jax.tree.map(np.testing.assert_array_equal, got, want)


def block_of(side, kept, relation, target):
    """A block of the usual size with a single query and target."""
    blocks, _ = pack(np.zeros((1, 3), int))
    block = jax.tree.map(lambda x: jnp.zeros_like(x[0]), blocks)
    queries = type(block.queries)(*(x + v for x, v in zip(block.queries, (side, kept, relation), strict=True)))
    return block._replace(queries=queries, target=block.target + target)


def test_metrics_of_both_sides_and_of_each():
    counts = TripleCounts(better=np.array([[0, 3], [1, 0]]), tied=np.array([[0, 2], [3, 9]]))
    metrics = link_prediction_metrics(counts)
    assert metrics['triples'] == 2
    assert metrics['head']['mrr'] == pytest.approx((1 + 1 / 5) / 2)
    assert metrics['tail']['mean_rank'] == pytest.approx((3.5 + 5.5) / 2)
    for name in ('mrr', 'mean_rank', 'hits_at_1', 'hits_at_3', 'hits_at_10'):
        assert metrics[name] == pytest.approx((metrics['head'][name] + metrics['tail'][name]) / 2)
    assert link_prediction_metrics(counts, 'optimistic')['tail']['mrr'] == pytest.approx((1 / 2 + 1) / 2)
    assert link_prediction_metrics(counts, 'pessimistic')['head']['hits_at_3'] == 0.5
