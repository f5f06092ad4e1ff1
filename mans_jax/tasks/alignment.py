"""Alignment of modalities: how well an entity's view in one finds the same entity's view in another."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mans_jax.errors import NotServable
from mans_jax.graph import KnowledgeGraph
from mans_jax.models import MultiModalEmbedding
from mans_jax.ranking import ranks
from mans_jax.scoring import unit

_ROWS_PER_BLOCK = 256
RECALLS = (1, 5, 10)


def alignment(model: MultiModalEmbedding, variables: dict, graph: KnowledgeGraph) -> dict:
    """How the modalities of entities lie to one another, by the cosine of their vectors.

    For each pair of modalities, over the n entities that have both: how often an entity's own view in the other one is
    among the k nearest, in either direction; the mean squared distance of the two views, 'alignment' (0 is perfect);
    and 'uniformity', the logarithm of the mean of `exp(-2 |x - y|^2)` over pairs of entities, for either modality
    (lower is more even, 0 where all are one point). Vectors are brought to length 1.

    See "Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere", Wang,
    Isola, 2020 (arXiv 2005.10242).

    Args:
        model: the model that embeds.
        variables: its parameters and features.
        graph: the graph, whose `present` says who has what.

    Returns:
        'a -> b' -> {'recall_at_1', 'recall_at_5', 'recall_at_10', 'mrr', 'chance_at_1', 'alignment', 'uniformity',
        'entities'} for every ordered pair; uniformity is that of a. None where fewer than two entities have both.

    Raises:
        NotServable: the graph has no modality but structure.
    """
    if not graph.features:
        raise NotServable(f'{graph.name} is read without any modality beside structure, which could be aligned with it')
    vectors = np.asarray(_unit_vectors(model, variables))
    return {
        f'{of_a} -> {of_b}': _align(vectors, graph.present, a, b)
        for a, of_a in enumerate(graph.modalities)
        for b, of_b in enumerate(graph.modalities)
        if a != b
    }


def _align(vectors, present, a, b):
    rows = np.flatnonzero(present[:, a] & present[:, b])
    n = len(rows)
    if n < 2:
        return None
    better, tied, exponentials = (np.asarray(x) for x in find_own(*(jnp.asarray(vectors[rows, m]) for m in (a, b))))
    rank = ranks(better, tied)
    distance = np.sum(np.square(vectors[rows, a] - vectors[rows, b]), axis=1, dtype=np.float64)
    return {
        **{f'recall_at_{k}': float(np.mean(rank <= k)) for k in RECALLS},
        'mrr': float(np.mean(1 / rank)),
        'chance_at_1': 1 / n,
        'alignment': float(distance.mean()),
        'uniformity': float(np.log(exponentials.sum(dtype=np.float64) / (n * (n - 1)))),
        'entities': n,
    }


@jax.jit
def find_own(queries: Float[Array, 'N D'], candidates: Float[Array, 'N D']) -> tuple[Array, Array, Array]:
    """Counts the candidates that are nearer to each query than its own, a block of queries at a time.

    Args:
        queries: float32[N, D] of length 1.
        candidates: float32[N, D] of length 1; row i is query i's own.

    Returns:
        (better int32[N], tied int32[N]), the other candidates with a higher and with the same cosine, and float32[N]:
        for each query the sum over the other queries of `exp(-2 |x - y|^2)`.
    """
    n = queries.shape[0]

    def look(start):
        row = start + jnp.arange(_ROWS_PER_BLOCK)
        block = queries.at[row].get(mode='clip')
        cosine = _cosine(block, candidates)
        own = jnp.take_along_axis(cosine, jnp.minimum(row, n - 1)[:, None], axis=1)
        squared = 2 - 2 * _cosine(block, queries)
        others = jnp.where(jnp.arange(n) == row[:, None], 0.0, jnp.exp(-2 * squared))
        better = jnp.sum(cosine > own, axis=1, dtype=jnp.int32)
        tied = jnp.sum(cosine == own, axis=1, dtype=jnp.int32) - 1
        return better, tied, jnp.sum(others, axis=1)

    found = jax.lax.map(look, jnp.arange(0, n, _ROWS_PER_BLOCK))
    return tuple(x.reshape(-1)[:n] for x in found)


def _cosine(a, b):
    return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)


@partial(jax.jit, static_argnames='model')
def _unit_vectors(model, variables):
    return model.apply(variables, method=lambda module: unit(module.embed_all().vectors))
