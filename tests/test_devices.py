"""What is cut otherwise for GPUs and TPUs gives what a CPU's portions give; tried here, on whatever device there is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax import devices, ranking
from mans_jax.candidates import candidates_per_block
from mans_jax.graph import KnownTriples, Triple
from mans_jax.models import FROZEN, PARAMS, frozen_variables, init_params, model_for
from mans_jax.sampling import Corruption
from mans_jax.scoring import SCORES
from mans_jax.tasks.link_prediction import predict_links

E, R, DIM = 600, 3, 70


@pytest.fixture
def for_both(monkeypatch):
    """(function) -> what it returns with a CPU's portions, and with those of other devices."""

    def run(function):
        found = []
        for on_cpu in (True, False):
            # What was traced before is of the other kind.
            jax.clear_caches()
            monkeypatch.setattr(devices, 'on_cpu', lambda on_cpu=on_cpu: on_cpu)
            found.append(jax.tree.map(np.asarray, function()))
        return found

    yield run
    jax.clear_caches()


@pytest.fixture(scope='module')
def setting(make_graph):
    graph = make_graph(0, num_entities=E, num_relations=R, number=2500)
    triples = np.concatenate([graph.train, graph.valid, graph.test])
    return graph, KnownTriples.build(triples, num_entities=E, num_relations=R)


def scored(graph, score):
    model = model_for(graph, SCORES[score], dim=DIM, normalize=True)
    return model, init_params(model, jax.random.key(0)), frozen_variables(graph)


def test_portions_differ(for_both):
    sizes = for_both(lambda: [*ranking.block_sizes(E), candidates_per_block(E), devices.positives_at_once()])
    assert sizes == [[128, 256, 512, 32], [4096, 8192, 640, 256]]


@pytest.mark.parametrize('num_candidates', [10, 100_000, 131_073, 1_000_000, 90_000_000])
def test_scores_of_a_block_have_a_bound_elsewhere(monkeypatch, num_candidates):
    monkeypatch.setattr(devices, 'on_cpu', lambda: False)
    num_queries, num_targets = ranking.block_sizes(num_candidates)
    assert num_queries * num_candidates <= 2**26 or num_queries == 8
    assert num_targets == 2 * num_queries


@pytest.mark.parametrize('score', ['transe_l1', 'distmult'])
def test_ranks_are_the_same(for_both, setting, score):
    graph, known = setting
    cpu, other = for_both(lambda: predict_links(*scored(graph, score), graph, graph.train[:500], known))
    assert len(np.unique(cpu.better)) > 100
    # Sums of other order may move a candidate past a target.
    np.testing.assert_allclose(other.better, cpu.better, atol=1)
    assert np.mean(other.better != cpu.better) < 0.01


@pytest.mark.parametrize('score', ['transe_l1', 'rotate'])
def test_sums_over_pairs_and_their_gradients_are_the_same(for_both, score):
    def values():
        keys = jax.random.split(jax.random.key(0), 3)
        queries, candidates = jax.random.normal(keys[0], (9, DIM)), jax.random.normal(keys[1], (DIM, 11))
        scores, transposed = jax.vjp(SCORES[score].compare_all, queries, candidates)
        return scores, *transposed(jax.random.normal(keys[2], scores.shape))

    for cpu, other in zip(*for_both(values), strict=True):
        np.testing.assert_allclose(other, cpu, rtol=1e-5, atol=1e-5)


def test_searches_and_known_answers_are_the_same(for_both, setting):
    _, known = setting
    side, kept, relation = (jnp.asarray(x) for x in np.random.default_rng(0).integers(0, (2, E, R), (400, 3)).T)

    def values():
        start, count = known.find(side, kept, relation)
        among = known.answers_among(start, count, jnp.arange(0, E, 2))
        return start, count, known.unknown(start, count, jnp.arange(400) % (E - count)), among

    cpu, other = for_both(values)
    assert cpu[3].any() and cpu[1].max() > 1
    for a, b in zip(cpu, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_negatives_that_no_gradient_is_taken_of_score_the_same(for_both, setting):
    graph, _ = setting
    model, params, frozen = scored(graph, 'transe_l2')
    rng = np.random.default_rng(0)
    positives = Triple.from_rows(jnp.asarray(graph.train[:300]))
    entity, side = (jnp.asarray(rng.integers(0, n, (300, 2)), t) for n, t in ((E, jnp.int32), (2, jnp.int8)))
    corruption = Corruption(entity, side, jnp.ones((300, 2, 1), bool))

    def values():
        return model.apply({PARAMS: params, FROZEN: frozen}, positives, corruption, method=model.score_negatives)

    cpu, other = for_both(values)
    np.testing.assert_allclose(other, cpu, rtol=1e-5)
