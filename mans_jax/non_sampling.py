"""Sums of squared scores over all triples of a graph, from sums over its entities and relations: no triple is formed.

A score that is a sum of products of coordinates can be squared and summed over every (head, relation, tail) with the
first and second moments of the three sets alone, in O((E + R) D^2).

See "Efficient Non-Sampling Knowledge Graph Embedding", Li et al., 2021 (arXiv 2104.10796).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mans_jax import scoring

Vectors = Float[Array, '... D']


class Moments(NamedTuple):
    """Weighted sums over N vectors.

    Attributes:
        total: float[], the sum of the weights.
        first: float[D], that of the vectors.
        second: float[D, D], that of their outer products with themselves.
    """

    total: Float[Array, '']
    first: Float[Array, 'D']
    second: Float[Array, 'D D']


def moments(vectors: Float[Array, 'N D'], weight: Float[Array, 'N'] | None = None) -> Moments:
    """The moments of N vectors; without weights each weighs 1."""
    if weight is None:
        weight = jnp.ones(vectors.shape[0])
    weighted = weight[:, None] * vectors
    second = jnp.matmul(weighted.T, vectors, precision=jax.lax.Precision.HIGHEST)
    return Moments(jnp.sum(weight), jnp.sum(weighted, axis=0), second)


class SquareForm(NamedTuple):
    """A score x(h, r, t) whose square can be summed over all triples.

    Attributes:
        fact: the value that facts should have; all other triples should have 0.
        spread: (head [..., D], relation [..., D], tail [..., D]) -> the three vectors that the functions below take.
        score: three spread vectors -> x, float[...].
        sum_of_squares: the moments of spread heads, relations and tails -> the sum of x^2 over all triples, each
            weighing what its head and tail weigh together.
    """

    fact: float
    spread: Callable[..., tuple[Vectors, Vectors, Vectors]]
    score: Callable[[Vectors, Vectors, Vectors], Float[Array, '...']]
    sum_of_squares: Callable[[Moments, Moments, Moments], Float[Array, '']]


def _as_they_are(head, relation, tail):
    return head, relation, tail


def _as_products(head, relation, tail):
    """A complex product as a sum of real ones: four terms for each complex coordinate."""
    (a, b), (c, d), (e, f) = (jnp.split(vectors, 2, axis=-1) for vectors in (head, relation, tail))
    return tuple(jnp.concatenate(parts, axis=-1) for parts in ((a, b, a, b), (c, c, d, -d), (e, f, f, e)))


def _product(head, relation, tail):
    return jnp.sum(head * relation * tail, axis=-1)


def _squared_products(heads, relations, tails):
    return jnp.sum(heads.second * relations.second * tails.second)


def _closeness(head, relation, tail):
    """3 - || h + r - t ||^2 for unit vectors."""
    return 2 * jnp.sum(head * tail + relation * tail - head * relation, axis=-1)


def _squared_closeness(heads, relations, tails):
    """The sum of 4 (h.t + r.t - h.r)^2.

    The published code leaves two of the three mixed terms out: they cancel where heads and tails are the same vectors.
    Between two modalities they are not.
    """
    squares = (
        relations.total * jnp.sum(heads.second * tails.second)
        + heads.total * jnp.sum(relations.second * tails.second)
        + tails.total * jnp.sum(heads.second * relations.second)
    )
    mixed = (
        heads.first @ tails.second @ relations.first
        - tails.first @ heads.second @ relations.first
        - heads.first @ relations.second @ tails.first
    )
    return 4 * (squares + 2 * mixed)


SQUARE_FORMS = {
    'transe_l2': SquareForm(3.0, _as_they_are, _closeness, _squared_closeness),
    'distmult': SquareForm(1.0, _as_they_are, _product, _squared_products),
    'complex': SquareForm(1.0, _as_products, _product, _squared_products),
}
"""By name in `scoring.SCORES`. That of transe_l2 holds for unit vectors; it falls as the distance grows."""


def form_of(score: scoring.ScoreFunction) -> SquareForm:
    """The form of a score function.

    Raises:
        KeyError: it has none.
    """
    names = {scoring.SCORES[name]: name for name in SQUARE_FORMS}
    return SQUARE_FORMS[names[score]]
