"""A sampler that is a model of its own, trained against the one that it serves."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from mans_jax import devices, scoring
from mans_jax.graph import KnownTriples, Triple
from mans_jax.sampling.corruption import Corruption, Sampler, View
from mans_jax.sampling.sides import BERNOULLI, check_negatives_exist, draw_queries, head_probability

GENERATORS = {'distmult': scoring.DISTMULT, 'complex': scoring.COMPLEX}
"""The score functions that a generator may have."""

_SCORE_DEVIATION = 0.2


def kbgan(
    known: KnownTriples,
    num_negatives: int = 1,
    *,
    dim: int,
    generator: str = 'distmult',
    candidates: int = 20,
    learning_rate: float = 1e-3,
    sides: str = BERNOULLI,
    parameters: Mapping[str, Array] | None = None,
) -> Sampler:
    """KBGAN: a generator chooses among random candidates and learns which ones the model finds plausible.

    Of `candidates` non-answers, drawn uniformly, one is chosen with probability softmax(generator's scores). The
    generator is trained by REINFORCE: its gradient is that of - sum (s - b) log p over the chosen ones, where s is the
    plausibility under the served model and b the mean of s over the epoch before (0 in the first one). It has a step of
    Adam whenever the sampler draws.

    See "KBGAN: Adversarial Learning for Knowledge Graph Embeddings", Cai, Wang, 2018 (arXiv 1711.04071). The published
    code draws candidates from all entities, known answers included; here they are filtered. It also decays the
    generator's weights, by 0.01 in its recipes, which the paper does for the pre-training alone; here nothing is
    decayed. It draws one negative; here each of K has a side and candidates of its own. Without `parameters` the
    generator begins as that code's does before it is pre-trained.

    The state holds the generator's parameters, the state of its optimiser, and the sums behind b. A step scores
    K x `candidates` triples for each positive by the generator, which may cost more than the training step itself.

    Args:
        known: the triples that must never be drawn as negatives; an epoch is as many positives as there are triples.
        num_negatives: K.
        dim: the width of the generator's vectors where it is not pre-trained.
        generator: one of GENERATORS.
        candidates: how many non-answers a negative is chosen from.
        learning_rate: of the generator's Adam.
        sides: one of `sides.SIDES`; the published code has 'bernoulli'.
        parameters: of a pre-trained generator, {'entity': float[E, W], 'relation': float[R, W]}.

    Raises:
        ValueError: an option cannot be used, or some query is answered by every entity.
    """
    if generator not in GENERATORS:
        raise ValueError(f'generator must be one of {", ".join(GENERATORS)}, not {generator!r}')
    if candidates < 1 or learning_rate <= 0:
        raise ValueError(f'candidates={candidates} must be at least 1 and learning_rate={learning_rate} above 0')
    width = dim if parameters is None else parameters['entity'].shape[1]
    if generator == 'complex' and width % 2:
        raise ValueError(f'a complex generator needs vectors of an even width, not {width}')
    check_negatives_exist(known)
    score, optimizer = GENERATORS[generator], optax.adam(learning_rate)
    probability_of_head = head_probability(known, sides)
    num_triples = known.answers.shape[0] // 2

    def init(key: Array):
        start = _random_parameters(key, known, dim) if parameters is None else dict(parameters)
        start = jax.tree.map(jnp.array, start)
        sums = {'baseline': jnp.zeros(()), 'rewards': jnp.zeros(()), 'steps': jnp.zeros((), jnp.int32)}
        return {'parameters': start, 'optimizer': optimizer.init(start), **sums}

    def sample(state, key: Array, positives: Triple, view: View):
        side_key, candidate_key, choice_key = jax.random.split(key, 3)
        queries = draw_queries(side_key, known, positives, num_negatives, probability_of_head)
        start, count = queries.start[..., None], queries.count[..., None]
        index = jax.random.randint(candidate_key, (*count.shape[:2], candidates), 0, known.num_entities - count)
        entity = known.unknown(start, count, index)

        def scores_of(parameters):
            return _scores(score, parameters, queries, positives, entity)

        logits, gradient_of = jax.vjp(scores_of, state['parameters'])
        chosen = jax.random.categorical(choice_key, logits)
        drawn = jnp.take_along_axis(entity, chosen[..., None], axis=-1)[..., 0]
        corruption = Corruption(drawn, queries.side, jnp.ones((*drawn.shape, 1), bool))
        reward = view.scores(positives, corruption)
        (gradient,) = gradient_of(policy_gradient(logits, chosen, reward - state['baseline']))
        updates, optimizer_state = optimizer.update(gradient, state['optimizer'], state['parameters'])
        per_epoch = max(num_triples // drawn.shape[0], 1)
        return corruption, {
            'parameters': optax.apply_updates(state['parameters'], updates),
            'optimizer': optimizer_state,
            **_with_rewards(state, reward, per_epoch),
        }

    return Sampler(init, sample)


def policy_gradient(
    logits: Float[Array, '... C'], chosen: Int[Array, '...'], advantage: Float[Array, '...']
) -> Float[Array, '... C']:
    """The gradient with respect to logits of - advantage * log softmax(logits)[chosen].

    Its mean over choices by softmax(logits) is the gradient of - the expected advantage.
    """
    is_chosen = jax.nn.one_hot(chosen, logits.shape[-1], dtype=logits.dtype)
    return advantage[..., None] * (jax.nn.softmax(logits, axis=-1) - is_chosen)


def _random_parameters(key, known, dim):
    """Normal vectors, so small that scores have a standard deviation of _SCORE_DEVIATION."""
    entity_key, relation_key = jax.random.split(key)
    scale = (_SCORE_DEVIATION**2 / dim) ** (1 / 6)
    return {
        'entity': scale * jax.random.normal(entity_key, (known.num_entities, dim)),
        'relation': scale * jax.random.normal(relation_key, (known.num_relations, dim)),
    }


def _scores(score, parameters, queries, positives, entity) -> Float[Array, 'B K C']:
    """The generator's scores of candidates, a few positives at a time, in the gradient too."""

    def score_one(negatives):
        kept, relation, direction, candidates = negatives
        query = score.query(parameters['entity'][kept], parameters['relation'][relation], direction)
        return score.compare(query[..., None, :], parameters['entity'][candidates])

    kept = queries.choose(positives.tail, positives.head)
    negatives = kept, positives.relation, scoring.direction(queries.side), entity
    return jax.lax.map(jax.checkpoint(score_one), negatives, batch_size=devices.positives_at_once())


def _with_rewards(state, reward, per_epoch):
    """The sums after a step; at the end of an epoch its mean reward becomes the baseline."""
    rewards, steps = state['rewards'] + jnp.mean(reward), state['steps'] + 1
    ends = steps == per_epoch
    return {
        'baseline': jnp.where(ends, rewards / per_epoch, state['baseline']),
        'rewards': jnp.where(ends, 0, rewards),
        'steps': jnp.where(ends, 0, steps),
    }
