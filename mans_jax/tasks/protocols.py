"""Link prediction under three protocols in one pass: filtered, raw and type-constrained."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from mans_jax.graph import HEAD, TAIL, KnowledgeGraph, KnownTriples
from mans_jax.models import MultiModalEmbedding
from mans_jax.ranking import Block, count_around, first_not_finite, strike_out
from mans_jax.tasks.link_prediction import embed_candidates
from mans_jax.tasks.query_blocks import count_blockwise

PROTOCOLS = ('filtered', 'raw', 'constrained')
"""Candidates are all entities but known answers; all entities; or those but known answers that were seen in train on
this side of the relation. The target always is one."""


class Tally(NamedTuple):
    """What stands around each target.

    Attributes:
        better: int[...], candidates that score higher.
        tied: int[...], other candidates that score the same.
        others: int[...], candidates besides the target.
    """

    better: np.ndarray
    tied: np.ndarray
    others: np.ndarray


def rank_links(
    model: MultiModalEmbedding,
    variables: dict,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    known: KnownTriples,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict[str, Tally]:
    """Ranks the head and the tail of triples under all PROTOCOLS; scores every query once.

    Args:
        model: the model that scores.
        variables: its parameters and features.
        graph: the graph, whose train split tells which entities a relation was seen with.
        triples: int[N, 3] rows of (head, relation, tail).
        known: the triples to filter by.
        progress: wraps the sequence of blocks, for a progress bar.

    Returns:
        Protocol to Tally of int64[2, N]: first for the heads, then for the tails.

    Raises:
        NonFiniteScore: naming the first score that is not finite.
    """
    candidates = embed_candidates(model, variables)
    seen = jnp.asarray(seen_with_relation(graph))

    def count(block):
        return _tally_block(model, variables, candidates, known, seen, block)

    tallies = count_blockwise(count, graph, triples, progress)
    # JAX sorts the keys of a dict.
    return {protocol: tallies[protocol] for protocol in PROTOCOLS}


def seen_with_relation(graph: KnowledgeGraph) -> np.ndarray:
    """Which entities stand in train as head and as tail of each relation, as bits: uint8[2, R, ceil(E / 8)]."""
    seen = np.zeros((2, graph.num_relations, -(-graph.num_entities // 8)), dtype=np.uint8)
    for side, column in ((HEAD, 0), (TAIL, 2)):
        entity, relation = graph.train[:, column], graph.train[:, 1]
        np.bitwise_or.at(seen, (side, relation, entity // 8), np.uint8(128) >> (entity % 8).astype(np.uint8))
    return seen


def tally_targets(variants: tuple[Array, ...], target_score: Array, block: Block) -> tuple[Tally, ...]:
    """Counts the candidates around each target, in several versions of the same scores.

    Args:
        variants: float32[Q, E] each, minus infinity where an entity is no candidate.
        target_score: float32[T], the finite scores of the targets, whether or not they are candidates.
        block: the queries and their T targets.

    Returns:
        A Tally of int32[T] for each.
    """
    tallies = []
    for scores in variants:
        better, tied = count_around(scores, block.query, target_score)
        # Where the target is a candidate, it is level with itself.
        itself = (scores[block.query, block.target] > -jnp.inf).astype(jnp.int32)
        candidates = jnp.sum(scores > -jnp.inf, axis=1, dtype=jnp.int32)[block.query]
        tallies.append(Tally(better, tied - itself, candidates - itself))
    return tuple(tallies)


@partial(jax.jit, static_argnames='model')
def _tally_block(model, variables, candidates, known, seen, block):
    raw = model.apply(variables, block.queries, candidates, method=model.score_candidates)
    filtered = strike_out(raw, known, *known.find(*block.queries))
    bits = seen[block.queries.side, block.queries.relation]
    allowed = jnp.unpackbits(bits, axis=-1, count=raw.shape[1]).astype(bool)
    variants = (filtered, raw, jnp.where(allowed, filtered, -jnp.inf))
    counts = tally_targets(variants, raw[block.query, block.target], block)
    return dict(zip(PROTOCOLS, counts, strict=True)), *first_not_finite(raw)
