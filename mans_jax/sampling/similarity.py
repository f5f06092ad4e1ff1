"""MMRNS: a sampler that prefers what is like the true entity in image, text or structure, as the relation sees it.

See "Relation-enhanced Negative Sampling for Multimodal Knowledge Graph Completion", Xu et al., 2022. What differs here:

- The paper attends between 24 patches of an image and the sentences of a text, gated by the relation; where a model has
  one vector a modality, the gate is left. Structure, which the published code gates by entity and relation, is treated
  as the others are. A modality counts among the entities that have it.
- Paper and code also send the gradient of the ranking loss through the draws (straight-through) into the projections,
  and train them together with the model, the contrastive losses weighing 1/300. Here no gradient passes through a
  sampler: the contrastive losses alone train the projections, by an optimiser to which their weight means nothing.
- The published code holds the norms in the cosines constant; here they are differentiated as the rest is. It takes one
  side for a whole batch, in turn; here each positive has a side of its own.
"""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple
from mans_jax.sampling.corruption import Corruption, Sampler, View
from mans_jax.sampling.sides import check_negatives_exist

_WIDTH = 50
_SLOPE = 0.1
_ADVERSARIAL_TEMPERATURE = 0.5
_TINY = 1e-10


def mmrns(
    known: KnownTriples,
    num_negatives: int = 1,
    *,
    num_modalities: int,
    dim: int,
    relation_width: int,
    present: Bool[Array, 'E M'] | None = None,
    candidates: int = 1500,
    temperature: float = 10.0,
    learning_rate: float = 1e-4,
) -> Sampler:
    """Draws K of some random candidates by their likeness to the true entity, judged by projections that it learns.

    Of `candidates` random entities, the same for the whole batch, each positive draws K without replacement with
    probabilities proportional to `preferences`, known answers left out. All K take one side, the head's or the tail's
    with probability 1/2. After the draw the projections have a step of Adam on `contrastive_loss`.

    A positive that has fewer than K candidates left gets weight 0 for what is missing; weights are None where that
    cannot happen. The state holds the projections, the state of their optimiser and the number of steps.

    Args:
        known: the triples that must never be drawn as negatives.
        num_negatives: K.
        num_modalities: M.
        dim: D, the width of the served model's entity vectors.
        relation_width: W, that of its relation vectors.
        present: which entity has which modality; None where all have all.
        candidates: how many entities are looked at in a step; all of them where there are fewer.
        temperature: tau of the first step; that of step n, from 0, is temperature / (1 + ln(n + 1)).
        learning_rate: of the projections' Adam.

    Raises:
        ValueError: an option cannot be used, or some query is answered by every entity.
    """
    number = min(candidates, known.num_entities)
    if number < num_negatives:
        raise ValueError(f'candidates={number} must be at least the number of negatives, {num_negatives}')
    if temperature <= 0 or learning_rate <= 0:
        raise ValueError(f'temperature={temperature} and learning_rate={learning_rate} must be above 0')
    check_negatives_exist(known)
    optimizer, can_run_out = optax.adam(learning_rate), number - known.max_answers < num_negatives

    def init(key: Array):
        projections = _random_projections(key, num_modalities, dim, relation_width)
        return {'projections': projections, 'optimizer': optimizer.init(projections), 'step': jnp.zeros((), jnp.int32)}

    def sample(state, key: Array, positives: Triple, view: View):
        side_key, candidate_key, choice_key = jax.random.split(key, 3)
        side = jnp.where(jax.random.bernoulli(side_key, shape=positives.head.shape), HEAD, TAIL).astype(jnp.int8)
        entity = jax.random.permutation(candidate_key, known.num_entities)[:number]
        at_head = side == HEAD
        kept, true = (jnp.where(at_head, *ends) for ends in _ends(positives))
        is_known = known.answers_among(*known.find(side, kept, positives.relation), entity)
        has = _both_have(present, true, entity, num_modalities)
        vectors = view.relation_vectors(positives.relation), view.entity_vectors(true), view.entity_vectors(entity)

        tau = temperature / (1 + jnp.log1p(state['step'].astype(jnp.float32)))
        preferred = preferences(cosines(state['projections'], *vectors), has, tau)
        # What is like the true entity in nothing, or has nothing that it has, is drawn when all else is.
        logits = jnp.where(is_known, -jnp.inf, jnp.log(jnp.maximum(preferred, jnp.finfo(preferred.dtype).tiny)))
        # The largest of logit + Gumbel noise are a draw without replacement by softmax(logits).
        found, chosen = jax.lax.top_k(logits + jax.random.gumbel(choice_key, logits.shape), num_negatives)
        corruption = Corruption(
            entity=entity[chosen],
            side=jnp.broadcast_to(side[:, None], chosen.shape),
            replaced=jnp.ones((*chosen.shape, 1), bool),
            weight=(found > -jnp.inf).astype(jnp.float32) if can_run_out else None,
        )

        weight = _contrastive_weight(view.scores(positives, corruption), chosen, number)
        gradient = jax.grad(lambda p: contrastive_loss(cosines(p, *vectors), has, is_known, weight))(
            state['projections']
        )
        updates, optimizer_state = optimizer.update(gradient, state['optimizer'], state['projections'])
        projections = optax.apply_updates(state['projections'], updates)
        return corruption, {'projections': projections, 'optimizer': optimizer_state, 'step': state['step'] + 1}

    return Sampler(init, sample)


def cosines(
    projections: dict, relation: Float[Array, 'B W'], true: Float[Array, 'B M D'], candidate: Float[Array, 'C M D']
) -> Float[Array, 'B M C']:
    """The cosine between each true entity and each candidate in each modality m, seen through the relation.

    It is taken between leaky_relu(W_m v + b_m) * sigmoid(G_m r + c_m), v being the vector of an entity and r that of
    the relation.

    Args:
        projections: {'kernel': [M, D, A], 'bias': [M, A], 'gate_kernel': [M, W, A], 'gate_bias': [M, A]}.
        relation: of each positive.
        true: of the entities that are replaced.
        candidate: of the candidates.
    """

    def project(vectors):
        projected = jnp.einsum('nmd,mda->nma', vectors, projections['kernel']) + projections['bias']
        return jax.nn.leaky_relu(projected, _SLOPE)

    gate = jnp.einsum('bw,mwa->bma', relation, projections['gate_kernel']) + projections['gate_bias']
    square = jnp.square(jax.nn.sigmoid(gate))
    true, candidate = project(true), project(candidate)
    product = jnp.einsum('bma,cma->bmc', square * true, candidate)
    norm = jnp.sum(square * true * true, axis=-1)[..., None] * jnp.einsum('bma,cma->bmc', square, jnp.square(candidate))
    return product * jax.lax.rsqrt(norm + _TINY)


def preferences(
    cosine: Float[Array, 'B M C'], has: Bool[Array, '#B M #C'], tau: Float[Array, '']
) -> Float[Array, 'B C']:
    """sum_m softmax(cos_m / tau) over the candidates that have modality m as the true entity has."""
    # Finite, so that a modality that the true entity lacks yields no NaN.
    share = jax.nn.softmax(jnp.where(has, cosine / tau, jnp.finfo(cosine.dtype).min), axis=-1)
    return jnp.sum(jnp.where(has, share, 0), axis=1)


def contrastive_loss(
    cosine: Float[Array, 'B M C'],
    has: Bool[Array, '#B M #C'],
    is_known: Bool[Array, 'B C'],
    weight: Float[Array, 'B C'],
) -> Float[Array, '']:
    """sum_m - log(sum of w exp(cos_m) over known answers / sum over all others), each sum over the whole batch.

    A modality in which either sum is empty has no term.
    """
    terms = jnp.where(has, weight[:, None] * jnp.exp(cosine), 0)
    known, others = (jnp.sum(jnp.where(mask[:, None], terms, 0), axis=(0, 2)) for mask in (is_known, ~is_known))
    both = (known > 0) & (others > 0)
    return jnp.sum(jnp.where(both, jnp.log(jnp.where(both, others, 1)) - jnp.log(jnp.where(both, known, 1)), 0))


def _contrastive_weight(scores, chosen, number) -> Float[Array, 'B C']:
    """1, and for a drawn candidate its share of the K by plausibility: the harder, the further it is pushed off."""
    share = jax.nn.softmax(_ADVERSARIAL_TEMPERATURE * scores, axis=-1)
    rows = jnp.arange(chosen.shape[0])[:, None]
    return jnp.ones((chosen.shape[0], number)).at[rows, chosen].set(share)


def _both_have(present, true, entity, num_modalities) -> Bool[Array, '#B M #C']:
    if present is None:
        return jnp.ones((1, num_modalities, 1), bool)
    return present[true][:, :, None] & present[entity].T


def _ends(positives):
    """(kept, replaced) entities, each where the head's side is asked for and where the tail's is."""
    return (positives.tail, positives.head), (positives.head, positives.tail)


def _random_projections(key, num_modalities, dim, relation_width):
    """Xavier-normal kernels, without a bias at first."""
    kernel_key, gate_key = jax.random.split(key)
    xavier = jax.nn.initializers.glorot_normal(in_axis=1, out_axis=2, batch_axis=0)
    return {
        'kernel': xavier(kernel_key, (num_modalities, dim, _WIDTH)),
        'bias': jnp.zeros((num_modalities, _WIDTH)),
        'gate_kernel': xavier(gate_key, (num_modalities, relation_width, _WIDTH)),
        'gate_bias': jnp.zeros((num_modalities, _WIDTH)),
    }
