"""The numbers of the published MANS code, to a relative 1e-5."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax import losses, ranking
from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple
from mans_jax.models import FROZEN, PARAMS, MultiModalEmbedding
from mans_jax.sampling import Corruption, View, stateless
from mans_jax.scoring import TRANSE_L1
from tests.strategies import around

GOLDEN = Path(os.environ.get('MANS_GOLDEN') or Path(__file__).parent / 'golden')
TOLERANCE = 1e-5
MARGIN = 4.0
STRATEGY_OPTIONS = {'share': 0.5, 'marks': 'count', 'where_cross_is_closer': True}
NUM_STRATEGIES = {'mmtranse_1_negative': 4, 'mmtranse_3_negatives': 2}
"""How many strategies a file of this name has at least, so that nothing passes for want of numbers."""


def strategies_in(golden):
    return [name.removesuffix('_loss') for name in golden if name.endswith('_loss')]


def cases():
    return [
        (file.stem, name) for file in sorted(GOLDEN.glob('mmtranse_*.npz')) for name in strategies_in(np.load(file))
    ]


def relative_error(got, want):
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    assert got.shape == want.shape
    return np.max(np.abs(got - want)) / np.max(np.abs(want))


def model_and_variables(golden):
    num_features = golden['features'].shape[1]
    (num_entities, dim), num_relations = golden['entity'].shape, len(golden['relation'])
    model = MultiModalEmbedding(num_entities, num_relations, dim, TRANSE_L1, (('image', num_features),))
    params = {
        'entity': golden['entity'],
        'relation': golden['relation'],
        'image_kernel': golden['projection_kernel'].T,
        'image_bias': golden['projection_bias'],
    }
    frozen = {'features': {'image': golden['features']}, 'present': np.ones((num_entities, 2), bool)}
    return model, *jax.tree.map(jnp.asarray, (params, frozen))


def sampler_of(negative, positives):
    """A sampler that returns the file's negatives [K, B, 3], one side of each corrupted."""
    negatives = Triple.from_rows(jnp.asarray(negative).transpose(1, 0, 2))
    at_head = negatives.head != positives.head[:, None]
    entity = jnp.where(at_head, negatives.head, negatives.tail)
    side = jnp.where(at_head, HEAD, TAIL).astype(jnp.int8)
    return stateless(lambda key, positives, view: Corruption(entity, side, jnp.ones((*entity.shape, 1), bool)))


@pytest.mark.parametrize(('file', 'strategy'), cases())
def test_scores_loss_and_gradients(file, strategy):
    golden = dict(np.load(GOLDEN / f'{file}.npz', allow_pickle=False))
    model, params, frozen = model_and_variables(golden)
    positives = Triple.from_rows(jnp.asarray(golden['positive']))

    def pair_scores(params, positives, corruption):
        return model.apply({PARAMS: params, FROZEN: frozen}, positives, corruption, method=model.score_pairs)

    sampler = around(strategy, sampler_of(golden['negative'], positives), [False, True], None, **STRATEGY_OPTIONS)
    view = View(parameters=params, pair_scores_fn=pair_scores)
    corruption, _ = jax.jit(sampler.sample)((), jax.random.key(0), positives, view)

    def loss_fn(params):
        scores = model.apply({PARAMS: params, FROZEN: frozen}, positives, corruption, method=model.score_batch)
        return losses.margin_ranking(*scores, margin=MARGIN), scores

    (loss, (positive, negative)), gradients = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))(params)
    for got, name in (
        (-positive, 'positive_distance'),
        (-negative.T, 'negative_distance'),
        (loss, 'loss'),
        (gradients['entity'], 'grad_entity'),
        (gradients['image_kernel'].T, 'grad_projection_kernel'),
    ):
        assert relative_error(got, golden[f'{strategy}_{name}']) < TOLERANCE, name


def test_every_strategy_of_the_files_is_compared():
    files = {file for file, _ in cases()}
    assert files, f'{GOLDEN} has no mmtranse_*.npz'
    for file in files & set(NUM_STRATEGIES):
        assert sum(name == file for name, _ in cases()) >= NUM_STRATEGIES[file]


def test_filtered_ranks():
    golden = np.load(GOLDEN / 'ranking.npz', allow_pickle=False)
    distance = golden['distance']
    triples = np.concatenate([golden[split] for split in ('train', 'valid', 'test')])
    known = KnownTriples.build(triples, num_entities=len(distance), num_relations=distance.shape[1])
    blocks, position = ranking.pack(golden['test'], num_queries=16, num_targets=20)
    better, tied = np.zeros((2, 2 * len(golden['test'])))
    count_better = jax.jit(ranking.count_better)
    for index, places in enumerate(position):
        block = jax.tree.map(lambda x, index=index: jnp.asarray(x[index]), blocks)
        side, kept, relation = (np.asarray(ids) for ids in block.queries)
        scores = -np.where((side == TAIL)[:, None], distance[kept, relation], distance[:, relation, kept].T)
        counts = count_better(jnp.asarray(scores), block, known)
        real = places >= 0
        better[places[real]], tied[places[real]] = counts.better[real], counts.tied[real]
    metrics = ranking.rank_metrics(ranking.ranks(better, tied, 'optimistic'))
    metrics['mr'] = metrics.pop('mean_rank')
    assert np.sum(tied) > 0
    for name, value in metrics.items():
        assert relative_error(value, golden[name]) < TOLERANCE, name
