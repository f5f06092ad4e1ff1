"""Link prediction among a few random candidates, and how far its numbers are from those among all."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mans_jax import fusion
from mans_jax.blocks import padded
from mans_jax.errors import not_finite
from mans_jax.graph import HEAD, TAIL, KnowledgeGraph, KnownTriples
from mans_jax.models import MultiModalEmbedding
from mans_jax.rank_statistics import METRICS, estimate, rank_columns
from mans_jax.ranking import Queries, ranks
from mans_jax.tasks.protocols import Tally

_TARGETS_PER_BLOCK = 128

NOTE = (
    'Among few candidates a target meets few that beat it, so that MRR and hits come out too high and mean ranks too '
    'low: compare these numbers only with others of as many candidates. The estimate of the full mean rank, for which '
    'the part of the candidates that beat a target is taken for that of all entities, has no bias, but spreads more.'
)


def rank_among_samples(
    model: MultiModalEmbedding,
    variables: dict,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    known: KnownTriples,
    num_candidates: int,
    seed: int = 0,
) -> tuple[Tally, np.ndarray]:
    """Ranks the head and the tail of triples among entities drawn from those that are not known answers.

    Args:
        model: the model that scores.
        variables: its parameters and features.
        graph: the graph, for names in error messages.
        triples: int[N, 3] rows of (head, relation, tail), all of them in `known`.
        known: the triples to filter by.
        num_candidates: how many are drawn for each target, with replacement.
        seed: decides the draws.

    Returns:
        (Tally of int64[2, N], and int64[2, N]: how many there were to draw from).

    Raises:
        NonFiniteScore: naming the first score that is not finite.
    """
    head, relation, tail = np.asarray(triples, dtype=np.int32).T
    side = np.repeat(np.array([HEAD, TAIL], np.int32), len(triples))
    kept, target = np.concatenate([tail, head]), np.concatenate([head, tail])
    rows = np.stack([side, kept, np.tile(relation, 2), target], axis=1)
    views = _embed_all(model, variables)
    parts = []
    for i, (block, real) in enumerate(padded(rows, _TARGETS_PER_BLOCK)):
        key = jax.random.fold_in(jax.random.key(seed), i)
        counts = jax.device_get(_tally_block(model, variables, views, known, key, block, num_candidates))
        bad = np.flatnonzero(counts[-1][:real] >= 0)
        if len(bad):
            side, kept, relation, _ = block[bad[0]]
            other = counts[-1][bad[0]]
            ends = (other, kept) if side == HEAD else (kept, other)
            raise not_finite(graph.describe(np.array([ends[0], relation, ends[1]])))
        parts.append([x[:real].astype(np.int64) for x in counts[:-1]])
    better, tied, others, choices = (np.concatenate(x).reshape(2, -1) for x in zip(*parts, strict=True))
    return Tally(better, tied, others), choices


def sampled_ranking(
    model: MultiModalEmbedding,
    variables: dict,
    graph: KnowledgeGraph,
    triples: np.ndarray,
    known: KnownTriples,
    full: Tally | None = None,
    num_candidates: int = 100,
    ties: str = 'realistic',
    seed: int = 0,
) -> dict:
    """Ranking among samples, beside the ranking among all entities where there is one.

    Args:
        model: the model that scores.
        variables: its parameters and features.
        graph: the graph.
        triples: int[N, 3], those that are judged.
        known: the triples to filter by.
        full: the filtered Tally of int64[2, N] of the same triples, or None for a graph too large to have one.
        num_candidates: how many are drawn for each target.
        ties: one of `mans_jax.ranking.TIES`.
        seed: of the draws and of the bootstrap intervals.

    Returns:
        {'candidates', 'sampled', 'full', 'bias', 'mean_rank_estimate', 'note'}; 'sampled' and 'full' are as in
        `Estimate.describe`, 'bias' is by how much the sampled metrics are above the full ones; without `full` these two
        are None.
    """
    tally, choices = rank_among_samples(model, variables, graph, triples, known, num_candidates, seed)

    def described(counts):
        return None if counts is None else estimate(rank_columns(*counts, ties).mean(axis=0), seed).describe()

    sampled, complete = described(tally), described(full)
    scaled = 1 + (ranks(tally.better, tally.tied, ties) - 1) * choices / num_candidates
    return {
        'candidates': num_candidates,
        'sampled': sampled,
        'full': complete,
        'bias': None if complete is None else _difference(sampled, complete),
        'mean_rank_estimate': float(scaled.mean()),
        'note': NOTE,
    }


def _difference(sampled, complete):
    pairs = {name: (sampled[name], complete[name]) for name in METRICS}
    return {name: None if None in pair else pair[0] - pair[1] for name, pair in pairs.items()}


@partial(jax.jit, static_argnames='model')
def _embed_all(model, variables):
    return model.apply(variables, method=model.embed_all)


@partial(jax.jit, static_argnames=('model', 'num_candidates'))
def _tally_block(model, variables, views, known, key, rows, num_candidates):
    queries, target = Queries(*rows[:, :3].T), rows[:, 3]
    start, count = known.find(*queries)
    choices = known.num_entities - count
    shape = (len(rows), num_candidates)
    index = jax.random.randint(key, shape, 0, jnp.maximum(choices, 1)[:, None])
    drawn = known.unknown(start[:, None], count[:, None], index)
    query = model.apply(variables, *queries, method=model.query)
    entities = jnp.concatenate([target[:, None], drawn], axis=1)
    scores = fusion.all_pairs(model.score, query[:, None], views[entities])
    # Where every entity is a known answer, nothing can be drawn and the target comes first.
    is_drawn = (choices > 0)[:, None]
    better = jnp.sum(is_drawn & (scores[:, 1:] > scores[:, :1]), axis=1)
    tied = jnp.sum(is_drawn & (scores[:, 1:] == scores[:, :1]), axis=1)
    finite = jnp.isfinite(scores)
    bad = jnp.where(jnp.all(finite, axis=1), -1, jnp.take_along_axis(entities, jnp.argmin(finite, 1)[:, None], 1)[:, 0])
    return better, tied, jnp.where(choices > 0, num_candidates, 0), choices, bad
