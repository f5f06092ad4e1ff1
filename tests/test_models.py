"""The model against itself: a batch, pairs and candidates are scored as the triples that they stand for."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax import devices, fusion, models, scoring
from mans_jax.candidates import candidates_per_block
from mans_jax.config import Config
from mans_jax.graph import HEAD, TAIL, Triple
from mans_jax.models import FROZEN, PARAMS, frozen_variables, init_params, model_for
from mans_jax.ranking import Queries
from mans_jax.sampling import Corruption
from mans_jax.scoring import SCORES
from mans_jax.training_step import init_state, make_training_loop, training_data
from tests.graphs import quick_programs

DIM = 6


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(programs):
    with quick_programs(programs):
        yield


every_score = pytest.mark.parametrize('name', SCORES)


@pytest.fixture(scope='module')
def graph(make_graph):
    """More entities than one block of candidates holds, and not a multiple of it."""
    return make_graph(0, num_entities=candidates_per_block(1) + 18, num_relations=3, number=60)


def model_and_variables(graph, name, normalize=True, absent='left_out'):
    model = model_for(graph, SCORES[name], dim=DIM, normalize=normalize, absent=absent)
    return model, {PARAMS: init_params(model, jax.random.key(0)), FROZEN: frozen_variables(graph, absent)}


def random_corruption(graph, num_positives, num_negatives, seed=0):
    rng = np.random.default_rng(seed)
    shape = (num_positives, num_negatives)
    return Corruption(
        jnp.asarray(rng.integers(0, graph.num_entities, shape), jnp.int32),
        jnp.asarray(rng.integers(0, 2, shape), jnp.int8),
        jnp.ones((*shape, 1), bool),
    )


@every_score
@pytest.mark.parametrize('normalize', [True, False])
def test_scores_of_a_batch(graph, name, normalize):
    """Positives and normal negatives score as triples; pairs add up to virtual negatives too."""
    model, variables = model_and_variables(graph, name, normalize)
    positives, normal = Triple.from_rows(jnp.asarray(graph.train[:9])), random_corruption(graph, 9, 3)
    virtual = normal.replace(replaced=jnp.asarray(np.random.default_rng(1).random((9, 3, 3)) < 0.5))

    def every_way(variables):
        def score(method, *args):
            return model.apply(variables, *args, method=method)

        batches = [score(model.score_batch, positives, c) for c in (normal, virtual)]
        pairs = [score(model.score_pairs, positives, c) for c in (normal, virtual)]
        triples = [score(model.score_triples, t) for t in (positives, normal.apply(positives))]
        alone = [score(model.score_negatives, positives, c) for c in (normal, virtual)]
        return batches, pairs, triples, alone

    batches, pairs, (of_positives, of_negatives), alone = jax.jit(every_way)(variables)
    for (_, negative), the_same in zip(batches, alone, strict=True):
        np.testing.assert_allclose(negative, the_same, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(batches[0][0], of_positives, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(batches[1][0], of_positives, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(batches[0][1], of_negatives, rtol=1e-5, atol=1e-5)
    for (_, negative), pair in zip(batches, pairs, strict=True):
        np.testing.assert_allclose(np.sum(pair, axis=(-2, -1)), negative, rtol=1e-5, atol=1e-5)
    changed = ~np.asarray(virtual.replaced).all(-1)
    assert np.mean(np.abs(batches[0][1] - batches[1][1])[changed] > 1e-4) > 0.5


@pytest.mark.parametrize('num_negatives', [1, 20])
def test_negatives_alone_are_scored_a_block_of_positives_at_a_time(graph, num_negatives):
    """As many positives as are no multiple of a block; with many negatives, every entity is embedded once."""
    model, variables = model_and_variables(graph, 'transe_l1')
    positives = Triple.from_rows(jnp.asarray(graph.train[: devices.positives_at_once() + 9]))
    normal = random_corruption(graph, devices.positives_at_once() + 9, num_negatives)
    assert (normal.entity.size > graph.num_entities) == (num_negatives == 20)

    def both(variables):
        batch = model.apply(variables, positives, normal, method=model.score_batch)
        return batch[1], model.apply(variables, positives, normal, method=model.score_negatives)

    np.testing.assert_allclose(*jax.jit(both)(variables), rtol=1e-5, atol=1e-5)


@every_score
@pytest.mark.parametrize('normalize', [True, False])
def test_a_negative_with_vectors_of_its_own_is_scored_by_them(graph, name, normalize):
    """The last two of four, as if there were an entity that looks so and has what the replaced one has."""
    model, variables = model_and_variables(graph, name, normalize)
    positives, corruption = Triple.from_rows(jnp.asarray(graph.train[:9])), random_corruption(graph, 9, 4)
    vectors = jnp.asarray(np.random.default_rng(2).normal(size=(9, 2, 3, DIM)), jnp.float32)

    def score(variables, vectors):
        with_vectors = corruption.replace(vectors=vectors)
        ends = [model.apply(variables, ids, method=model.embed) for ids in (positives.head, positives.tail)]
        relations = model.apply(variables, positives.relation, method=model.relations)
        methods = model.score_batch, model.score_negatives, model.score_pairs
        return ends, relations, [model.apply(variables, positives, with_vectors, method=m) for m in methods]

    (head, tail), relations, (batch, alone, pairs) = jax.jit(score)(variables, vectors)
    plain = model.apply(variables, positives, corruption, method=model.score_negatives)
    np.testing.assert_allclose(batch[1], alone, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.sum(pairs, axis=(-2, -1)), alone, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(alone[:, :2], plain[:, :2], rtol=1e-5, atol=1e-5)
    for b, g in np.ndindex(9, 2):
        at_tail = int(corruption.side[b, 2 + g]) == TAIL
        kept, replaced = (head[b], tail[b]) if at_tail else (tail[b], head[b])
        looks = scoring.unit(vectors[b, g]) if normalize else vectors[b, g]
        query = fusion.query(SCORES[name], kept, relations[b], jnp.float32(1 if at_tail else -1))
        want = fusion.all_pairs(SCORES[name], query, fusion.Views(looks, replaced.present))
        np.testing.assert_allclose(alone[b, 2 + g], want, rtol=1e-4, atol=1e-4)


@every_score
@pytest.mark.parametrize('chunk', [None, 3])
def test_substitutes_are_scored_as_triples_of_a_relation_of_their_own(graph, name, chunk):
    """Both ways round, whole entities also where a negative is virtual; the other scores are those of `score_batch`."""
    plain = model_for(graph, SCORES[name], dim=DIM, normalize=True)
    model = plain.clone(substitutes=True)
    params = init_params(model, jax.random.key(0))
    frozen = frozen_variables(graph)
    positives, corruption = Triple.from_rows(jnp.asarray(graph.train[:9])), random_corruption(graph, 9, 4)
    if chunk:
        first = jnp.arange(9) // chunk * chunk
        corruption = corruption.replace(entity=corruption.entity[first], side=corruption.side[:, :1].repeat(4, 1))
        corruption = corruption.replace(chunk=chunk)
    corruption = corruption.replace(replaced=jnp.asarray(np.random.default_rng(1).random((9, 4, 3)) < 0.5))

    def score(model, params, method):
        return jax.jit(lambda p: model.apply({PARAMS: p, FROZEN: frozen}, positives, corruption, method=method))(params)

    *scores, substitutes = score(model, params, model.score_batch_and_substitutes)
    relation = params.pop('substitution')
    for got, want in zip(scores, score(plain, params, plain.score_batch), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    # The relation in place of the first one: then its triples are any model's.
    params['relation'] = params['relation'].at[0].set(relation[0])
    ends = np.where(corruption.side == HEAD, positives.head[:, None], positives.tail[:, None]), corruption.entity
    both = [Triple(one, jnp.zeros((9, 4), int), other) for one, other in (ends, ends[::-1])]
    want = [plain.apply({PARAMS: params, FROZEN: frozen}, t, method=plain.score_triples) for t in both]
    np.testing.assert_allclose(substitutes, sum(want) / 2, rtol=1e-4, atol=1e-4)


def test_a_virtual_negative_is_an_entity_put_together_from_two(graph):
    """Against a plain sum over modality pairs of TransE distances, from the parameters alone."""
    model, variables = model_and_variables(graph, 'transe_l1')
    positives, corruption = Triple.from_rows(jnp.asarray(graph.train[:8])), random_corruption(graph, 8, 2)
    replaced = np.random.default_rng(2).random((8, 2, 3)) < 0.5
    corruption = corruption.replace(replaced=jnp.asarray(replaced))
    _, got = jax.jit(lambda v, c: model.apply(v, positives, c, method=model.score_batch))(variables, corruption)
    params = {k: np.asarray(v, np.float64) for k, v in variables[PARAMS].items()}

    def views(entity):
        rows = [params['entity'][entity]]
        for name, features in graph.features.items():
            rows.append(params[f'{name}_kernel'] @ features[entity] + params[f'{name}_bias'])
        return [row / np.linalg.norm(row) for row in rows], graph.present[entity]

    def weights(present):
        return len(present) / max(present.sum(), 1) * present

    for b, k in np.ndindex(8, 2):
        head, relation, tail = graph.train[b]
        intruder, at_head = views(int(corruption.entity[b, k])), corruption.side[b, k] == HEAD
        original = views(head if at_head else tail)
        mixed = [[(intruder if r else original)[i][m] for m, r in enumerate(replaced[b, k])] for i in range(2)]
        ends = [mixed, views(tail)] if at_head else [views(head), mixed]
        (heads, head_has), (tails, tail_has) = ends
        r = params['relation'][relation] / np.linalg.norm(params['relation'][relation])
        distance = np.array([[np.abs(h + r - t).sum() for t in tails] for h in heads])
        want = -weights(np.array(head_has)) @ distance @ weights(np.array(tail_has))
        np.testing.assert_allclose(got[b, k], want, rtol=1e-5)


@every_score
def test_candidates_are_scored_as_triples(graph, name):
    model, variables = model_and_variables(graph, name)
    rng = np.random.default_rng(0)
    side, kept, relation = np.array([HEAD, TAIL] * 2), rng.integers(0, graph.num_entities, 4), rng.integers(0, 3, 4)
    everyone, kept_by_row = np.arange(graph.num_entities)[None, :], kept[:, None]
    triples = Triple(
        jnp.asarray(np.where(side[:, None] == HEAD, everyone, kept_by_row)),
        jnp.asarray(np.broadcast_to(relation[:, None], (4, graph.num_entities))),
        jnp.asarray(np.where(side[:, None] == HEAD, kept_by_row, everyone)),
    )

    def both_ways(variables):
        candidates = model.apply(variables, method=model.candidates)
        queries = Queries(*map(jnp.asarray, (side, kept, relation)))
        return (
            model.apply(variables, queries, candidates, method=model.score_candidates),
            model.apply(variables, triples, method=model.score_triples),
        )

    got, want = jax.jit(both_ways)(variables)
    assert got.shape == (4, graph.num_entities)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@every_score
def test_an_absent_modality_is_not_trained_through_its_zeros(graph, name):
    """Rows of zeros, and even an entity's learned row where structure is absent, leave gradients finite and right."""
    model, variables = model_and_variables(graph, name)
    variables[PARAMS]['text_bias'] = jnp.zeros(DIM)
    positives, corruption = Triple.from_rows(jnp.asarray(graph.train)), random_corruption(graph, len(graph.train), 1)

    def loss(params):
        variables_ = {PARAMS: params, FROZEN: variables[FROZEN]}
        positive, negative = model.apply(variables_, positives, corruption, method=model.score_batch)
        return jnp.sum(negative) - jnp.sum(positive)

    value, gradients = jax.jit(jax.value_and_grad(loss))(variables[PARAMS])
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients.values())
    # Every parameter is trained, except learned rows of entities without structure.
    assert all(np.any(gradient) for gradient in gradients.values())
    assert not np.all(graph.present[graph.train[:, [0, 2]], 0])
    assert not np.any(np.asarray(gradients['entity'])[~graph.present[:, 0]])


def completed(graph, stand_in):
    """The graph in which every entity has every feature, `stand_in(name)` where it had none."""
    features = {
        name: np.where(graph.present[:, [m]], rows, stand_in(name)).astype(np.float32)
        for m, (name, rows) in enumerate(graph.features.items(), start=1)
    }
    present = graph.present | (np.arange(graph.present.shape[1]) > 0)
    return dataclasses.replace(graph, features=features, present=present)


def scores_of_all(model, variables, graph):
    """Of each train triple's tail query with every entity, and of the triples themselves."""
    triples = Triple.from_rows(jnp.asarray(graph.train))
    queries = Queries(jnp.full(len(graph.train), TAIL), triples.head, triples.relation)

    def score(variables):
        candidates = model.apply(variables, method=model.candidates)
        of_all = model.apply(variables, queries, candidates, method=model.score_candidates)
        return of_all, model.apply(variables, triples, method=model.score_triples)

    return jax.jit(score)(variables)


def test_the_mean_of_a_feature_stands_for_an_absent_one(graph):
    model, variables = model_and_variables(graph, 'transe_l1', absent='mean')
    means = {name: rows[graph.present[:, m]].mean(0) for m, (name, rows) in enumerate(graph.features.items(), start=1)}
    full = completed(graph, means.get)
    as_if, _ = model_and_variables(full, 'transe_l1')
    want = scores_of_all(as_if, {PARAMS: variables[PARAMS], FROZEN: frozen_variables(full)}, full)
    got = scores_of_all(model, variables, graph)
    for some, others in zip(got, want, strict=True):
        np.testing.assert_allclose(some, others, rtol=1e-5)
    # The samplers are told who has the feature, not who is given one.
    np.testing.assert_array_equal(variables[FROZEN]['present'], graph.present)


def test_a_learned_vector_stands_for_an_absent_feature(graph):
    """Against a graph whose absent rows are such that their projection is that vector."""
    model, variables = model_and_variables(graph, 'transe_l1', absent='learned')
    params = dict(variables[PARAMS])
    row = {name: np.random.default_rng(0).normal(size=rows.shape[1]) for name, rows in graph.features.items()}
    for name in graph.features:
        assert 0.2 * DIM**-0.5 < np.max(np.abs(params[f'{name}_absent'])) <= DIM**-0.5
        params[f'{name}_absent'] = params[f'{name}_kernel'] @ row[name].astype(np.float32) + params[f'{name}_bias']
    full = completed(graph, row.get)
    as_if, _ = model_and_variables(full, 'transe_l1')
    want = scores_of_all(as_if, {PARAMS: params, FROZEN: frozen_variables(full)}, full)
    got = scores_of_all(model, {PARAMS: params, FROZEN: variables[FROZEN]}, graph)
    for some, others in zip(got, want, strict=True):
        np.testing.assert_allclose(some, others, rtol=1e-5)

    def total(params):
        return scores_of_all(model, {PARAMS: params, FROZEN: variables[FROZEN]}, graph)[1].sum()

    gradients = jax.grad(total)(params)
    assert all(np.any(gradients[f'{name}_absent']) for name in graph.features)


def test_a_feature_that_nobody_has_has_no_mean(graph):
    nobody = dataclasses.replace(graph, present=graph.present & (np.arange(3) != 1))
    np.testing.assert_array_equal(frozen_variables(nobody, 'mean')['features']['image'], graph.features['image'])


@every_score
def test_parameters_have_the_stated_shapes_and_ranges(graph, name):
    model, variables = model_and_variables(graph, name)
    width = SCORES[name].relation_width(DIM)
    bounds = {
        'entity': ((graph.num_entities, DIM), np.sqrt(6 / (graph.num_entities + DIM))),
        'relation': ((3, width), np.pi if name == 'rotate' else np.sqrt(6 / (3 + width))),
        'image_kernel': ((DIM, 5), 5**-0.5),
        'image_bias': ((DIM,), 5**-0.5),
        'text_kernel': ((DIM, 4), 4**-0.5),
        'text_bias': ((DIM,), 4**-0.5),
    }
    params = variables[PARAMS]
    assert {key: value.shape for key, value in params.items()} == {key: shape for key, (shape, _) in bounds.items()}
    for key, (_, bound) in bounds.items():
        assert 0.2 * bound < np.max(np.abs(params[key])) <= bound, key


def test_a_graph_without_features_has_structure_alone(make_graph):
    graph = make_graph(1)
    model = models.MultiModalEmbedding(graph.num_entities, graph.num_relations, DIM, scoring.DISTMULT)
    params = init_params(model, jax.random.key(0))
    assert set(params) == {'entity', 'relation'}
    frozen = {'features': {}, 'present': jnp.ones((graph.num_entities, 1), bool)}
    variables = {PARAMS: params, FROZEN: frozen}
    triples = Triple.from_rows(jnp.asarray(graph.train))
    got = model.apply(variables, triples, method=model.score_triples)
    head, tail = (np.asarray(scoring.unit(params['entity']))[graph.train[:, i]] for i in (0, 2))
    relation = np.asarray(scoring.unit(params['relation']))[graph.train[:, 1]]
    np.testing.assert_allclose(got, np.sum(head * relation * tail, axis=-1), rtol=1e-4, atol=1e-6)


def loop_and_start(graph, steps_per_epoch=2, **settings):
    """(training loop, first state, data) of a graph in memory."""
    config = Config(data='in memory', batch_size=32, dim=32, **settings)
    model = model_for(graph, SCORES[config.score], dim=config.dim, normalize=True)
    data = training_data(config, graph)
    return make_training_loop(model, config, steps_per_epoch), init_state(model, config, data), data


def flops_of_a_step(graph, strategy, **fields):
    loop, state, data = loop_and_start(graph, strategy=strategy, marks='per_sample', **fields)
    return loop.next_norms.lower(state, data).compile().cost_analysis()['flops']


def test_training_with_mans_t_switches_at_the_very_step(make_graph):
    """Step 30 of 100 is the first normal one at a share of 0.3, whatever a rounded quotient says."""
    graph = make_graph(0, num_entities=64, number=64)
    graph = dataclasses.replace(graph, present=np.ones_like(graph.present))
    loop, state, data = loop_and_start(graph, num_epochs=50, strategy='mans_t', share=0.3, with_replacement=True)
    shares = []
    for _ in range(20):
        state = loop.train_steps(state, data, 2)
        shares.append(float(state.totals['virtual_share']) / 2)
    assert shares == [1.0] * 15 + [0.0] * 5


@pytest.fixture
def wide_graph(make_graph):
    """Features as wide as text embeddings are, so that projecting them is most of a step's work.

    There are more entities than a step asks for: otherwise all of them are embedded once.
    """
    return with_wide_features(make_graph(0, num_entities=128, number=64))


def with_wide_features(graph):
    rng = np.random.default_rng(0)
    shape = (graph.num_entities, 384)
    return dataclasses.replace(graph, features={name: rng.normal(size=shape) for name in graph.features})


def test_no_entity_is_projected_twice(make_graph):
    """A step of 32 positives with 32 negatives each asks for 1,088 entities, of which there are only 64 or 2,048."""
    few, many = (with_wide_features(make_graph(0, num_entities=count, number=64)) for count in (64, 2048))
    flops = [flops_of_a_step(graph, 'normal', num_negatives=32) for graph in (few, many)]
    assert flops[0] < 0.25 * flops[1]


@every_score
def test_a_batch_is_scored_alike_however_many_negatives_it_has(make_graph, name):
    graph = make_graph(0, num_entities=64, number=64)
    model = model_for(graph, SCORES[name], dim=32, normalize=True)
    variables = {PARAMS: init_params(model, jax.random.key(0)), FROZEN: frozen_variables(graph)}
    rng = np.random.default_rng(0)
    entity, side = rng.integers(64, size=(8, 20)), rng.integers(2, size=(8, 20)).astype(np.int8)
    replaced = jnp.asarray(rng.random((8, 20, len(graph.modalities))) < 0.7)
    positives = Triple.from_rows(jnp.asarray(graph.train[:8]))
    # All of these are more than there are entities, one by one they are fewer.
    whole = Corruption(jnp.asarray(entity), jnp.asarray(side), replaced)
    _, together = model.apply(variables, positives, whole, method=model.score_batch)
    for k in range(20):
        one = Corruption(*(part[:, k : k + 1] for part in (whole.entity, whole.side, whole.replaced)))
        _, alone = model.apply(variables, positives, one, method=model.score_batch)
        np.testing.assert_allclose(alone[:, 0], together[:, k], rtol=1e-5, atol=1e-5)


@every_score
@pytest.mark.parametrize('chunk', [3, pytest.param(9, marks=pytest.mark.slow)])
def test_what_chunks_share_is_scored_as_any_negatives(graph, name, chunk):
    """Normal and virtual ones, with absent modalities, and the gradients of all parameters."""
    model, variables = model_and_variables(graph, name)
    positives, rng = Triple.from_rows(jnp.asarray(graph.train[:9])), np.random.default_rng(0)
    entity = np.repeat(rng.integers(0, graph.num_entities, (9 // chunk, 4)), chunk, axis=0)
    side = np.repeat(rng.integers(0, 2, (9, 1)), 4, axis=1).astype(np.int8)
    apart = Corruption(jnp.asarray(entity, jnp.int32), jnp.asarray(side), jnp.asarray(rng.random((9, 4, 3)) < 0.7))
    cotangent = jnp.asarray(rng.normal(size=(9, 4)), jnp.float32)

    def scores(corruption):
        def score(params):
            inputs = {**variables, PARAMS: params}
            return model.apply(inputs, positives, corruption, method=model.score_batch)

        (positive, negative), vjp = jax.vjp(score, variables[PARAMS])
        pairs = model.apply(variables, positives, corruption, method=model.score_pairs)
        return positive, negative, pairs, vjp((jnp.ones(9), cotangent))[0]

    got, want = jax.jit(scores)(apart.replace(chunk=chunk)), jax.jit(scores)(apart)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), got, want)


def test_what_chunks_share_is_embedded_and_compared_once(make_graph):
    graph = with_wide_features(make_graph(0, num_entities=2048, number=64))
    fields = {'num_negatives': 32, 'score': 'distmult'}
    apart, shared = (
        flops_of_a_step(graph, 'normal', sampler=text, **fields) for text in ('uniform', 'chunk_pool(chunk=16)')
    )
    assert shared < 0.25 * apart


def test_in_bfloat16_features_and_projections_are_rounded_and_nothing_else(graph):
    model, variables = model_and_variables(graph, 'transe_l1')
    rounded = model.clone(precision='bfloat16')
    frozen = frozen_variables(graph, precision='bfloat16')
    assert all(x.dtype == jnp.bfloat16 for x in frozen['features'].values())

    def round_by_hand(x):
        return np.asarray(x).astype(jnp.bfloat16).astype(np.float32)

    def embed(model, variables):
        return model.apply(variables, method=model.embed_all).vectors

    by_hand = {
        PARAMS: {n: round_by_hand(x) if n.endswith('_kernel') else x for n, x in variables[PARAMS].items()},
        FROZEN: {**variables[FROZEN], 'features': jax.tree.map(round_by_hand, variables[FROZEN]['features'])},
    }
    got = embed(rounded, {**variables, FROZEN: frozen})
    np.testing.assert_allclose(got, embed(model, by_hand), rtol=1e-6, atol=1e-6)
    assert got.dtype == jnp.float32 and np.abs(got - embed(model, variables)).max() > 1e-4


def test_an_adaptive_sampler_embeds_nothing_of_its_own(wide_graph, monkeypatch):
    normal = flops_of_a_step(wide_graph, 'normal')
    assert flops_of_a_step(wide_graph, 'mans_a') < 1.05 * normal

    # The measure has teeth: entities that the step does not embed need a projection of their own.
    score_pairs = models.MultiModalEmbedding.score_pairs

    def score_pairs_of_others(self, positives, corruption):
        return score_pairs(self, positives, corruption.replace(entity=corruption.entity[::-1]))

    monkeypatch.setattr(models.MultiModalEmbedding, 'score_pairs', score_pairs_of_others)
    assert flops_of_a_step(wide_graph, 'mans_a') > 1.2 * normal


@pytest.mark.parametrize(
    'name', [name if name == 'transe_l1' else pytest.param(name, marks=pytest.mark.slow) for name in SCORES]
)
def test_an_adaptive_sampler_compares_nothing_of_its_own(make_graph, monkeypatch, name):
    """Where comparing is most of a step's work, which it is with many negatives."""
    graph = make_graph(0, num_entities=2048, number=64)
    normal = flops_of_a_step(graph, 'normal', num_negatives=32, score=name)
    assert flops_of_a_step(graph, 'mans_a', num_negatives=32, score=name) < 1.1 * normal

    # The measure has teeth: queries that are not those of the loss are compared by themselves.
    score_pairs = models.MultiModalEmbedding.score_pairs

    def score_pairs_of_other_sides(self, positives, corruption):
        return score_pairs(self, positives, corruption.replace(side=1 - corruption.side))

    monkeypatch.setattr(models.MultiModalEmbedding, 'score_pairs', score_pairs_of_other_sides)
    assert flops_of_a_step(graph, 'mans_a', num_negatives=32, score=name) > 1.1 * normal
