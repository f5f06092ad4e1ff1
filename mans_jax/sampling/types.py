"""Intruders of the right type: entities that stand on the same side of the relation in other triples."""

import numpy as np

from mans_jax.graph import HEAD, TAIL, KnownTriples
from mans_jax.sampling.corruption import Sampler
from mans_jax.sampling.pools import Pools, Segments, describe_queries, draw_from_pools
from mans_jax.sampling.sides import BERNOULLI


def relation_pools(known: KnownTriples) -> Pools:
    """The heads (domain) and tails (range) that the triples of each relation have, counted on the host."""
    side, kept, relation = describe_queries(known)
    # An entity is a head of a relation where something is asked for its tails.
    seen_as = np.where(side == TAIL, HEAD, TAIL)
    num_groups = 2 * known.num_relations
    sets = Segments.build(seen_as * known.num_relations + relation, kept, num_groups, known.num_entities)
    return Pools.build(known, sets, side * known.num_relations + relation)


def relation_typed(known: KnownTriples, pools: Pools, num_negatives: int = 1, *, sides: str = BERNOULLI) -> Sampler:
    """Replaces a head by an entity that is a head in some triple of the relation, a tail by one that is a tail.

    Uniform over the relation's heads, or tails, that do not answer the query; over all non-answers where none is left.
    See "Type-Constrained Representation Learning in Knowledge Graphs", Krompaß, Baier, Tresp, 2015 (arXiv 1508.02593),
    whose local closed-world assumption takes domains and ranges from the triples, as is done here. Published
    implementations mostly draw with rejection or do not filter; here no known triple is drawn.

    Args:
        known: the triples that must never be drawn as negatives.
        pools: from `relation_pools(known)`.
        num_negatives: K.
        sides: one of `sides.SIDES`.

    Raises:
        ValueError: `sides` is none of them, or some query is answered by every entity.
    """

    def groups(positives):
        return HEAD * known.num_relations + positives.relation, TAIL * known.num_relations + positives.relation

    return draw_from_pools(known, pools, groups, num_negatives, sides=sides)
