"""A sampler that remembers, for every query, entities that the model confuses with its answers."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from mans_jax.graph import HEAD, TAIL, KnownTriples, Triple
from mans_jax.sampling.corruption import Corruption, Sampler, View
from mans_jax.sampling.sides import BERNOULLI, draw_queries, head_probability


def nscaching(
    known: KnownTriples,
    num_negatives: int = 1,
    *,
    cache_size: int = 30,
    candidates: int = 30,
    sides: str = BERNOULLI,
) -> Sampler:
    """NSCaching: draws uniformly from a cache of the query's non-answers, which the model's scores renew.

    Every query (?, relation, tail) and (head, relation, ?) of `known` has a row of `cache_size` entities, at first
    drawn uniformly without replacement from its non-answers. A negative takes an entity of the row of its side. After
    the draw both rows of every positive are renewed: of the row and `candidates` more non-answers, `cache_size` are
    drawn without replacement with probabilities softmax(scores).

    See "NSCaching: Simple and Efficient Negative Sampling for Knowledge Graph Embedding", Zhang et al., 2019
    (arXiv 1812.06410). The published code draws a first row and candidates with replacement, so that an entity may
    stand in a row several times and then counts as often; and from all entities, known answers included, which an
    option that is off by default removes after each epoch. Here a row is a set, as in the paper, and never holds an
    answer. That code divides TransE's scores by 2 before the softmax; here, as in the paper, they are taken as they
    are. It draws one negative; here K of them are drawn from the row independently.

    The state is int32[P + 1, cache_size], a row for each of the P queries of `known` and one for all other queries.

    Args:
        known: the triples that must never be drawn as negatives, and whose queries have rows.
        num_negatives: K.
        cache_size: N1.
        candidates: N2.
        sides: one of `sides.SIDES`; the published code has 'bernoulli'.

    Raises:
        ValueError: `sides` is none of them, `cache_size` or `candidates` is below 1, or a query has fewer than
            `cache_size` non-answers.
    """
    fewest = known.num_entities - known.max_answers
    if cache_size < 1 or candidates < 1:
        raise ValueError(f'cache_size and candidates must be at least 1, not {cache_size} and {candidates}')
    if cache_size > fewest:
        raise ValueError(f'cache_size is {cache_size}, but a query has only {fewest} entities that do not answer it')
    probability_of_head = head_probability(known, sides)
    # One more than there are queries: of the row that the queries without a known answer share.
    num_rows = known.query_relation.shape[0]

    def init(key: Array) -> Int[Array, 'P_plus_1 N1']:
        start = known.answer_start
        count = jnp.diff(start, append=start[-1:])
        index = distinct_below(key, known.num_entities - count, cache_size)
        return known.unknown(start[:, None], count[:, None], index)

    def sample(cache, key: Array, positives: Triple, view: View):
        side_key, entity_key, renew_key = jax.random.split(key, 3)
        # Both queries of a positive: asking for its head, asking for its tail.
        both = jnp.array([HEAD, TAIL]), jnp.stack([positives.tail, positives.head], axis=1), positives.relation[:, None]
        row, is_known = known.find_query(*both)
        row = jnp.where(is_known, row, num_rows - 1)
        queries = draw_queries(side_key, known, positives, num_negatives, probability_of_head)
        position = jax.random.randint(entity_key, queries.at_head.shape, 0, cache_size)
        entity = cache[queries.choose(*row.T), position]
        corruption = Corruption(entity, queries.side, jnp.ones((*entity.shape, 1), bool))
        new = _renew(renew_key, known, cache[row], known.find(*both), candidates, positives, view)
        # Several positives with one query: the first of them renews its row.
        row = jnp.where(is_first(row.reshape(-1), num_rows), row.reshape(-1), num_rows)
        return corruption, cache.at[row].set(new.reshape(-1, cache_size), mode='drop')

    return Sampler(init, sample)


def distinct_below(key: Array, bound: Int[Array, 'P'], number: int) -> Int[Array, 'P N']:
    """For each bound, so many distinct integers in [0, bound): every set of them is equally likely, their order is not.

    Floyd's algorithm: the j-th draw is from [0, bound - number + j], and what has been drawn before gives way to the
    upper end of that range, which cannot have been drawn yet.

    Args:
        key: consumed.
        bound: int32[P], at least `number`.
        number: N.
    """

    def add(chosen, j):
        last = bound - number + j
        drawn = jax.random.randint(jax.random.fold_in(key, j), bound.shape, 0, last + 1)
        taken = jnp.any((chosen == drawn[:, None]) & (jnp.arange(number) < j), axis=1)
        return chosen.at[:, j].set(jnp.where(taken, last, drawn)), None

    return jax.lax.scan(add, jnp.zeros((*bound.shape, number), jnp.int32), jnp.arange(number))[0]


def is_first(values: Int[Array, 'N'], bound: int) -> Bool[Array, 'N']:
    """Whether no earlier element has the same value; values are in [0, bound)."""
    position = jnp.arange(values.shape[0])
    first = jnp.full(bound, values.shape[0]).at[values].min(position)
    return first[values] == position


def _renew(key, known, cached, answers, num_candidates, positives, view) -> Int[Array, 'B 2 N1']:
    """The rows that follow `cached`, int32[B, 2, N1], of the queries that ask for the head and for the tail."""
    candidate_key, choice_key = jax.random.split(key)
    batch_size, _, cache_size = cached.shape
    start, count = (x[..., None] for x in answers)
    index = jax.random.randint(candidate_key, (batch_size, 2, num_candidates), 0, known.num_entities - count)
    entity = jnp.concatenate([cached, known.unknown(start, count, index)], axis=-1)
    width = entity.shape[-1]
    side = jnp.repeat(jnp.array([HEAD, TAIL], jnp.int8), width)
    # The candidates of both queries as negatives of the positive, side by side.
    shape = (batch_size, 2 * width)
    corruption = Corruption(entity.reshape(shape), jnp.broadcast_to(side, shape), jnp.ones((*shape, 1), bool))
    scores = view.scores(positives, corruption).reshape(entity.shape)
    # The largest of score + Gumbel noise are a draw without replacement by softmax(score).
    noisy = scores + jax.random.gumbel(choice_key, scores.shape, scores.dtype)
    _, chosen = jax.lax.top_k(jnp.where(_repeats(entity, cache_size), -jnp.inf, noisy), cache_size)
    return jnp.take_along_axis(entity, chosen, axis=-1)


def _repeats(entity, num_distinct) -> Bool[Array, '... N']:
    """Whether an entity has stood before in its row, whose first `num_distinct` are distinct."""
    later, width = entity[..., num_distinct:], entity.shape[-1]
    earlier = jnp.arange(width) < jnp.arange(num_distinct, width)[:, None]
    repeats = jnp.any((later[..., None] == entity[..., None, :]) & earlier, axis=-1)
    return jnp.concatenate([jnp.zeros_like(entity[..., :num_distinct], bool), repeats], axis=-1)
