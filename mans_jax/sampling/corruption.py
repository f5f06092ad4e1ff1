"""What a negative sampler is, what it returns and what it may look at."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from mans_jax.graph import HEAD, Triple


@struct.dataclass
class Corruption:
    """K negatives for each of B positives: which entity intrudes, on which side, through which modalities.

    Attributes:
        entity: int32[B, K], the intruder.
        side: int8[B, K], HEAD or TAIL, the side that it takes.
        replaced: bool[B, K, M], the modalities that it takes. A normal negative replaces all of them; a virtual one
            leaves some with the entity that stood there. A last axis of 1 stands for any M.
        weight: float32[B, K], how much a negative counts in the mean that a loss takes over them, 0 for not at all; or
            None where all count alike.
        margin_scale: float32[B, K], the share of its margin that a loss takes for a negative; or None for all of it.
        vectors: float32[B, G, M, D], what the last G negatives look like, in place of their `entity`, which stands in
            for them wherever an id is needed; of the modalities that the entity has whose place they take. Or None
            where every negative is an entity.
        chunk: C where every C positives in a row have the same K intruders in the same order and one side for all of
            them, so that a model can compare C x K pairs as it does a matrix product's; or None. A promise: whoever
            mixes corruptions must take it back.
    """

    entity: Int[Array, 'B K']
    side: Int[Array, 'B K']
    replaced: Bool[Array, 'B K M']
    weight: Float[Array, 'B K'] | None = None
    margin_scale: Float[Array, 'B K'] | None = None
    vectors: Float[Array, 'B G M D'] | None = None
    chunk: int | None = struct.field(pytree_node=False, default=None)

    def apply(self, positives: Triple) -> Triple:
        """The negatives as triples int32[B, K], the intruder in place of the whole entity: for any other model.

        What has vectors of its own is no entity: the one that stands in for it intrudes.
        """
        head, relation, tail = (ids[:, None] for ids in (positives.head, positives.relation, positives.tail))
        at_head = self.side == HEAD
        return Triple(
            jnp.where(at_head, self.entity, head),
            jnp.broadcast_to(relation, self.entity.shape),
            jnp.where(at_head, tail, self.entity),
        )

    def intruders(self) -> Int[Array, 'N']:
        """The intruders in order, those that a chunk shares only once: B x K of them, or B / chunk x K."""
        return self.entity[:: self.chunk or 1].reshape(-1)

    def virtual(self) -> Bool[Array, 'B K']:
        """Whether a negative leaves at least one modality as it was."""
        return ~jnp.all(self.replaced, axis=-1)


@struct.dataclass
class View:
    """What a sampler may know of the training it serves. Give only what the sampler asks for.

    The parameters are leaves and the functions of them static, so that a view passes through jit and vmap. The
    functions see the parameters as constants: no gradient flows through a sampler.

    Attributes:
        progress: the share of the training that is done, float32 in [0, 1).
        parameters: whatever the functions below score with.
        scores_fn: (parameters, positives, Corruption) -> plausibility float[B, K].
        pair_scores_fn: (parameters, positives, Corruption) -> float[B, K, M, M], by modality of the kept entity, then
            of the other one, 0 where one is absent.
        entity_vectors_fn: (parameters, int32[...]) -> float[..., M, D].
        relation_vectors_fn: (parameters, int32[...]) -> float[..., W].
        query_vectors_fn: (parameters, side int32[...], kept entity int32[...], relation int32[...]) ->
            float[..., M, D], what the entity on that side should look like, by modality of the kept one.
    """

    progress: Float[Array, ''] | None = None
    parameters: Any = None
    scores_fn: Callable | None = struct.field(pytree_node=False, default=None)
    pair_scores_fn: Callable | None = struct.field(pytree_node=False, default=None)
    entity_vectors_fn: Callable | None = struct.field(pytree_node=False, default=None)
    relation_vectors_fn: Callable | None = struct.field(pytree_node=False, default=None)
    query_vectors_fn: Callable | None = struct.field(pytree_node=False, default=None)

    def need_progress(self) -> Float[Array, '']:
        """`progress`, or a ValueError that says it is missing."""
        return self._need('progress')

    def scores(self, positives: Triple, corruption: Corruption) -> Float[Array, 'B K']:
        """The plausibility of negatives under the current parameters."""
        return self._need('scores_fn')(self._constants(), positives, corruption)

    def pair_scores(self, positives: Triple, corruption: Corruption) -> Float[Array, 'B K M M']:
        """The plausibility of negatives by pair of modalities under the current parameters."""
        return self._need('pair_scores_fn')(self._constants(), positives, corruption)

    def entity_vectors(self, entities: Int[Array, '...']) -> Float[Array, '... M D']:
        """The entities' current vectors."""
        return self._need('entity_vectors_fn')(self._constants(), entities)

    def relation_vectors(self, relations: Int[Array, '...']) -> Float[Array, '... W']:
        """The relations' current vectors."""
        return self._need('relation_vectors_fn')(self._constants(), relations)

    def query_vectors(
        self, side: Int[Array, '...'], kept: Int[Array, '...'], relations: Int[Array, '...']
    ) -> Float[Array, '... M D']:
        """What the entities on a side should look like beside kept ones and relations."""
        return self._need('query_vectors_fn')(self._constants(), side, kept, relations)

    def _constants(self):
        return jax.lax.stop_gradient(self.parameters)

    def _need(self, name):
        value = getattr(self, name)
        if value is None:
            raise ValueError(f'this sampler looks at {name}, which its view does not have: pass View({name}=...)')
        return value


class Sampler(NamedTuple):
    """A negative sampler: a pair of pure functions, as `optax.GradientTransformation` is.

    Attributes:
        init: (key) -> state, a pytree of arrays; `()` for samplers that remember nothing.
        sample: (state, key, positives, view) -> (Corruption, state), for positives of int32[B].
    """

    init: Callable[[Array], Any]
    sample: Callable[[Any, Array, Triple, View], tuple[Corruption, Any]]


def stateless(draw: Callable[[Array, Triple, View], Corruption]) -> Sampler:
    """A sampler that remembers nothing, from (key, positives, view) -> Corruption."""
    return Sampler(lambda key: (), lambda state, key, positives, view: (draw(key, positives, view), state))
