"""How two entities, each seen through M modalities, and a relation become one score.

All pairs: every modality of the one entity is compared with every modality of the other, and the comparisons are
added up. With structure and image this is the four-term score of the multi-modal TransE that MANS trains:
d(h_s, t_s) + d(h_v, t_v) + d(h_s, t_v) + d(h_v, t_s).
"""

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from mans_jax.scoring import ScoreFunction


@struct.dataclass
class Views:
    """Entities, or queries made from them, seen through M modalities.

    Attributes:
        vectors: float[..., M, D].
        present: bool[..., M]; the finite numbers that stand in `vectors` for an absent modality affect no score.
    """

    vectors: Float[Array, '... M D']
    present: Bool[Array, '... M']

    def __getitem__(self, index) -> 'Views':
        """Indexes the leading axes of both."""
        return Views(self.vectors[index], self.present[index])


def mix(replaced: Bool[Array, '... M'], intruder: Views, original: Views) -> Views:
    """Takes the modalities in `replaced` from the intruder and the others from the original; all broadcast."""
    return Views(
        jnp.where(replaced[..., None], intruder.vectors, original.vectors),
        jnp.where(replaced, intruder.present, original.present),
    )


@jax.custom_vjp
def choose(is_first: Bool[Array, '... K'], first: Float[Array, '... M D'], second: Float[Array, '... M D']):
    """Of two arrays of vectors, one for each of K: float[..., K, M, D].

    `jnp.where`, but for the gradient, where sums over K are matrix products that read what comes in once.
    """
    return jnp.where(is_first[..., None, None], first[..., None, :, :], second[..., None, :, :])


def _choose(is_first, first, second):
    return choose(is_first, first, second), is_first


def _choose_transposed(is_first, gradient):
    of_both = jnp.stack([is_first, ~is_first], axis=-2).astype(gradient.dtype)
    sums = jnp.einsum('...sk,...kmd->...smd', of_both, gradient, precision=jax.lax.Precision.HIGHEST)
    return None, sums[..., 0, :, :], sums[..., 1, :, :]


choose.defvjp(_choose, _choose_transposed)


def query(score: ScoreFunction, kept: Views, relation, direction) -> Views:
    """What the missing entity should look like, by modality of the kept one.

    Args:
        score: the score function.
        kept: Views[..., M, D].
        relation: float[..., W], one vector for all modalities.
        direction: float[...], +1 where the tail is asked for, -1 where the head is.
    """
    return Views(score.query(kept.vectors, relation[..., None, :], direction[..., None]), kept.present)


def weights(present: Bool[Array, '... M']) -> Float[Array, '... M']:
    """A modality's weight: 0 where absent, and M / (number present) elsewhere.

    An entity with fewer views is then scored on the same scale as one with all of them.
    """
    count = jnp.sum(present, axis=-1, keepdims=True)
    return present * (present.shape[-1] / jnp.maximum(count, 1)).astype(jnp.float32)


def pair_scores(score: ScoreFunction, queries: Views, candidates: Views) -> Float[Array, '... M M']:
    """The weighted plausibility of each pair of modalities; pairs with an absent one are 0.

    Args:
        score: the score function.
        queries: Views[..., M, D], from `query`.
        candidates: Views[..., M, D]; leading axes broadcast.

    Returns:
        float[..., M, M]: by modality of the kept entity, then by modality of the candidate.
    """
    return weigh(compare(score, queries, candidates), queries.present, candidates.present)


def compare(score: ScoreFunction, queries: Views, candidates: Views) -> Float[Array, '... M M']:
    """The plausibility of each pair of modalities, whether they are present or not, as in `pair_scores`."""
    return score.compare(queries.vectors[..., :, None, :], candidates.vectors[..., None, :, :])


def compare_chunks(
    score: ScoreFunction, queries: Float[Array, 'G C M D'], candidates: Float[Array, 'G K M D'], precision
) -> Float[Array, 'G C K M M']:
    """`compare` of C queries with K candidates that they share, for each of G chunks, without an array of C x K x D.

    Args:
        score: the score function.
        queries: vectors, from `query`.
        candidates: vectors.
        precision: of matrix products, as of `jax.lax.dot`.
    """
    (chunks, num_queries, modalities, dim), number = queries.shape, candidates.shape[1]

    def compare_chunk(queries, candidates):
        return score.compare_chunk(queries.reshape(-1, dim), candidates.reshape(-1, dim).T, precision)

    compared = jax.vmap(compare_chunk)(queries, candidates)
    compared = compared.reshape(chunks, num_queries, modalities, number, modalities)
    return jnp.swapaxes(compared, 2, 3)


def weigh(
    compared: Float[Array, '... M M'], query_present: Bool[Array, '... M'], candidate_present: Bool[Array, '... M']
) -> Float[Array, '... M M']:
    """What `compare` says, times the `weights` of both modalities."""
    return compared * weights(query_present)[..., :, None] * weights(candidate_present)[..., None, :]


def all_pairs(score: ScoreFunction, queries: Views, candidates: Views) -> Float[Array, '...']:
    """The sum of `pair_scores` over all pairs of modalities, float[...]."""
    return jnp.sum(pair_scores(score, queries, candidates), axis=(-2, -1))


def all_pairs_with_all(
    score: ScoreFunction,
    queries: Views,
    candidate_columns: Float[Array, 'M D C'],
    candidate_present: Bool[Array, 'M C'],
) -> Float[Array, 'Q C']:
    """`all_pairs` of every query with every candidate, without an array of size Q x C x D.

    Args:
        score: the score function.
        queries: Views[Q, M, D].
        candidate_columns: float[M, D, C], the candidates' vectors in columns.
        candidate_present: bool[M, C].

    Returns:
        float[Q, C].
    """
    query_weight, candidate_weight = weights(queries.present), weights(candidate_present.T).T
    total = 0.0
    for m in range(candidate_columns.shape[0]):
        for n in range(candidate_columns.shape[0]):
            compared = score.compare_all(queries.vectors[:, m], candidate_columns[n])
            total += compared * query_weight[:, m, None] * candidate_weight[n]
    return total
