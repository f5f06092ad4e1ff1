"""Intruders that look like the entity they replace: entity-aware negatives.

See "Entity Aware Negative Sampling with Auxiliary Loss of False Negative Prediction for Knowledge Graph Embedding", Je,
2022 (arXiv 2210.06242).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mans_jax.graph import KnownTriples
from mans_jax.sampling.corruption import Corruption, Sampler
from mans_jax.sampling.sides import BERNOULLI, draw_queries, head_probability

ROUNDS = 10
"""Of K-means."""


class Numbering(NamedTuple):
    """What the sampler remembers.

    Attributes:
        calls: int32[], how often it has sampled.
        number: int32[E], of each entity; similar entities have numbers that are close.
        entity: int32[E], which one has a number.
    """

    calls: Int[Array, '']
    number: Int[Array, 'E']
    entity: Int[Array, 'E']


def eans(
    known: KnownTriples,
    num_negatives: int = 1,
    *,
    every: int = 1000,
    clusters: int = 100,
    spread: float = 290.0,
    sides: str = BERNOULLI,
) -> Sampler:
    """Takes the entity whose number is round(spread * N(0, 1)) away, mod E, from that of the entity it replaces.

    At the first call, and after every so many more, entities are numbered anew by `arrange`, from the current vectors
    of `view.entity_vectors`, those of all modalities side by side. Negatives that are known triples, and the entity
    itself where the distance is 0, have weight 0. The parameters' defaults are the paper's for FB15k-237, E = 14,541;
    the spread is in entities.

    The published code numbers anew after the first step and then after every 1000, cuts decimals off where this rounds,
    and runs K-means until it converges, by scikit-learn; here it has `ROUNDS` rounds, so that it is one program.
    The paper's auxiliary loss, by which a known triple is predicted, is `losses.excuse_substitutes`.

    Args:
        known: the triples that must never count as negatives.
        num_negatives: K.
        every: calls from one numbering to the next.
        clusters: at most E.
        spread: the standard deviation of the distance.
        sides: one of `sides.SIDES`.

    Raises:
        ValueError: `every`, `clusters` or `spread` makes no sense, or `sides` is none of them.
    """
    num_entities = known.num_entities
    if every < 1:
        raise ValueError(f'every is {every}, but must be at least 1')
    if not 1 <= clusters <= num_entities:
        raise ValueError(f'clusters is {clusters}, but must be between 1 and the {num_entities} entities')
    if not 0 < spread <= 1e8:
        raise ValueError(f'spread is {spread}, but must be above 0 and at most 1e8')
    probability_of_head = head_probability(known, sides)

    def init(key):
        return Numbering(jnp.int32(0), jnp.arange(num_entities), jnp.arange(num_entities))

    def sample(state, key, positives, view):
        side_key, offset_key, start_key = jax.random.split(key, 3)
        start = jax.random.randint(start_key, (), 0, num_entities)

        def renumber(pending):
            vectors = view.entity_vectors(jnp.arange(num_entities)).reshape(num_entities, -1)
            entity = arrange(vectors, start, clusters)
            return False, jnp.zeros_like(entity).at[entity].set(jnp.arange(num_entities)), entity

        # A loop of one round or none: mapped over seeds, `cond` would cluster at every call.
        due = state.calls % every == 0
        _, number, entity = jax.lax.while_loop(lambda pending: pending[0], renumber, (due, state.number, state.entity))
        queries = draw_queries(side_key, known, positives, num_negatives, probability_of_head)
        replaced = queries.choose(number[positives.head], number[positives.tail])
        offset = jnp.rint(spread * jax.random.normal(offset_key, replaced.shape)).astype(jnp.int32)
        intruder = entity[(replaced + offset) % num_entities]
        weight = ~known.answered(queries.start, queries.count, intruder)
        corruption = Corruption(
            intruder, queries.side, jnp.ones((*intruder.shape, 1), bool), weight.astype(jnp.float32)
        )
        return corruption, Numbering(state.calls + 1, number, entity)

    return Sampler(init, sample)


def arrange(vectors: Float[Array, 'E D'], start: Int[Array, ''], clusters: int) -> Int[Array, 'E']:
    """Entities in an order in which similar ones are close: by cluster, each cluster followed by the nearest one left.

    Args:
        vectors: of the E entities.
        start: K-means begins from evenly spaced entities, of which this is the first; int32[] in [0, E).
        clusters: of K-means, `ROUNDS` rounds of it; a cluster that loses all its members stays where it is.

    Returns:
        All entity ids, int32[E]; within a cluster in ascending order.
    """
    num_entities = vectors.shape[0]

    def nearest(centres):
        # Without the vectors' own squares, which are the same for all centres.
        return jnp.argmax(2 * vectors @ centres.T - jnp.sum(centres**2, axis=1), axis=1)

    def improve(_, centres):
        members = jax.nn.one_hot(nearest(centres), clusters, axis=0)
        number = jnp.sum(members, axis=1, keepdims=True)
        return jnp.where(number > 0, members @ vectors / jnp.maximum(number, 1), centres)

    first = (start + jnp.arange(clusters) * (num_entities // clusters)) % num_entities
    centres = jax.lax.fori_loop(0, ROUNDS, improve, vectors[first])
    return jnp.argsort(chain(centres)[nearest(centres)], stable=True)


def chain(centres: Float[Array, 'C D']) -> Int[Array, 'C']:
    """The place of each point in a chain that begins with the first and goes on to the nearest one left, int32[C]."""
    number = centres.shape[0]

    def follow(place, carry):
        current, places = carry
        distance = jnp.sum((centres - centres[current]) ** 2, axis=1)
        following = jnp.argmin(jnp.where(places < number, jnp.inf, distance))
        return following, places.at[following].set(place)

    # A point that has no place yet has one behind all others.
    places = jnp.full((number,), number).at[0].set(0)
    return jax.lax.fori_loop(1, number, follow, (jnp.zeros_like(places[0]), places))[1]
