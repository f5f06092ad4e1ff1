"""A model reduced to vectors: entities and relations as they are scored, from which scores and answers follow."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mans_jax import fusion
from mans_jax.candidates import Candidates
from mans_jax.fusion import Views
from mans_jax.graph import TAIL, Triple
from mans_jax.models import MultiModalEmbedding
from mans_jax.ranking import Queries
from mans_jax.scoring import ScoreFunction, direction


class Embedded(NamedTuple):
    """All entities and relations of a model.

    Attributes:
        entities: in blocks of columns, from `MultiModalEmbedding.candidates`.
        relations: float32[R, W], from `embed_relations`.
    """

    entities: Candidates
    relations: Float[Array, 'R W']

    def views(self, entities: Int[Array, '...']) -> Views:
        """The vectors of some entities by modality, Views[..., M, D]."""
        block, column = jnp.divmod(entities, self.entities.columns.shape[-1])
        return Views(self.entities.columns[block, :, :, column], self.entities.present[block, :, column])


@partial(jax.jit, static_argnames='model')
def embed_relations(model: MultiModalEmbedding, variables: dict) -> Float[Array, 'R W']:
    """All relations as the model scores them."""
    return model.apply(variables, jnp.arange(model.num_relations), method=model.relations)


def make_queries(score: ScoreFunction, embedded: Embedded, queries: Queries) -> Views:
    """What the answer of each query should look like, by modality of the kept entity, Views[..., M, D]."""
    relations = embedded.relations[queries.relation]
    return fusion.query(score, embedded.views(queries.kept), relations, direction(queries.side))


def score_triples(score: ScoreFunction, embedded: Embedded, triples: Triple) -> Float[Array, '...']:
    """The plausibility of triples, float[...]."""
    queries = Queries(jnp.full(triples.head.shape, TAIL), triples.head, triples.relation)
    return fusion.all_pairs(score, make_queries(score, embedded, queries), embedded.views(triples.tail))
