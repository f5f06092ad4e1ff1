"""Scores in blocks: padding leaves no trace."""

import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax import blocks
from mans_jax.blocks import padded, relation_scores, score_rows
from mans_jax.errors import NonFiniteScore
from mans_jax.models import PARAMS
from tests.exact import E, M, R, exact_world


def test_padded_blocks_are_of_one_size_and_begin_with_the_rows():
    rows = np.arange(14).reshape(7, 2)
    parts = list(padded(rows, 3))
    assert [real for _, real in parts] == [3, 3, 1]
    assert all(block.shape == (3, 2) for block, _ in parts)
    np.testing.assert_array_equal(np.concatenate([block[:real] for block, real in parts]), rows)
    assert not list(padded(rows[:0], 3))


def test_scores_of_all_triples(monkeypatch):
    monkeypatch.setattr(blocks, 'TRIPLES_PER_BLOCK', 100)
    world = exact_world(0)
    triples = np.stack(np.meshgrid(range(E), range(R), range(E), indexing='ij'), axis=-1).reshape(-1, 3)
    scores = score_rows(world.model, world.variables, world.graph, triples)
    np.testing.assert_array_equal(scores, world.scores.ravel())
    assert score_rows(world.model, world.variables, world.graph, triples[:0]).shape == (0,)


@pytest.mark.parametrize('modality', [None, *range(M)])
def test_scores_of_all_relations(modality):
    world = exact_world(0)
    head, tail = (ids.ravel().astype(np.int32) for ids in np.mgrid[:E, :E])
    through = np.ones(M, bool) if modality is None else np.arange(M) == modality
    scores = np.asarray(relation_scores(world.model, world.variables, head, tail, jnp.asarray(through)))
    want = world.scores
    if modality is not None:
        # One modality that is there has the weight of all M.
        has = world.graph.present[:, modality]
        want = M * M * world.compared[modality, modality] * has[:, None, None] * has
    np.testing.assert_array_equal(scores.reshape(E, E, R), want.transpose(0, 2, 1))


def test_a_score_that_is_not_finite_is_an_error_that_names_its_triple():
    world = exact_world(0)
    params = world.variables[PARAMS]
    spoilt = {**world.variables, PARAMS: {**params, 'relation': params['relation'].at[2].set(jnp.nan)}}
    with pytest.raises(NonFiniteScore, match=r'^the score of \(entity 1, relation 2, entity 0\) is not finite'):
        score_rows(world.model, spoilt, world.graph, np.array([(0, 0, 0), (1, 2, 0), (1, 2, 3)]))
