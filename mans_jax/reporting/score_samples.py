"""Scores of true triples, of normal negatives and of virtual ones, as a model has them after training."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mans_jax.blocks import TRIPLES_PER_BLOCK, padded
from mans_jax.errors import NotServable, not_finite
from mans_jax.graph import HEAD, TAIL, Triple
from mans_jax.models import FROZEN, PARAMS
from mans_jax.negatives import corrupt
from mans_jax.runs import Run
from mans_jax.samplers import modalities_to_replace
from mans_jax.sampling import Corruption
from mans_jax.sampling.mans import exchangeable

MOST_TRIPLES = 4000
_BINS = (10, 60)
"""The fewest and the most of a histogram."""

POSITIVE, NORMAL, VIRTUAL = 'true', 'normal', 'virtual'


class ScoreSamples(NamedTuple):
    """Histograms over the same bins.

    Attributes:
        edges: float64[bins + 1]; the first and the last bin are empty.
        density: POSITIVE, NORMAL and, where there are any, VIRTUAL to float64[bins]; the area below each is 1.
        counts: how many scores are in each.
        beaten: NORMAL and VIRTUAL to the share of negatives that score below their own triple, ties counted half.
    """

    edges: np.ndarray
    density: dict[str, np.ndarray]
    counts: dict[str, int]
    beaten: dict[str, float]


def sample_scores(run: Run, params: dict, seed: int) -> ScoreSamples:
    """Scores test triples and, of each, a normal and a virtual negative with the same intruder.

    Head or tail of each, by the toss of a coin, is replaced by an entity that makes no known triple: wholly in a normal
    negative, and in a virtual one in all modalities but structure that both entities have. Where there is none, there
    is no virtual negative.

    Args:
        run: the run.
        params: its trained parameters.
        seed: of the sample and the intruders.

    Raises:
        NotServable: no false triple can be made of any.
        NonFiniteScore: naming the first triple with a score that is not finite.
    """
    graph, order = run.graph, np.random.default_rng(seed)
    rows = np.sort(order.permutation(len(graph.test))[:MOST_TRIPLES])
    sides = order.integers(HEAD, TAIL + 1, len(rows))
    false, exists = corrupt(graph.test[rows], sides, run.known, (seed, 1))
    if not exists.any():
        raise NotServable('every entity makes a known triple in every place, so that nothing is false')
    triples, false, sides = graph.test[rows][exists], false[exists], sides[exists]
    intruders = np.where(sides == HEAD, false[:, 0], false[:, 2])
    has_present = not run.config.exchange_absent
    table = np.concatenate([triples, intruders[:, None], sides[:, None]], axis=1).astype(np.int32)
    found = []
    for block, real in padded(table, TRIPLES_PER_BLOCK):
        variables = {PARAMS: params, FROZEN: run.data.frozen}
        found.append(
            [np.asarray(x)[:real] for x in _score_block(run.model, variables, jnp.asarray(block), has_present)]
        )
    positive, normal, virtual, is_virtual = (np.concatenate(parts) for parts in zip(*found, strict=True))
    for scores, of in ((positive, triples), (normal, false), (virtual, triples)):
        for row in np.flatnonzero(~np.isfinite(scores))[:1]:
            raise not_finite(graph.describe(of[row]))
    scores = {POSITIVE: positive, NORMAL: normal}
    beaten = {NORMAL: _share_below(normal, positive)}
    if is_virtual.any():
        scores[VIRTUAL] = virtual[is_virtual]
        beaten[VIRTUAL] = _share_below(virtual[is_virtual], positive[is_virtual])
    pooled = np.concatenate(list(scores.values()))
    edges = np.histogram_bin_edges(pooled, bins=int(np.clip(np.sqrt(len(pooled)), *_BINS)))
    density = {name: np.histogram(values, bins=edges, density=True)[0] for name, values in scores.items()}
    # An empty bin at either end, so that a curve through the bins begins and ends at zero.
    edges = np.concatenate([[2 * edges[0] - edges[1]], edges, [2 * edges[-1] - edges[-2]]])
    density = {name: np.pad(values, 1) for name, values in density.items()}
    return ScoreSamples(edges, density, {name: len(values) for name, values in scores.items()}, beaten)


@partial(jax.jit, static_argnames=('model', 'has_present'))
def _score_block(model, variables, table, has_present):
    """The scores of triples, normal and virtual negatives, float32[B] each, and whether the last are virtual."""
    positives, present = Triple.from_rows(table[:, :3]), variables[FROZEN]['present']
    entity, side = table[:, 3:4], table[:, 4:].astype(jnp.int8)
    replace = modalities_to_replace(present.shape[1])
    normal = Corruption(entity, side, jnp.ones((*entity.shape, len(replace)), bool))
    virtual = normal.replace(replaced=exchangeable(normal, positives, replace, present if has_present else None))
    positive, of_normal = model.apply(variables, positives, normal, method=model.score_batch)
    of_virtual = model.apply(variables, positives, virtual, method=model.score_negatives)
    return positive, of_normal[:, 0], of_virtual[:, 0], jnp.any(virtual.replaced, axis=-1)[:, 0]


def _share_below(negative, positive):
    return float(np.mean(negative < positive) + np.mean(negative == positive) / 2)
