"""Score functions: vectors of head, relation and tail to a plausibility, higher is better.

Every function here works on the trailing axis and broadcasts over the leading ones.

Each score is a comparison of a query with a candidate. The query is what the missing entity should look like, made
from the kept entity and the relation; asked from the other side, the relation acts inversely:

    score(h, r, t) = compare(query(h, r, +1), t) = compare(query(t, r, -1), h)

so one query serves any number of candidates, and ranking needs no other code than training.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mans_jax import devices
from mans_jax.graph import TAIL

Vector = Float[Array, '... D']

_NEAREST = 1e-6
"""The least squared distance that a matrix product is trusted with, as a share of the vectors' squared lengths."""


class ScoreFunction(NamedTuple):
    """A score function in the form that training and ranking use.

    Attributes:
        query: (kept [..., D], relation [..., W], direction [...]) -> query [..., D]; direction is +1 where the tail is
            asked for and -1 where the head is.
        compare: (query [..., D], candidate [..., D]) -> plausibility [...].
        compare_all: (queries [Q, D], candidates [D, C]) -> plausibility [Q, C], every query with every candidate;
            candidates stand in columns so that they are read in the order of memory.
        compare_chunk: the same for training, with a precision as of `jax.lax.dot`: as a matrix product where the score
            has such a form, also where its rounding errors are those of the vectors' lengths and not of a distance.
        relation_width: D -> W, the width of a relation's vector.
    """

    query: Callable
    compare: Callable
    compare_all: Callable
    compare_chunk: Callable
    relation_width: Callable[[int], int]

    def score(self, head: Vector, relation: Float[Array, '... W'], tail: Vector) -> Float[Array, '...']:
        """The plausibility of (head, relation, tail), [...] from [..., D], [..., W] and [..., D]."""
        return self.compare(self.query(head, relation, jnp.float32(1)), tail)


def direction(side):
    """+1 where `side` is TAIL, -1 where it is HEAD: how a relation acts on the kept entity; float32[...]."""
    return jnp.where(side == TAIL, jnp.float32(1), jnp.float32(-1))


def transe(head: Vector, relation: Vector, tail: Vector, *, norm: int = 1) -> Float[Array, '...']:
    """The relation moves the head to the tail: `-||h + r - t||`.

    See "Translating Embeddings for Modeling Multi-relational Data", Bordes et al., 2013.

    Args:
        head: float[..., D].
        relation: float[..., D].
        tail: float[..., D].
        norm: 1 for the sum of absolute differences, 2 for the Euclidean distance.

    Returns:
        Plausibility, float[...], at most 0.

    Raises:
        ValueError: `norm` is neither.
    """
    if norm not in (1, 2):
        raise ValueError(f'norm must be 1 or 2, not {norm!r}')
    return (TRANSE_L1 if norm == 1 else TRANSE_L2).score(head, relation, tail)


def distmult(head: Vector, relation: Vector, tail: Vector) -> Float[Array, '...']:
    """The three vectors agree: sum_d h_d r_d t_d. Symmetric in head and tail.

    See "Embedding Entities and Relations for Learning and Inference in Knowledge Bases", Yang et al., 2015
    (arXiv 1412.6575).

    Args:
        head: float[..., D].
        relation: float[..., D].
        tail: float[..., D].

    Returns:
        Plausibility, float[...].
    """
    return DISTMULT.score(head, relation, tail)


def complex(head: Vector, relation: Vector, tail: Vector) -> Float[Array, '...']:
    """DistMult in complex numbers, which tells head from tail: Re sum_d h_d r_d conj(t_d).

    See "Complex Embeddings for Simple Link Prediction", Trouillon et al., 2016 (arXiv 1606.06357).

    Args:
        head: float[..., D], D even: D/2 real parts, then D/2 imaginary parts.
        relation: float[..., D], likewise.
        tail: float[..., D], likewise.

    Returns:
        Plausibility, float[...].
    """
    return COMPLEX.score(head, relation, tail)


def rotate(head: Vector, relation: Float[Array, '... half_D'], tail: Vector) -> Float[Array, '...']:
    """The relation turns each complex coordinate of the head onto the tail's: `-sum_d |h_d exp(i r_d) - t_d|`.

    See "RotatE: Knowledge Graph Embedding by Relational Rotation in Complex Space", Sun et al., 2019
    (arXiv 1902.10197).

    Args:
        head: float[..., D], D even: D/2 real parts, then D/2 imaginary parts.
        relation: float[..., D/2], angles in radians.
        tail: float[..., D], like head.

    Returns:
        Plausibility, float[...], at most 0.
    """
    return ROTATE.score(head, relation, tail)


def unit(vectors: Vector) -> Vector:
    """Vectors divided by their Euclidean norm, [..., D] to [..., D].

    A vector shorter than 1e-12, as an absent feature's is, becomes zero with a zero gradient.
    """
    square = jnp.sum(vectors * vectors, axis=-1, keepdims=True)
    is_long = square > 1e-24
    # Both branches of a `where` are differentiated: without the inner one a zero row would have a NaN gradient. `rsqrt`
    # is what the compiler makes of 1 / sqrt where no gradient is taken: so it finds both cases to be the same vectors.
    return vectors * jnp.where(is_long, jax.lax.rsqrt(jnp.where(is_long, square, 1)), 0)


def _root(square):
    """The square root, with gradient zero at zero instead of infinity."""
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def _halves(vectors):
    return jnp.split(vectors, 2, axis=-1)


def _translate(kept, relation, direction):
    return kept + direction[..., None] * relation


def _multiply(kept, relation, direction):
    return kept * relation


def _multiply_complex(kept, relation, direction):
    # The inverse of a multiplication, for a score that is an inner product, is the conjugate.
    (a, b), (c, d) = _halves(kept), _halves(relation)
    d = direction[..., None] * d
    return jnp.concatenate([a * c - b * d, a * d + b * c], axis=-1)


def _turn(kept, angle, direction):
    return _multiply_complex(kept, jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1), direction)


def _minus_l1(query, candidate):
    return -jnp.sum(jnp.abs(query - candidate), axis=-1)


def _minus_l2(query, candidate):
    return -_root(jnp.sum(jnp.square(query - candidate), axis=-1))


def _dot(query, candidate):
    return jnp.sum(query * candidate, axis=-1)


def _minus_moduli(query, candidate):
    real, imaginary = _halves(query - candidate)
    return -jnp.sum(_root(real * real + imaginary * imaginary), axis=-1)


@partial(jax.custom_vjp, nondiff_argnums=(0, 3))
def _sum_over_pairs(term, queries, candidates, parts=1):
    """Sums term(difference of coordinate d, ...) over d for every query and candidate.

    A loop over a few coordinates at a time, whose body is one elementwise kernel over [Q, C]: it runs along the
    candidates in vector registers and never materialises [Q, C, D]. Neither does its gradient, which makes the
    differences again, a coordinate at a time.

    Args:
        term: `parts` arrays [Q, C] of differences -> [Q, C]; zero differences must give zero.
        queries: float[Q, parts * N].
        candidates: float[parts * N, C].
        parts: how many coordinates a term takes together, N apart.
    """
    # Four times as many, and the compiler for GPUs has all differences written out.
    unroll = 8 if devices.on_cpu() else 32
    queries, candidates = jnp.split(queries, parts, axis=1), jnp.split(candidates, parts, axis=0)
    padding = -queries[0].shape[1] % unroll
    queries = [jnp.pad(q, ((0, 0), (0, padding))) for q in queries]
    candidates = [jnp.pad(c, ((0, padding), (0, 0))) for c in candidates]

    def add_terms(step, total):
        for d in range(unroll):
            index = step * unroll + d
            total += term(
                *(
                    jax.lax.dynamic_slice_in_dim(q, index, 1, axis=1)
                    - jax.lax.dynamic_slice_in_dim(c, index, 1, axis=0)
                    for q, c in zip(queries, candidates, strict=True)
                )
            )
        return total

    start = jnp.zeros((queries[0].shape[0], candidates[0].shape[1]), queries[0].dtype)
    return jax.lax.fori_loop(0, queries[0].shape[1] // unroll, add_terms, start)


def _sum_and_inputs(term, queries, candidates, parts):
    return _sum_over_pairs(term, queries, candidates, parts), (queries, candidates)


def _gradients_of_sum(term, parts, inputs, cotangent):
    """The gradients [Q, parts * N] and [parts * N, C] of a sum over pairs with the cotangent [Q, C]."""
    queries, candidates = inputs

    def of_coordinate(query_and_candidate):
        query, candidate = query_and_candidate
        differences = [q[:, None] - c for q, c in zip(query, candidate, strict=True)]
        slopes = jnp.stack(jax.vjp(term, *differences)[1](cotangent))
        return jnp.sum(slopes, axis=2), -jnp.sum(slopes, axis=1)

    columns = queries.T.reshape(parts, -1, queries.shape[0]), candidates.reshape(parts, -1, candidates.shape[1])
    at_once = None if devices.on_cpu() else 32
    columns = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), columns)
    of_queries, of_candidates = jax.lax.map(of_coordinate, columns, batch_size=at_once)
    of_queries, of_candidates = (jnp.swapaxes(x, 0, 1).reshape(-1, x.shape[2]) for x in (of_queries, of_candidates))
    return of_queries.T, of_candidates


_sum_over_pairs.defvjp(_sum_and_inputs, _gradients_of_sum)


def _minus_l1_all(queries, candidates):
    return -_sum_over_pairs(jnp.abs, queries, candidates)


def _minus_l2_all(queries, candidates):
    # Not |q|^2 + |c|^2 - 2qc as a matrix product: it cancels where the distance is small, which is where ranks are won.
    return -_root(_sum_over_pairs(jnp.square, queries, candidates))


def _dot_all(queries, candidates, precision=jax.lax.Precision.HIGHEST):
    return jnp.matmul(queries, candidates, precision=precision)


def _minus_l2_product(queries, candidates, precision):
    lengths = jnp.sum(queries * queries, axis=1)[:, None] + jnp.sum(candidates * candidates, axis=0)
    square = lengths - 2 * jnp.matmul(queries, candidates, precision=precision)
    # What is left of near vectors is rounding: below this a gradient by its root would be many times too long.
    return -_root(jnp.maximum(square, _NEAREST * lengths))


def _minus_l1_chunk(queries, candidates, precision):
    return _minus_l1_all(queries, candidates)


def _minus_moduli_chunk(queries, candidates, precision):
    return _minus_moduli_all(queries, candidates)


def _modulus(real, imaginary):
    return _root(real * real + imaginary * imaginary)


def _minus_moduli_all(queries, candidates):
    return -_sum_over_pairs(_modulus, queries, candidates, 2)


def _same_width(dim):
    return dim


def _half_width(dim):
    return dim // 2


TRANSE_L1 = ScoreFunction(_translate, _minus_l1, _minus_l1_all, _minus_l1_chunk, _same_width)
TRANSE_L2 = ScoreFunction(_translate, _minus_l2, _minus_l2_all, _minus_l2_product, _same_width)
DISTMULT = ScoreFunction(_multiply, _dot, _dot_all, _dot_all, _same_width)
COMPLEX = ScoreFunction(_multiply_complex, _dot, _dot_all, _dot_all, _same_width)
ROTATE = ScoreFunction(_turn, _minus_moduli, _minus_moduli_all, _minus_moduli_chunk, _half_width)

SCORES = {
    'transe_l1': TRANSE_L1,
    'transe_l2': TRANSE_L2,
    'distmult': DISTMULT,
    'complex': COMPLEX,
    'rotate': ROTATE,
}
"""The names that `config.score` may hold."""
