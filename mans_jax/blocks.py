"""Scores of any number of triples, and of every relation between two entities, a padded block at a time."""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mans_jax import fusion
from mans_jax.errors import not_finite
from mans_jax.graph import KnowledgeGraph, Triple
from mans_jax.models import MultiModalEmbedding

TRIPLES_PER_BLOCK = 1024


def padded(rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Cuts rows into blocks of one size, the last one filled up with its first row.

    Args:
        rows: [N, ...].
        size: rows a block.

    Yields:
        (block [size, ...], how many of its rows are real).
    """
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        filling = np.broadcast_to(block[:1], (size - len(block), *block.shape[1:]))
        yield np.concatenate([block, filling]), len(block)


def score_rows(model: MultiModalEmbedding, variables: dict, graph: KnowledgeGraph, triples: np.ndarray) -> np.ndarray:
    """The plausibility of triples int[N, 3], float32[N]; compiles once for a model.

    Raises:
        NonFiniteScore: naming the first triple with a score that is not finite.
    """
    triples = np.asarray(triples, dtype=np.int32).reshape(-1, 3)
    scores = np.zeros(len(triples), dtype=np.float32)
    for i, (block, real) in enumerate(padded(triples, TRIPLES_PER_BLOCK)):
        found = np.asarray(_score_block(model, variables, Triple.from_rows(block)))
        scores[i * TRIPLES_PER_BLOCK :][:real] = found[:real]
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise not_finite(graph.describe(triples[bad[0]]))
    return scores


@partial(jax.jit, static_argnames='model')
def _score_block(model, variables, triples):
    return model.apply(variables, triples, method=model.score_triples)


@partial(jax.jit, static_argnames='model')
def relation_scores(
    model: MultiModalEmbedding, variables: dict, head: Int[Array, 'Q'], tail: Int[Array, 'Q'], through: Array
) -> Float[Array, 'Q R']:
    """The plausibility of every relation from a head to a tail.

    Args:
        model: the model that scores.
        variables: its parameters and features.
        head: int32[Q].
        tail: int32[Q].
        through: bool[M], the modalities that both are seen through; the others count as absent.

    Returns:
        float32[Q, R].
    """

    def score_all(module):
        heads, tails = (_seen_through(module.embed(entities), through) for entities in (head, tail))

        def score_one(relation):
            relations = module.relations(jnp.broadcast_to(relation, head.shape))
            queries = fusion.query(module.score, heads, relations, jnp.ones(head.shape))
            return fusion.all_pairs(module.score, queries, tails)

        # One relation after the other: all at once would need an array of Q x R x D.
        return jax.lax.map(score_one, jnp.arange(module.num_relations)).T

    return model.apply(variables, method=score_all)


def _seen_through(views, through):
    return views.replace(present=views.present & through)
