"""The multi-modal embedding model: parameters, entities seen through their modalities, and their scores."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from mans_jax import devices, fusion, scoring
from mans_jax.candidates import Candidates, candidates_per_block, score_blocks
from mans_jax.exchange import from_shards
from mans_jax.fusion import Views
from mans_jax.graph import TAIL, KnowledgeGraph, Triple
from mans_jax.projection import FLOAT32, PRECISIONS, project, project_others, project_wide
from mans_jax.ranking import Queries
from mans_jax.sampling import Corruption
from mans_jax.sharding import padded

PARAMS, FROZEN, OFFSETS = 'params', 'frozen', 'offsets'
"""The model's variable collections: what is trained, and the features and their presence, which are not; and, where the
gradient of the rows that are asked for is wanted and not that of the table, something to add to each of them."""


LEFT_OUT, LEARNED, MEAN = 'left_out', 'learned', 'mean'
ABSENT = (LEFT_OUT, LEARNED, MEAN)
"""What stands for a modality that an entity lacks: nothing, a learned vector, or the projected mean of the features.

With 'left_out' the score has no terms of that modality and is brought to the scale of one that has them all, see
`fusion.weights`. The two others give all entities without an image, say, the same one. Structure is never stood in for:
no triple would train the vector.
"""


class MultiModalEmbedding(nn.Module):
    """Entities as a learned row and linear projections of their features, scored over all pairs of modalities.

    With the score `transe_l1`, `normalize` and one visual feature this is the multi-modal TransE of "Modality-Aware
    Negative Sampling for Multi-modal Knowledge Graph Embedding", Zhang, Chen, Zhang, 2023 (arXiv 2304.11618).

    Attributes:
        num_entities: E.
        num_relations: R.
        dim: D, the width of every modality's vector.
        score: the score function.
        feature_widths: (modality name, F) of each modality but structure, in the graph's order.
        normalize: whether entity and relation vectors are divided by their Euclidean norm before they are scored.
        absent: one of ABSENT.
        precision: one of PRECISIONS; the frozen features have its type.
        substitutes: whether there is a relation, learned and no graph's, of entities that may stand for each other.
        mesh: where the tables lie, with the padding of `sharding.place`; None for one device.
    """

    num_entities: int
    num_relations: int
    dim: int
    score: scoring.ScoreFunction
    feature_widths: tuple[tuple[str, int], ...] = ()
    normalize: bool = True
    absent: str = LEFT_OUT
    precision: str = FLOAT32
    substitutes: bool = False
    mesh: Mesh | None = None

    def setup(self):
        """Declares the tables, one projection a feature, and the frozen arrays, which `frozen_variables` makes."""
        xavier = nn.initializers.xavier_uniform()
        relation_width = self.score.relation_width(self.dim)
        self.entity = self.param('entity', xavier, (padded(self.num_entities, self.mesh), self.dim))
        relations = _uniform(np.pi) if self.score is scoring.ROTATE else xavier
        self.relation = self.param('relation', relations, (self.num_relations, relation_width))
        # Kernels stand as [D, F], so that the forward product and the gradient's both read feature rows as they lie.
        self.projections = {
            name: (
                self.param(f'{name}_kernel', _uniform(width**-0.5), (self.dim, width)),
                self.param(f'{name}_bias', _uniform(width**-0.5), (self.dim,)),
            )
            for name, width in self.feature_widths
        }
        learned = self.feature_widths if self.absent == LEARNED else ()
        self.stand_ins = {
            name: self.param(f'{name}_absent', _uniform(self.dim**-0.5), (self.dim,)) for name, _ in learned
        }
        if self.substitutes:
            self.substitution = self.param('substitution', relations, (1, relation_width))

    def embed(self, entities: Int[Array, '...']) -> Views:
        """The entities' vectors by modality, Views[..., M, D]."""
        if self.mesh is None:
            return self._embed(lambda table: table[entities])
        return self._embed_by_shard(entities)[0]

    def embed_all(self) -> Views:
        """`embed` of every entity in order, Views[E, M, D], without a copy of any row."""
        return self._embed(lambda table: table)[: self.num_entities]

    def _embed_by_shard(self, *entities):
        """`embed` of several arrays, every entity by the shard that has it: so a vector is moved, and no wider row."""
        frozen = dict(self.get_variable(FROZEN, 'features')), self.get_variable(FROZEN, 'present')
        if self.has_variable(OFFSETS, 'entity'):
            look, tables, frozen = _looked_at_frozen, (), (self.entity, *frozen)
        else:
            look, tables = _looked_at, self.entity
        found = from_shards(self.mesh, partial(look, self.precision), tables, frozen, self.projections, entities)
        if self.has_variable(OFFSETS, 'entity'):
            offsets = self.get_variable(OFFSETS, 'entity')
            found = [(entity + offset, *rest) for (entity, *rest), offset in zip(found, offsets, strict=True)]
        return [
            self._views(entity, project_others(rows, self.projections, self.precision), present)
            for entity, rows, present in found
        ]

    def _embed(self, rows_of):
        present = rows_of(self.get_variable(FROZEN, 'present'))
        projected = {name: self._projected(name, rows_of) for name in self.projections}
        return self._views(rows_of(self.entity), projected, present)

    def _views(self, entity, projected, present):
        views = [entity]
        for m, (name, vectors) in enumerate(projected.items(), start=1):
            if name in self.stand_ins:
                vectors = jnp.where(present[..., m, None], vectors, self.stand_ins[name])
            views.append(vectors)
        if self.absent != LEFT_OUT:
            present = present.at[..., 1:].set(True)
        return Views(self._scaled(jnp.stack(views, axis=-2)), present)

    def _projected(self, name, rows_of):
        if self.has_variable(FROZEN, 'projected'):
            return rows_of(self.get_variable(FROZEN, 'projected')[name])
        features = self.get_variable(FROZEN, 'features')[name]
        if self.has_variable(FROZEN, 'place'):
            rows = fetched(features, rows_of(self.get_variable(FROZEN, 'place')))
        else:
            rows = rows_of(features)
        return project(rows, *self.projections[name], self.precision)

    def relations(self, relations: Int[Array, '...']) -> Float[Array, '... W']:
        """The relations' vectors, one for all modalities."""
        return self._relation_vectors(self.relation[relations])

    def _relation_vectors(self, rows):
        # Angles have no length to take out.
        return rows if self.score is scoring.ROTATE else self._scaled(rows)

    def query(self, side, kept: Int[Array, '...'], relations: Int[Array, '...']) -> Views:
        """What the entity on `side` should look like beside a kept entity and a relation, Views[..., M, D]."""
        return fusion.query(self.score, self.embed(kept), self.relations(relations), scoring.direction(side))

    def score_triples(self, triples: Triple) -> Float[Array, '...']:
        """The plausibility of triples, float[...]."""
        queries = self.query(jnp.full(triples.head.shape, TAIL), triples.head, triples.relation)
        return fusion.all_pairs(self.score, queries, self.embed(triples.tail))

    def score_batch(self, positives: Triple, corruption: Corruption) -> tuple[Float[Array, 'B'], Float[Array, 'B K']]:
        """The plausibility of positives and of their negatives, each entity embedded once.

        Args:
            positives: Triple of int32[B].
            corruption: their K negatives.

        Returns:
            (positive float[B], negative float[B, K]).
        """
        return _totals(self._pairs(corruption, self._compose_batch(positives, corruption)))

    def score_batch_and_substitutes(
        self, positives: Triple, corruption: Corruption
    ) -> tuple[Float[Array, 'B'], Float[Array, 'B K'], Float[Array, 'B K']]:
        """`score_batch`, and how well each intruder may stand for the entity that it replaces, by `substitutes`.

        That is the mean of the plausibilities of (replaced, substitution, intruder) and the reverse, of the whole
        entities also where a negative replaces some modalities alone.
        """
        composed = self._compose_batch(positives, corruption)
        _, intruder, original, _, _ = composed
        if corruption.chunk:
            intruder = jax.tree.map(lambda x: jnp.repeat(x, corruption.chunk, axis=0), intruder)
        relation, substitutes = self._relation_vectors(self.substitution[0]), 0.0
        for kept, other in ((original, intruder), (intruder, original)):
            query = fusion.query(self.score, kept, relation, jnp.ones(kept.present.shape[:-1]))
            substitutes += fusion.all_pairs(self.score, query, other) / 2
        return *_totals(self._pairs(corruption, composed)), substitutes

    def score_negatives(self, positives: Triple, corruption: Corruption) -> Float[Array, 'B K']:
        """The plausibility of the negatives alone, a few positives at a time: no array of B x K x M x D is made."""
        embed = self._embedder(corruption.entity.size)

        def score(batch):
            queries, intruder, original, _, _ = self._compose(*batch, embed)
            return fusion.all_pairs(self.score, queries, fusion.mix(batch[1].replaced, intruder, original))

        one_by_one = jax.tree.map(lambda x: x[:, None], (positives, corruption.replace(chunk=None)))
        return jax.lax.map(score, one_by_one, batch_size=devices.positives_at_once())[:, 0]

    def candidates(self) -> Candidates:
        """All entities, embedded and laid out for `score_candidates`."""
        size = candidates_per_block(self.num_entities)
        padding = -self.num_entities % size
        views = jax.tree.map(lambda x: jnp.pad(x, ((0, padding),) + ((0, 0),) * (x.ndim - 1)), self.embed_all())
        blocks = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), views)
        return Candidates(jnp.moveaxis(blocks.vectors, 1, -1), jnp.moveaxis(blocks.present, 1, -1))

    def some_candidates(self, first: Int[Array, ''], number: int) -> Candidates:
        """So many entities from one on, laid out a block at a time: nothing is made of the others.

        Those beyond the last entity are absent, like what fills up the last block. Not for gradients, which would be
        added to those of the whole table once a block.
        """
        size = candidates_per_block(number)

        def lay_out(start):
            place = start + jnp.arange(size)
            ids = first + place
            views = self.embed(jnp.minimum(ids, self.num_entities - 1))
            is_one = (place < number) & (ids < self.num_entities)
            return Candidates(jnp.moveaxis(views.vectors, 0, -1), (views.present & is_one[:, None]).T)

        return jax.lax.map(lay_out, jnp.arange(0, number, size))

    def score_candidates(self, queries: Queries, candidates: Candidates) -> Float[Array, 'Q E']:
        """The plausibility of every entity as the answer of every query.

        Args:
            queries: Queries of int32[Q].
            candidates: from `candidates`.
        """
        return score_blocks(self.score, self.query(*queries), candidates)[:, : self.num_entities]

    def score_pairs(self, positives: Triple, corruption: Corruption) -> Float[Array, 'B K M M']:
        """The negatives' plausibility by pair of modalities: of the kept entity, then of the other one."""
        return self._pairs(corruption, self._compose_batch(positives, corruption))[1]

    def _pairs(self, corruption, composed):
        """The weighted plausibility by pair of modalities of the positives, [B, M, M], and negatives, [B, K, M, M].

        A negative is not put together from vectors of intruder and original: the pairs that it has from the original
        are those of the positive, which are compared once for all K. And the whole intruders that `score_pairs` lets an
        adaptive sampler look at are those that are compared for the loss, so that the compiler merges the two.
        """
        queries, intruder, original, positive_query, tail = composed
        positive = fusion.compare(self.score, positive_query, tail)
        if corruption.chunk:
            compared, intruder_present = self._compare_chunks(queries, intruder, corruption.entity.shape)
        else:
            compared, intruder_present = fusion.compare(self.score, queries, intruder), intruder.present
        # Asked for the head, the kept entity is the tail: the same comparisons, the other way round.
        at_tail = (corruption.side == TAIL)[..., None, None]
        kept = jnp.where(at_tail, positive[:, None], jnp.swapaxes(positive, -2, -1)[:, None])
        compared = jnp.where(corruption.replaced[..., None, :], compared, kept)
        present = jnp.where(corruption.replaced, intruder_present, original.present)
        return (
            fusion.weigh(positive, positive_query.present, tail.present),
            fusion.weigh(compared, queries.present, present),
        )

    def _compare_chunks(self, queries, intruder, shape):
        """What `fusion.compare` says of queries [B, 1, M, D] and the intruders [B / C, K, M, D] of their chunks.

        Returns:
            float[B, K, M, M], and which modalities the intruders have, bool[B, K, M].
        """
        chunks, modalities = intruder.present.shape[0], intruder.present.shape[-1]
        vectors = queries.vectors.reshape(chunks, -1, modalities, self.dim)
        compared = fusion.compare_chunks(self.score, vectors, intruder.vectors, PRECISIONS[self.precision])
        present = jnp.repeat(intruder.present, shape[0] // chunks, axis=0)
        return compared.reshape(*shape, modalities, modalities), present

    def _embedder(self, number):
        """(*entities) -> Views of each; where as many are asked for as there are, by a look at all embedded once."""
        has_all = not (self.has_variable(FROZEN, 'place') or self.has_variable(OFFSETS, 'entity'))
        if has_all and number >= self.num_entities:
            views = self._embed(lambda table: table)
            if self.mesh is None:
                return lambda *entities: [_repeated(views, ids) for ids in entities]
            return partial(_from_shards, self.mesh, views)
        # On a mesh, arrays of examples one after the other would have to be dealt out anew.
        return partial(_at_once, self.embed) if self.mesh is None else self._embed_by_shard

    def _compose_batch(self, positives, corruption):
        number = 2 * positives.head.size + corruption.intruders().size
        return self._compose(positives, corruption, self._embedder(number))

    def _compose(self, positives, corruption, embed):
        """Has head, tail and intruder embedded once, and makes the queries of both sides.

        Returns:
            Views of the negatives' queries [B, K, M, D], their intruders and the originals that these may stand in for,
            then of the positives' query for the tail [B, M, D] and of the tail. Of a corruption by chunks of C the
            queries and originals are [B, 1, M, D], since they are the same for all K, and the intruders [B / C, K, M,
            D].
        """
        num_negatives = corruption.entity.shape[1]
        # What `score_pairs` and `score_batch` of one step have in common is merged by the compiler, so an adaptive
        # sampler embeds nothing of its own.
        intruders = corruption.intruders().reshape(-1, num_negatives)
        head, tail, intruder = embed(positives.head, positives.tail, intruders)
        relation = self.relations(positives.relation)
        ones = jnp.ones(positives.head.shape)
        tail_query = fusion.query(self.score, head, relation, ones)
        head_query = fusion.query(self.score, tail, relation, -ones)
        side = corruption.side[:, :1] if corruption.chunk else corruption.side
        at_tail = (side == TAIL)[..., None]
        queries = Views(
            fusion.choose(side == TAIL, tail_query.vectors, head_query.vectors),
            jnp.where(at_tail, tail_query.present[:, None], head_query.present[:, None]),
        )
        original = fusion.mix(at_tail, tail[:, None], head[:, None])
        if corruption.vectors is not None:
            intruder = self._with_vectors(intruder, original, corruption.vectors)
        return queries, intruder, original, tail_query, tail

    def _with_vectors(self, intruder, original, vectors):
        """The intruders, the last of them with vectors of their own, seen through what the original has."""
        number = vectors.shape[1]
        return Views(
            jnp.concatenate([intruder.vectors[:, :-number], self._scaled(vectors)], axis=1),
            jnp.concatenate([intruder.present[:, :-number], original.present[:, -number:]], axis=1),
        )

    def _scaled(self, vectors):
        return scoring.unit(vectors) if self.normalize else vectors


def _repeated(views, ids):
    """`views[ids]`, for ids that name entities many times."""
    return Views(_gradient_written_out(views.vectors[ids]), views.present[ids])


@jax.custom_vjp
def _gradient_written_out(rows):
    """The same, of which the gradient is known in full before it is added up by row.

    By itself the compiler for GPUs makes every coordinate of it where it adds it up, which takes several times as long.
    """
    return rows


_gradient_written_out.defvjp(lambda rows: (rows, None), lambda _, gradient: (jax.lax.optimization_barrier(gradient),))


def _totals(pairs):
    """Sums over pairs of modalities."""
    return tuple(jnp.sum(x, axis=(-2, -1)) for x in pairs)


def _at_once(look, *entities):
    """Views of several arrays of entities by one look at them all."""
    views, start, found = look(jnp.concatenate([ids.reshape(-1) for ids in entities])), 0, []
    for ids in entities:
        part = views[start : start + ids.size]
        found.append(jax.tree.map(lambda x, ids=ids: x.reshape(*ids.shape, *x.shape[1:]), part))
        start += ids.size
    return found


def _from_shards(mesh, views, *entities):
    """Views of several arrays of entities, from those of all that each shard has."""
    num_rows, modalities, _ = views.vectors.shape
    vectors = views.vectors.reshape(num_rows, -1)
    found = from_shards(mesh, lambda *rows_and_rest: rows_and_rest[:2], vectors, views.present, (), entities)
    return [Views(vectors.reshape(*present.shape[:-1], modalities, -1), present) for vectors, present in found]


def _looked_at(precision, entity, frozen, projections):
    """What a shard makes of rows of its tables before they are moved."""
    features, present = frozen
    return entity, project_wide(features, projections, precision), present


def _looked_at_frozen(precision, _, frozen, projections):
    """The same, where the entity table is among what no gradient is taken of."""
    entity, *frozen = frozen
    return _looked_at(precision, entity, frozen, projections)


def frozen_variables(graph: KnowledgeGraph, absent: str = LEFT_OUT, precision: str = FLOAT32) -> dict:
    """The arrays of a graph that the model reads and never trains: features of `precision` [E, F], present bool[E, M].

    With `absent` 'mean', an entity without a feature has the mean of the others'; `present` tells them apart all the
    same, for the samplers.
    """
    features = {}
    for m, (name, rows) in enumerate(graph.features.items(), start=1):
        has = graph.present[:, m]
        if absent == MEAN and has.any():
            # Added up in float64, whatever the order of the entities.
            rows = np.where(has[:, None], rows, rows[has].mean(axis=0, dtype=np.float64)).astype(np.float32)
        features[name] = jnp.asarray(rows, precision)
    return {'features': features, 'present': jnp.asarray(graph.present)}


def fetched(features: Float[Array, 'U F'], place: Int[Array, '...']) -> Float[Array, '... F']:
    """Rows of those that were fetched from the host; NaN for one that was not, so that it cannot pass unseen."""
    return features.at[place].get(mode='fill', fill_value=jnp.nan)


def model_for(
    graph: KnowledgeGraph,
    score: scoring.ScoreFunction,
    *,
    dim: int,
    normalize: bool,
    absent: str = LEFT_OUT,
    precision: str = FLOAT32,
    substitutes: bool = False,
) -> MultiModalEmbedding:
    """The model of a graph's size and modalities."""
    return MultiModalEmbedding(
        num_entities=graph.num_entities,
        num_relations=graph.num_relations,
        dim=dim,
        score=score,
        feature_widths=tuple((name, rows.shape[1]) for name, rows in graph.features.items()),
        normalize=normalize,
        absent=absent,
        precision=precision,
        substitutes=substitutes,
    )


def init_params(model: MultiModalEmbedding, key: Array) -> dict:
    """The parameters at the start: Xavier-uniform tables, angles uniform in a circle, projections as a linear layer's.

    Args:
        model: from `model_for`, without a mesh: what is drawn is the same on all.
        key: a PRNG key.

    Returns:
        {'entity': [E, D], 'relation': [R, W], '<modality>_kernel': [D, F], '<modality>_bias': [D]}, float32; with
        `absent` 'learned' also '<modality>_absent': [D], with `substitutes` also 'substitution': [1, W].
    """
    # Reading any attribute runs `setup`, which declares every parameter.
    return model.init(key, method=lambda module: module.entity)[PARAMS]


def _uniform(bound):
    """Uniform in [-bound, bound)."""

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init
