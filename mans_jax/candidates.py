"""Entities as the candidates of a query: how they are laid out to be scored together."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mans_jax import devices, fusion
from mans_jax.fusion import Views
from mans_jax.scoring import ScoreFunction


class Candidates(NamedTuple):
    """Entities in blocks of C columns, the last block padded with absent ones.

    Attributes:
        columns: float32[blocks, M, D, C].
        present: bool[blocks, M, C].
    """

    columns: Float[Array, 'blocks M D C']
    present: Bool[Array, 'blocks M C']


def candidates_per_block(number: int) -> int:
    """C, for so many candidates: on a CPU so few that, at D=128 and M=2, their columns stay in a core's own cache."""
    return 512 if devices.on_cpu() else min(1 << 14, number + -number % 128)


def score_blocks(score: ScoreFunction, queries: Views, candidates: Candidates) -> Float[Array, 'Q candidates']:
    """The plausibility of every candidate, the padding too, as the answer of every query.

    Args:
        score: the score function.
        queries: Views[Q, M, D], from `fusion.query`.
        candidates: blocks of C columns.
    """

    def score_block(block):
        return fusion.all_pairs_with_all(score, queries, block.columns, block.present)

    scores = jax.lax.map(score_block, candidates)
    return jnp.moveaxis(scores, 0, 1).reshape(queries.present.shape[0], -1)
